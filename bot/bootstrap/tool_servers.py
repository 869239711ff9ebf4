"""Servers of tools (MCP), where some are configured; the package for it is loaded only then."""

import importlib
from collections.abc import Callable, Mapping

from bot.engine.far_tools import FarToolShelf, Served
from bot.errors import ConfigError, Problem
from bot.ports.tool_server import ToolServer
from bot.settings import Settings
from bot.settings_mcp import build_policy

KIND = "mcp"


def open_tool_servers(settings: Settings) -> Mapping[str, ToolServer]:
    """Return the configured servers by name. Raises `ConfigError` where the package for them is not installed."""
    if not settings.mcp:
        return {}
    try:
        module = importlib.import_module(f"connectors.tools.{KIND}")
    except ModuleNotFoundError as error:
        needs = f"needs a package that is not installed ({error.name})"
        what = f'{needs}: install Nightshift with the extra "{KIND}"'
        raise ConfigError([Problem(where=KIND, what=what)]) from None
    ways = {name: server.model_dump(exclude={"tools", "unmarked"}) for name, server in settings.mcp.items()}
    return {name: module.Connector(name, module.Settings(**way)) for name, way in ways.items()}


def make_shelf(settings: Settings, redact: Callable[[str], str]) -> FarToolShelf | None:
    """Return what asks the servers for runs; None where none is configured. Raises `ConfigError`."""
    servers = open_tool_servers(settings)
    if not servers:
        return None
    served = {name: Served(server=server, policy=build_policy(settings.mcp[name])) for name, server in servers.items()}
    return FarToolShelf(served, redact)
