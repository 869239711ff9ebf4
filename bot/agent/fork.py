"""A run from one of its steps on, with another model or prompt, and dry: no tool runs, nothing is stored.

The rows before the step are what they were. From there the model is really asked; a call that the run made too, word
for word, gets the answer that it got then. At the first other call the fork ends: what it would yield is not known.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.agent.images import Album
from bot.agent.loop import Agent, Head
from bot.agent.tools.tool import ToolResult
from bot.agent.transcript import State, advance, call_signature
from bot.domain.runs.transcript import Budget, Proposal, Step, StepKind
from bot.errors import Reason, Refused
from bot.ports.model import ModelClient
from bot.services.questions import is_question

_HINT: Final = re.compile(r"\n\(\d+ answers left: [^\n]*\)\Z")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One answer of a model: its words and calls, each as (name, arguments)."""

    text: str
    calls: tuple[tuple[str, str], ...]

    @property
    def signatures(self) -> tuple[str, ...]:
        return tuple(call_signature(name, arguments) for name, arguments in self.calls)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One answer as it was (None: the run had ended) and as it is now (None: the fork had ended)."""

    number: int
    was: Asked | None
    now: Asked | None

    @property
    def is_same(self) -> bool:
        """Say whether both come to the same: the same calls, or the same words where there is no call."""
        if self.was is None or self.now is None or self.was.signatures != self.now.signatures:
            return False
        return bool(self.now.calls) or self.was.text.split() == self.now.text.split()


@dataclass(frozen=True, kw_only=True)
class Fork:
    """What a fork came to. `stopped` names the call that the run never made, "" where the fork came to its end."""

    differences: tuple[Difference, ...]
    stopped: str
    spent: tuple[int, int, int]


class _UnknownCallError(Exception):
    """The run never made this call, so nobody knows what comes back."""


class _KnownAnswers:
    """Stands in for the tools: the answers that calls got in the run."""

    def __init__(self, answers: Mapping[str, ToolResult], *, proposes: bool) -> None:
        self._answers = answers
        self.proposes = proposes

    def for_helper(self) -> "_KnownAnswers":
        return self

    def tell_usage(self, name: str) -> str:  # noqa: ARG002 -- as the tools take it
        return ""

    async def call(self, name: str, arguments: str, _known: Sequence[Proposal], *, room: int) -> ToolResult:  # noqa: ARG002 -- as the tools take it
        found = self._answers.get(call_signature(name, arguments))
        if found is None:
            raise _UnknownCallError(f"{name} {arguments}")
        return found


async def fork_run(
    rows: Sequence[Step], *, at: int, model: ModelClient, head: Head, budget: Budget, album: Album | None = None
) -> Fork:
    """Ask the model again from answer `at` (from 1) on. Raises `Refused` where the run has no such answer."""
    places = [number for number, row in enumerate(rows) if row.kind is StepKind.MODEL]
    if not 1 <= at <= len(places):
        raise Refused(f"the run has answers 1 to {len(places)}; there is no step {at}", Reason.BAD_INPUT)
    kept = list(rows[: places[at - 1]])

    async def keep(step: Step) -> Step:
        kept.append(step)
        return step

    known = _KnownAnswers(_collect(rows), proposes=not is_question(rows[0].run))
    agent = Agent(model=model, tools=known, head=head, budget=budget, append=keep)
    agent.album = album or agent.album
    stopped = ""
    try:
        await agent.run(rows[0].run, tuple(kept), lambda: "")
    except _UnknownCallError as unknown:
        stopped = str(unknown)
    was, now = _list_answers(rows)[at - 1 :], _list_answers(kept)[at - 1 :]
    pairs = [
        Difference(number=at + n, was=was[n] if n < len(was) else None, now=now[n] if n < len(now) else None)
        for n in range(len(now) if stopped else max(len(was), len(now)))
    ]
    return Fork(differences=tuple(pairs), stopped=stopped, spent=_spent(kept[places[at - 1] :]))


def _collect(rows: Sequence[Step]) -> dict[str, ToolResult]:
    """Return the answer of each call, and the patch that was proposed with it."""
    answers: dict[str, ToolResult] = {}
    state, proposed = State(), 0
    for row in rows:
        before, state = state, advance(state, row)
        if row.kind is not StepKind.TOOL:
            continue
        call, body = before.pending[0], json.loads(row.body)
        new = state.proposals[proposed:]
        proposed = len(state.proposals)
        text = _HINT.sub("", body["message"]["content"])
        if not body.get("repeat"):
            answers.setdefault(
                call_signature(call.name, call.arguments), ToolResult(text=text, proposal=new[-1] if new else None)
            )
    return answers


def _list_answers(rows: Sequence[Step]) -> list[Asked]:
    answers = []
    for row in rows:
        if row.kind is StepKind.MODEL:
            message = json.loads(row.body)["message"]
            calls = [call["function"] for call in message.get("tool_calls", [])]
            made = tuple((call["name"], call["arguments"]) for call in calls)
            answers.append(Asked(text=message["content"], calls=made))
    return answers


def _spent(rows: Sequence[Step]) -> tuple[int, int, int]:
    """Return prompt, cached and written tokens of the answers that were really asked for."""
    usages = [json.loads(row.body)["usage"] for row in rows if row.kind is StepKind.MODEL]
    prompt, cached, written = (sum(usage[name] or 0 for usage in usages) for name in ("prompt", "cached", "completion"))
    return prompt, cached, written
