"""What a model's tools may ask for in `triage`: metrics and playbooks. There is no server, so nothing else is known."""

from dataclasses import dataclass
from typing import Final

from bot.bootstrap.rules import load_playbooks
from bot.engine.far_metrics import read_metrics
from bot.ports.desk import MetricsWanted, PlaybookText, PlaybookWanted, Question, Told
from bot.ports.metrics import MetricSource

_UNKNOWN: Final = "this is the terminal, without a server: CI, past incidents and what others told of are not known"


@dataclass(frozen=True, kw_only=True)
class TerminalDesk:
    """`bot.ports.desk.Ask` without a front process."""

    metrics: MetricSource | None

    async def ask(self, question: Question) -> Told:
        if isinstance(question, MetricsWanted):
            if self.metrics is None:
                return Told(fault="no metric server is named (--prometheus URL)")
            return Told(metrics=await read_metrics(question.unread, self.metrics))
        if isinstance(question, PlaybookWanted):
            return _read_playbook(question.name)
        return Told(fault=_UNKNOWN)


def _read_playbook(name: str) -> Told:
    known = load_playbooks(())
    if not name:
        return Told(playbooks=tuple(PlaybookText(name=each.name, title=each.title) for each in known))
    found = tuple(PlaybookText(name=each.name, title=each.title, text=each.text) for each in known if each.name == name)
    names = ", ".join(each.name for each in known)
    return Told(playbooks=found, fault="" if found else f"there is no playbook {name[:60]!r}; there is: {names}")
