"""What a model's tools may ask for in `triage`: metrics, playbooks, and tools of other servers that a configuration
names. There is no server, so nothing else is known."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.playbook import Playbook
from bot.domain.runs.far_tool import FarTool, FarTools
from bot.domain.runs.profile import AgentProfile
from bot.engine.far_metrics import read_metrics
from bot.engine.far_tools import FarToolShelf
from bot.errors import NightshiftError
from bot.ports.desk import MCPWanted, MetricsWanted, PlaybookText, PlaybookWanted, Question, Told
from bot.ports.metrics import MetricSource

_UNKNOWN: Final = "this is the terminal, without a server: CI, past incidents and what others told of are not known"


_ASK_SECONDS: Final = 30.0


@dataclass(kw_only=True)
class TerminalDesk:
    """`bot.ports.desk.Ask` without a front process, for one run."""

    metrics: MetricSource | None
    playbooks: Sequence[Playbook]
    shelf: FarToolShelf | None = None
    given: Sequence[FarTool] = field(default=(), init=False)

    async def list_far_tools(self, profile: AgentProfile) -> FarTools:
        """Return the tools of other servers that the run is given."""
        found = await self.shelf.list_for(profile) if self.shelf else FarTools()
        self.given = found.tools
        return found

    async def ask(self, question: Question) -> Told:
        if isinstance(question, MetricsWanted):
            if self.metrics is None:
                return Told(fault="no metric server is named (--prometheus URL)")
            return Told(metrics=await read_metrics(question.unread, self.metrics))
        if isinstance(question, PlaybookWanted):
            return _read_playbook(question.name, self.playbooks)
        if isinstance(question, MCPWanted) and self.shelf:
            return await self._call(self.shelf, question)
        return Told(fault=_UNKNOWN)

    async def _call(self, shelf: FarToolShelf, wanted: MCPWanted) -> Told:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return Told(far=await shelf.call(wanted, self.given))
        except (NightshiftError, TimeoutError) as error:
            return Told(fault=str(error) or f"no answer within {_ASK_SECONDS:g} s")


def _read_playbook(name: str, known: Sequence[Playbook]) -> Told:
    if not name:
        return Told(playbooks=tuple(PlaybookText(name=each.name, title=each.title) for each in known))
    found = tuple(PlaybookText(name=each.name, title=each.title, text=each.text) for each in known if each.name == name)
    names = ", ".join(each.name for each in known)
    return Told(playbooks=found, fault="" if found else f"there is no playbook {name[:60]!r}; there is: {names}")
