"""Runs the model's calls. Every answer is redacted and bounded before the model sees it, and says what would have been
right where a call was wrong."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from bot.agent.arguments import read_arguments
from bot.agent.guard import defuse
from bot.agent.tools.every import TOOLS
from bot.agent.tools.tool import Call, Hands, Tool, ToolResult
from bot.domain.runs.transcript import Proposal
from bot.errors import LimitReached, Refused, Rejected, Unavailable

MAX_ANSWER: Final = 14_000
CUT: Final = "\n… cut here; ask for less"
"""What stands behind an answer that was longer than it may be."""


class NoTools:
    """For a question apart, which no call answers."""

    proposes = False

    def for_helper(self) -> "NoTools":
        return self

    def tell_usage(self, name: str) -> str:  # noqa: ARG002 -- as the tools take it
        return ""

    async def call(self, name: str, arguments: str, known: Sequence[Proposal], *, room: int) -> ToolResult:  # noqa: ARG002 -- as the tools take it
        return ToolResult(text="Not done: no tool is at hand.")


class Toolbox:
    """The tools of one run, one call at a time. One that does not `propose` only reads: its run answers a question.

    The model is told of the same tools all the same, so that requests begin with the bytes that the server has cached.
    """

    def __init__(
        self, hands: Hands, tools: Sequence[Tool] = TOOLS, *, proposes: bool = True, is_helper: bool = False
    ) -> None:
        self.proposes = proposes
        self._hands = hands
        self._is_helper = is_helper
        self._tools = {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}

    def for_helper(self) -> "Toolbox":
        """Return the same tools for a helper: those that read."""
        return Toolbox(self._hands, tuple(self._tools.values()), proposes=False, is_helper=True)

    def tell_usage(self, name: str) -> str:
        """Return how a tool is called, as a sentence more; "" where there is none of that name."""
        tool = self._tools.get(name.strip())
        return f" Call it as {tool.spec.usage()}." if tool else ""

    @property
    def _advice(self) -> str:
        return "Propose a patch, or conclude." if self.proposes else "Conclude."

    async def call(self, name: str, arguments: str, known: Sequence[Proposal], *, room: int) -> ToolResult:
        """Do what a call asks. A call that is wrong gets an answer that says so; `room` bounds the answer's bytes."""
        tool = self._tools.get(name.strip())
        if tool is None:
            near = get_close_matches(name, self._tools, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            told = f"There is no tool {name[:60]!r}.{hint} Tools: {', '.join(self._tools)}."
            return ToolResult(text=self._show(told, MAX_ANSWER))
        try:
            given = read_arguments(tool.spec, arguments)
            if self._is_helper and (tool.proposes or not tool.reads):
                return ToolResult(text="Not done: a helper only reads, and answers in words.")
            if tool.proposes and not self.proposes:
                return ToolResult(text="Not done: this run answers a question. Say in words what you would change.")
            if tool.reads and not tool.proposes and room <= 0:
                return ToolResult(text=f"Nothing more may be read in this run. {self._advice}", is_full=True)
            result = await tool.do(Call(hands=self._hands, given=given, known=known))
        except (Refused, Rejected, Unavailable, LimitReached) as error:
            return ToolResult(text=self._show(f"Not done: {error}", MAX_ANSWER))
        limit = MAX_ANSWER if tool.proposes or not tool.reads else min(room, MAX_ANSWER)
        shown = self._show(result.text, limit)
        return result if shown == result.text else replace(result, text=shown)

    def _show(self, text: str, limit: int) -> str:
        """Clean once more whatever a tool put together, and bound it."""
        safe = defuse(self._hands.clean(text))
        raw = safe.encode("utf-8", "replace")
        return safe if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore") + CUT
