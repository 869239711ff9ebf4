"""Senders of alerts."""
