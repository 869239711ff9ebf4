"""Servers of tools that others wrote (MCP). What they say and answer is hostile."""

from dataclasses import dataclass
from typing import Protocol

from bot.domain.runs.far_tool import Listed, ToolPolicy


@dataclass(frozen=True, kw_only=True)
class FarAnswer:
    """What a tool answered: its texts, joined. `left_out` names what is no text (images), `is_fault` that it failed."""

    text: str
    left_out: tuple[str, ...] = ()
    is_fault: bool = False


class ToolServer(Protocol):
    """One server. Raises `Unavailable` or `Rejected`, naming the server."""

    @property
    def name(self) -> str: ...

    async def list_tools(self) -> tuple[Listed, ...]:
        """Return all tools that it tells of now, unredacted. May be repeated."""
        ...

    async def call(self, tool: str, arguments: str, policy: ToolPolicy) -> FarAnswer:
        """Call a tool with JSON, if it is there now and the policy allows what it now says of itself.

        May be repeated, as it only reads. Raises `Refused` where the tool is gone or not allowed any more.
        """
        ...
