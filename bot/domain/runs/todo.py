"""The model's plan of its own work: a short list that people can follow, read from the rows of its run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.runs.transcript import Step, StepKind
from bot.errors import Reason, Refused

MAX_ITEMS: Final = 12
MAX_TEXT: Final = 80


class TodoState(StrEnum):
    OPEN = "open"
    DOING = "doing"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class TodoItem:
    text: str
    state: TodoState


def read_todo(items: Sequence[tuple[str, str]]) -> tuple[TodoItem, ...]:
    """Return a list given as (text, state). Raises `Refused` that says what would be right."""
    if not 0 < len(items) <= MAX_ITEMS:
        raise Refused(f"items must hold 1 to {MAX_ITEMS} of them", Reason.BAD_INPUT)
    read = [TodoItem(text=" ".join(text.split()), state=TodoState(state)) for text, state in items]
    if any(not 0 < len(item.text) <= MAX_TEXT for item in read):
        raise Refused(f"each item must have 1 to {MAX_TEXT} characters", Reason.BAD_INPUT)
    return tuple(read)


def find_todo(steps: Iterable[Step]) -> tuple[TodoItem, ...]:
    """Return the newest list that the rows hold, empty where there is none."""
    newest = next((step for step in reversed(tuple(steps)) if wrote_todo(step)), None)
    if newest is None:
        return ()
    return tuple(
        TodoItem(text=str(item["text"]), state=TodoState(item["state"])) for item in json.loads(newest.body)["todo"]
    )


def wrote_todo(step: Step) -> bool:
    return step.kind is StepKind.TOOL and '"todo":' in step.body and "todo" in json.loads(step.body)


_MARKS: Final = {TodoState.OPEN: "·", TodoState.DOING: "→", TodoState.DONE: "✓"}


def write_item(item: TodoItem) -> str:
    """Return an item on one line, with the mark of its state."""
    return f"{_MARKS[item.state]} {item.text}"


def count_done(items: Sequence[TodoItem]) -> str:
    """Return "2 of 5 done"."""
    return f"{sum(item.state is TodoState.DONE for item in items)} of {len(items)} done"
