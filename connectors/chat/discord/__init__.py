"""Chat in a Discord channel: the gateway or signed calls, buttons, modals, a thread for each incident."""

from connectors.chat.discord.connector import Connector
from connectors.chat.discord.settings import Settings

__all__ = ["Connector", "Settings"]
