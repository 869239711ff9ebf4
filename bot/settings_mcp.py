"""What `[mcp.<name>]` must say: how a server of tools is reached, and which of its tools may be used."""

import os
from collections.abc import Iterator, Mapping
from typing import Final

from bot.domain.runs.far_tool import ToolPolicy, find_wrong_names, name_far_tool
from bot.domain.text.wellformed import fault_of_web_address
from bot.errors import Problem
from bot.settings_sections import MCPSettings

MIN_SECRET: Final = 8
"""Shorter values of variables ("1", "eu-west") are no secrets, and redacting them would blacken ordinary words."""


def check_mcp(servers: Mapping[str, MCPSettings]) -> Iterator[Problem]:
    """Yield what is wrong with the servers of tools."""
    for name, server in servers.items():
        where = f"mcp.{name}"
        if bool(server.command) == bool(server.url):
            yield Problem(where=where, what="needs command (a program) or url (an address), one of them")
        if server.url and (fault := fault_of_web_address(server.url)):
            yield Problem(where=f"{where}.url", what=fault)
        if server.command and (server.token or server.proxy or server.ca_file):
            yield Problem(where=where, what="token, proxy and ca_file are for a url; a program gets variables by env")
        if server.url and server.env:
            yield Problem(where=f"{where}.env", what="is for a program; a url has a token")
        for fault in find_wrong_names(name, build_policy(server).names):
            yield Problem(where=where, what=fault)


def build_policy(server: MCPSettings) -> ToolPolicy:
    return ToolPolicy(tools=server.tools, unmarked=server.unmarked)


def list_far_names(servers: Mapping[str, MCPSettings]) -> tuple[str, ...]:
    """Return the tools as the model and profiles name them."""
    return tuple(name_far_tool(name, tool) for name, server in servers.items() for tool in build_policy(server).names)


def list_mcp_secrets(servers: Mapping[str, MCPSettings]) -> Iterator[str]:
    """Yield tokens, and the values of variables that are handed on."""
    for server in servers.values():
        if server.token:
            yield server.token.get_secret_value()
        yield from (value for name in server.env if len(value := os.environ.get(name, "")) >= MIN_SECRET)
