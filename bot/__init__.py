"""Nightshift: the chat-ops bot that answers the page."""

__version__ = "0.1.0"
