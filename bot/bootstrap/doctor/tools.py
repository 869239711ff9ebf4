"""The doctor's look at servers of tools (MCP): whether each answers, and has what is listed of it."""

import asyncio
from collections.abc import Sequence

from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.bootstrap.tool_servers import open_tool_servers
from bot.domain.runs.far_tool import ToolPolicy
from bot.errors import ConfigError, NightshiftError
from bot.ports.tool_server import ToolServer
from bot.settings import Settings
from bot.settings_mcp import build_policy


async def check_tool_servers(settings: Settings) -> Sequence[Found]:
    try:
        servers = open_tool_servers(settings)
    except ConfigError as error:
        return [mend("mcp", str(problem), "install it, or remove [mcp]") for problem in error.problems]
    return await asyncio.gather(*(_look(each, build_policy(settings.mcp[name])) for name, each in servers.items()))


async def _look(server: ToolServer, policy: ToolPolicy) -> Found:
    name = f"mcp {server.name}"
    try:
        listed = {each.name: each for each in await server.list_tools()}
    except NightshiftError as error:
        return mend(name, str(error), f"mend [mcp.{server.name}], see docs/agent-tools.md")
    faults = {tool: policy.fault_of(listed[tool]) if tool in listed else "is not there" for tool in policy.names}
    wrong = [f"{tool} {fault}" for tool, fault in faults.items() if fault]
    if wrong:
        there = ", ".join(sorted(listed)[:20]) or "none"
        return mend(name, "; ".join(wrong), f"mend tools and unmarked of [mcp.{server.name}]; it has: {there}")
    return ok(name, f"answers; {len(faults)} of its {len(listed)} tools may be used")
