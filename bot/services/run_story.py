"""The rows of one run in their order: what the timeline and the model's transcripts hold of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bot.domain.runs.progress import Happening
from bot.domain.runs.transcript import Step, StepKind
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.wishes import base_run

_BEGINS: Final = frozenset({"triage_queued", "triage_skipped"})
_WORDS: Final[Mapping[StepKind, str]] = {
    StepKind.TASK: "The model has its task",
    StepKind.NOTE: "The model is reminded",
    StepKind.PATCH: "The model proposes a patch",
    StepKind.HELPER: "A helper works on it",
    StepKind.ASK: "The model asks people",
    StepKind.COMPACT: "Old results were shortened",
    StepKind.END: "The model's run has ended",
    StepKind.AUXILIARY: "The model was asked for a title and a severity",
}


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How much of a run somebody has seen: the timeline's last row, and how many rows of each transcript."""

    timeline: int = 0
    steps: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "-".join(str(part) for part in (self.timeline, *self.steps))


def read_cursor(text: str) -> Cursor:
    """Read what `str` wrote. Raises `Refused`."""
    parts = text.strip().split("-")
    if len(text) > 400 or not all(part.isascii() and part.isdecimal() and len(part) < 16 for part in parts):
        raise Refused("Last-Event-ID is none of this stream's ids.", Reason.BAD_INPUT)
    return Cursor(timeline=int(parts[0]), steps=tuple(int(part) for part in parts[1:]))


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run's rows, oldest first; `transcripts` are the model's runs in it, in the order of being asked for."""

    run: str
    incident: str
    transcripts: tuple[str, ...]
    happenings: tuple[Happening, ...]

    def split(self, seen: Cursor) -> tuple[list[Happening], list[Happening]]:
        """Return what somebody has seen, and what is new to them."""
        limits = dict(zip(self.transcripts, seen.steps, strict=False))
        old: list[Happening] = []
        new: list[Happening] = []
        for row in self.happenings:
            was_seen = row.seq < limits.get(row.transcript, 0) if row.transcript else row.seq <= seen.timeline
            (old if was_seen else new).append(row)
        return old, new

    def move(self, cursor: Cursor, row: Happening) -> Cursor:
        """Return the cursor after one more row."""
        if not row.transcript:
            return Cursor(timeline=row.seq, steps=cursor.steps)
        at = self.transcripts.index(row.transcript)
        steps = [*cursor.steps, *[0] * (at + 1 - len(cursor.steps))]
        steps[at] = row.seq + 1
        return Cursor(timeline=cursor.timeline, steps=tuple(steps))


def list_runs(events: Sequence[TimelineEvent], incident: str) -> list[str]:
    """Return the names of an incident's runs, oldest first."""
    count = sum(event.kind in _BEGINS for event in events)
    return [f"{incident}:{number}" for number in range(1, count + 1)]


def read_story(work: UnitOfWork, run: str) -> Story:
    """Return a run's rows ("INC-7:1"). Raises `Refused` where there is no such run."""
    incident = run.partition(":")[0]
    events = work.timeline.of(work.incidents.get(incident).id)
    if run not in list_runs(events, incident):
        raise Refused(f"There is no run {run[:60]!r}.", Reason.NOT_FOUND)
    mine = [event for event, owner in assign_rows(events, incident) if owner == run]
    named = [event.data["run"] for event in mine if event.kind == "model_queued" and "run" in event.data]
    transcripts = tuple(dict.fromkeys(named))
    rows = [of_timeline(event) for event in mine]
    for name in transcripts:
        times = work.transcripts.times(name)
        rows += [of_step(step, times[step.seq]) for step in work.transcripts.of(name)]
    ordered = sorted(rows, key=lambda row: (row.at, bool(row.transcript), row.seq))
    return Story(run=run, incident=incident, transcripts=transcripts, happenings=tuple(ordered))


def assign_rows(events: Iterable[TimelineEvent], incident: str) -> Iterator[tuple[TimelineEvent, str]]:
    """Yield each row of an incident with the run it belongs to; what names a run or a patch belongs to that one."""
    number = 0
    owners: dict[str, str] = {}
    for event in events:
        number += event.kind in _BEGINS
        now = f"{incident}:{max(number, 1)}"
        owner = _find_owner(event, owners) or now
        for name in ("digest", "sha"):
            if name in event.data:
                owners.setdefault(event.data[name][:12], owner)
        yield event, owner


def _find_owner(event: TimelineEvent, owners: Mapping[str, str]) -> str:
    if event.kind in _BEGINS:
        return ""
    if ":" in event.data.get("run", ""):
        return base_run(event.data["run"])
    known = (owners.get(event.data[name][:12], "") for name in ("digest", "sha") if name in event.data)
    return next(filter(None, known), "")


def of_timeline(event: TimelineEvent) -> Happening:
    return Happening(at=event.at, seq=event.seq, kind=event.kind, text=event.text, data=event.data)


def of_step(step: Step, at: datetime) -> Happening:
    """Return a transcript's row in words: which tools were called, or what came of it."""
    body = json.loads(step.body)
    calls = _read_calls(body) if step.kind is StepKind.MODEL else ()
    text = _WORDS.get(step.kind, "")
    if step.kind is StepKind.MODEL:
        text = f"calls {', '.join(calls)}" if calls else "answers in words"
    elif step.kind is StepKind.TOOL:
        text = f"{_name(body['message'].get('name'))} answered"
    kind, data = f"step.{step.kind.value}", _read_numbers(body)
    return Happening(at=at, seq=step.seq, kind=kind, text=text, transcript=step.run, data=data, calls=calls)


def _read_calls(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_name(call["function"]["name"]) for call in body["message"].get("tool_calls", []))


def _name(name: object) -> str:
    return str(name)[:60]


def _read_numbers(body: Mapping[str, Any]) -> dict[str, str]:
    usage = body.get("usage") or {}
    numbers = {name: usage[name] for name in ("prompt", "cached", "completion") if usage.get(name) is not None}
    return {
        name: str(value) for name, value in (numbers | {"seconds": body.get("seconds")}).items() if value is not None
    }
