"""Servers of tools: what they offer to a run, and calls of it. They are asked here, where their credentials are."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from bot.agent.cleaning import redact_value
from bot.agent.far_offer import offer_tool
from bot.domain.runs.far_tool import FarTool, FarTools, Listed, ToolPolicy, name_far_tool
from bot.domain.runs.profile import AgentProfile
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.desk import MCPWanted
from bot.ports.tool_server import FarAnswer, ToolServer

log = structlog.get_logger(__name__)
LIST_SECONDS: Final = 10.0
AT_ONCE: Final = 4
"""Sessions with one server at a time: more wait, within the time of their question."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server, and which of its tools may be used."""

    server: ToolServer
    policy: ToolPolicy
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


class FarToolShelf:
    """All configured servers of tools."""

    def __init__(self, servers: Mapping[str, Served], redact: Callable[[str], str]) -> None:
        self._servers = servers
        self._redact = redact

    async def list_for(self, profile: AgentProfile) -> FarTools:
        """Return what a run of that profile begins with, always in one order. A server that fails is only told of."""
        found = await asyncio.gather(*(self._list(name, profile) for name in sorted(self._servers)))
        return FarTools(
            tools=tuple(sorted((tool for each in found for tool in each.tools), key=lambda tool: tool.name)),
            missing=tuple(text for each in found for text in each.missing),
        )

    async def call(self, wanted: MCPWanted, given: Sequence[FarTool]) -> FarAnswer:
        """Call a tool that the run was `given`. Raises the bot's errors."""
        served = self._servers.get(wanted.server)
        if (wanted.server, wanted.tool) not in {(tool.server, tool.tool) for tool in given}:
            raise Refused("this run was not given such a tool", Reason.NOT_ALLOWED)
        if served is None:
            raise Refused(f"{wanted.server} is not configured any more: its tools are gone", Reason.NOT_FOUND)
        if not _is_object(wanted.arguments):
            raise Refused("the arguments are no JSON object, or what is secret in them was taken out", Reason.BAD_INPUT)
        async with served.room:
            answer = await served.server.call(wanted.tool, wanted.arguments, served.policy)
        return await asyncio.to_thread(redact_value, answer, self._redact)

    async def _list(self, name: str, profile: AgentProfile) -> FarTools:
        served = self._servers[name]
        wanted = [tool for tool in served.policy.names if _is_named(profile, name, tool)]
        if not wanted:
            return FarTools()
        try:
            async with asyncio.timeout(LIST_SECONDS), served.room:
                listed = await served.server.list_tools()
        except (NightshiftError, TimeoutError) as error:
            why = self._redact(str(error))[:300] or f"no answer within {LIST_SECONDS:g} s"
            log.warning("tool_server_failed", server=name, error=why)
            return FarTools(missing=(f"the tools of {name}: {why}",))
        return await asyncio.to_thread(self._offer, served.policy, name, wanted, {each.name: each for each in listed})

    def _offer(self, policy: ToolPolicy, server: str, wanted: Sequence[str], listed: Mapping[str, Listed]) -> FarTools:
        tools, missing = list[FarTool](), list[str]()
        for name in wanted:
            fault = policy.fault_of(listed[name]) if name in listed else "is not there"
            offered = None if fault else offer_tool(server, listed[name], self._redact)
            if offered is not None:
                tools.append(offered)
                continue
            why = fault or "takes arguments that are too large to be told"
            log.warning("tool_left_out", server=server, tool=name, why=why)
            missing.append(f"{name_far_tool(server, name)}: it {why}")
        return FarTools(tools=tuple(tools), missing=tuple(missing))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_named(profile: AgentProfile, server: str, tool: str) -> bool:
    return not profile.tools or name_far_tool(server, tool) in profile.tools
