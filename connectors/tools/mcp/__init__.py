"""The Model Context Protocol, by its official SDK (extra `mcp`)."""

from connectors.tools.mcp.client import Connector, Settings

__all__ = ["Connector", "Settings"]
