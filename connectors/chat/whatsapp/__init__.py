"""Chat with people in WhatsApp, one by one: the Cloud API of Meta, its webhook, buttons, lists and templates."""

from connectors.chat.whatsapp.connector import Connector
from connectors.chat.whatsapp.settings import Settings

__all__ = ["Connector", "Settings"]
