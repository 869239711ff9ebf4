"""Chat in a Slack channel: over Socket Mode or HTTP, with Block Kit, modals and an App Home."""

from connectors.chat.slack.connector import Connector
from connectors.chat.slack.settings import Settings

__all__ = ["Connector", "Settings"]
