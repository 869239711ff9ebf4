"""Chat in the terminal: no account, cards with plain rules, buttons by single key."""

from connectors.chat.console.connector import Connector, Settings

__all__ = ["Connector", "Settings"]
