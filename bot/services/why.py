"""Why: what the agent did in a run, one line for each step, and the whole of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from bot.domain.incident import Incident
from bot.domain.runs.account import (
    ASIDE,
    ENDED,
    StepLine,
    add_up,
    tell_model,
    tell_profile,
    tell_steps,
    write_short,
    write_tokens,
    write_whole,
)
from bot.domain.runs.progress import Happening, fold_progress
from bot.domain.runs.todo import TodoItem, count_done, find_todo, write_item
from bot.domain.text.unseen import make_harmless
from bot.domain.timeline import TimelineEvent
from bot.domain.watch import leave_out_looks
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import announce
from bot.services.modelling import QUEUED
from bot.services.questions import ASKED
from bot.services.run_story import Story, list_runs, read_story

WIDTH: Final = 40
"""Columns of a line that a phone shows whole."""
MOST_LINES: Final = 24
MAX_FILE: Final = 400_000
_TOLD: Final = frozenset(
    {"triage_queued", "triage_skipped", "triage_started", "stage", "triage_ended", "model_queued", "model_waits",
     "model_cut", "model_ended", "model_suggested", "patch_ready", "paused", "held", "resumed", "steered",
     "model_asked", "model_told", "question_asked", "question_answered", "watch_begun", "watch_ended"}
)  # fmt: skip
_WORKS: Final = frozenset({QUEUED, ASKED})
"""Begin a work of the model, a row of its transcript each: looking for a patch, or for an answer."""
_Row = TypeVar("_Row", TimelineEvent, Happening)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A run told: its rows, and the model's steps in it."""

    story: Story
    state: str
    lines: tuple[StepLine, ...]
    course: tuple[Happening, ...]
    todo: tuple[TodoItem, ...] = ()
    profile: str = ""
    model: str = ""
    questions: frozenset[str] = frozenset()

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the titles of the works of the model in it, such as another one that somebody asked for."""
        return tuple(dict.fromkeys(line.part for line in self.lines))

    @property
    def second(self) -> Counter[str]:
        """Return how many answers each second model gave."""
        return Counter(line.by for line in self.lines if line.by)

    @property
    def end(self) -> str:
        """Return why the newest work of the model ended, other than on a question; "" while it goes on."""
        own = (line for line in reversed(self.lines) if line.part not in self.questions)
        newest = next((line for line in own if not line.call.startswith(ASIDE)), None)
        return f"{newest.call.removeprefix(ENDED)}: {newest.came}" if newest and newest.call.startswith(ENDED) else ""


def read_account(work: UnitOfWork, incident: str, run: str = "") -> Account:
    """Return the account of a run, of the newest without one. Raises `Refused` where there is none."""
    current = work.incidents.get(incident)
    runs = list_runs(work.timeline.of(current.id), current.id)
    if not runs:
        raise Refused(f"{current.id} was not investigated, so there is nothing to tell.", Reason.NOT_FOUND)
    story = read_story(work, run or runs[-1])
    happenings = leave_out_looks(story.happenings)
    works = name_works(happenings)
    titles = {name: row.text for name, row in works.items()}
    transcripts = [work.transcripts.of(name) for name in titles]
    lines = [
        replace(line, part=title)
        for title, steps in zip(titles.values(), transcripts, strict=True)
        for line in tell_steps(steps)
    ]
    todo = next((found for steps in reversed(transcripts) if (found := find_todo(steps))), ())
    profiles = dict.fromkeys(filter(None, map(tell_profile, transcripts)))
    course = tuple(row for row in happenings if row.kind in _TOLD)
    return Account(
        story=story,
        state=fold_progress(story.happenings).status.value,
        lines=tuple(lines),
        course=course,
        todo=todo,
        profile=", ".join(profiles),
        model=", ".join(dict.fromkeys(filter(None, map(tell_model, transcripts)))),
        questions=frozenset(row.text for row in works.values() if row.kind == ASKED),
    )


def name_works(rows: Iterable[_Row]) -> dict[str, _Row]:
    """Return what began each work of the model, by the name of its run, oldest first."""
    works: dict[str, _Row] = {}
    for row in rows:
        if row.kind in _WORKS and "run" in row.data:
            works.setdefault(row.data["run"], row)
    return works


def tell_why(work: UnitOfWork, incident: str, channel: str) -> str:
    """Return what the agent did, short; the whole follows in the thread, as a file, where it was asked for."""
    current = work.incidents.get(incident)
    account = read_account(work, incident)
    _promise_file(work, current, account, channel)
    return write_account(account)


def _promise_file(work: UnitOfWork, incident: Incident, account: Account, channel: str) -> None:
    rows = len(account.story.happenings)
    mine = [name for name in incident.channels if name == channel]
    number = account.story.run.rpartition(":")[2]
    for name in mine:
        announce(work, replace(incident, channels=(name,)), "notice", arg=f"why.{number}", once=f"why-{number}-{rows}")


def write_account(account: Account) -> str:
    """Return the account in lines of forty columns, the newest steps where there are too many."""
    head = [f"{account.story.run} {account.state}"]
    if not account.lines:
        told = [_write_row(row) for row in account.course]
        return make_harmless("\n".join([*head, "No model worked on it.", *told[-MOST_LINES:]]))
    cost = add_up(account.lines)
    head += [f"profile {account.profile}"] if account.profile else []
    head += [_cut(f"model {account.model}")] if account.model else []
    head += [_cut(f"{count} by the second, {name}") for name, count in account.second.items()]
    head.append(f"{len(account.lines)} steps, {cost.seconds:,.0f} s, {cost.gpu_seconds:,.0f} GPU s")
    head.append(f"{write_tokens(cost.prompt)} tokens, {cost.cached_share} % cached")
    numbered = [write_short(number, line, WIDTH) for number, line in enumerate(account.lines, start=1)]
    if account.todo:
        head += [f"Plan, {count_done(account.todo)}:", *(_cut(write_item(item)) for item in account.todo)]
    left = len(numbered) - MOST_LINES
    if left > 0:
        head.append(f"… {left} steps before these; all of it is in the file")
    return make_harmless("\n".join([*head, *(" ".join(line.split()) for line in numbered[-MOST_LINES:])]))


def write_file(account: Account) -> str:
    """Return the whole account: the course of the run, then every step with its arguments and its result."""
    cost = add_up(account.lines)
    head = f"{account.story.run} {account.state}"
    head += f", profile {account.profile}" if account.profile else ""
    head += f", model {account.model}" if account.model else ""
    parts = [head, "", *(_write_row(row) for row in account.course), ""]
    if account.todo:
        parts += [f"Plan, {count_done(account.todo)}:", *(write_item(item) for item in account.todo), ""]
    part = account.lines[0].part if account.lines else ""
    for number, line in enumerate(account.lines, start=1):
        parts += [f"— {line.part} —", ""] if line.part != part else []
        part = line.part
        parts += write_whole(number, line)
    if account.lines:
        spent = f"{cost.prompt:,} prompt tokens ({cost.cached:,} cached), {cost.completion:,} written"
        spent += f" ({cost.reasoning:,} of them thinking)" if cost.reasoning else ""
        parts.append(f"{spent}, {cost.seconds:,.1f} s, {cost.gpu_seconds:,.1f} GPU seconds")
    text = make_harmless("\n".join(parts))
    return text if len(text) <= MAX_FILE else f"{text[:MAX_FILE]}\n… cut here; `nightshift replay` prints all of it\n"


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _write_row(row: Happening) -> str:
    return f"{_clock(row.at)} {' '.join(row.text.split())}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"
