"""Chat in a Telegram group: long polling or a webhook, buttons, a topic for each incident in a forum."""

from connectors.chat.telegram.connector import Connector
from connectors.chat.telegram.settings import Settings

__all__ = ["Connector", "Settings"]
