"""A watch over an incident: short runs of the model on a schedule, each about what changed since the one before."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from bot.domain.question import MAX_QUESTION
from bot.domain.runs.progress import Happening
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused

SHORTEST: Final = timedelta(minutes=5)
"""Between two looks, unless the configuration says otherwise: a look costs the model some steps."""
RAREST: Final = timedelta(days=1)
LONGEST: Final = timedelta(days=7)
MOST_LOOKS: Final = 500
TOLD_LOOKS: Final = 12
"""Looks that stand in an account of the incident, the newest."""
BEGUN, ENDED = "watch_begun", "watch_ended"
"""Kinds of rows on the timeline."""
EVERY: Final = timedelta(minutes=30)
LASTS: Final = timedelta(hours=4)
QUESTION: Final = "Is anything different from before?"
HOW: Final = "For example: /incident watch INC-7 30m 2d are the timeouts back?"

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|sec|m|min|h|d)")
_SECONDS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_VERDICT: Final = re.compile(r"\W{0,4}(CHANGED|SAME)\b[\s:.,;*_`–—-]*")


_Row = TypeVar("_Row", TimelineEvent, Happening)


class Verdict(StrEnum):
    """What a look says of the time since the look before. `UNCLEAR` where it says neither, `MISSED` where the model
    gave no answer."""

    CHANGED = "changed"
    SAME = "the same"
    UNCLEAR = "unclear"
    MISSED = "no answer"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What somebody wants to be told of, how often it is looked for, and until when."""

    number: int
    person: str
    question: str
    began: datetime
    every: timedelta
    until: datetime

    def find_next(self, place: int, now: datetime) -> tuple[int, datetime] | None:
        """Return the look that follows the one at `place`, by its place in the schedule and its time; None when the
        watch is over.

        A look that was missed is not made up for: the next one sees all that happened meanwhile.
        """
        place = max(place, (now - self.began) // self.every) + 1
        due = self.began + place * self.every
        return (place, due) if due <= self.until else None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one run of a watch is about. `before` is when the last look was that saw something, `news` what the
    timeline says since; `state` is how the incident stands."""

    number: int
    state: str
    before: datetime | None = None
    news: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A look that was taken: which one, when, and what came of it."""

    number: int
    at: datetime
    verdict: Verdict
    words: str


def read_watch(words: Sequence[str], shortest: timedelta = SHORTEST) -> tuple[timedelta, timedelta, str]:
    """Read "every 30m for 2d WHAT": how often, for how long, and what for. Each part may be left out, "every" and
    "for" too. Raises `Refused` with what to write."""
    rest = list(words)
    every = _take_span(rest, "every") or EVERY
    lasts = _take_span(rest, "for") or max(LASTS, every)
    question = " ".join(rest) or QUESTION
    if not shortest <= every <= RAREST:
        text = f"A watch looks every {write_length(shortest)} at most, and once in {write_length(RAREST)} at least."
        raise Refused(f"{text} {HOW}", Reason.BAD_INPUT)
    if not every <= lasts <= LONGEST:
        text = f"A watch lasts for one look at least, and {write_length(LONGEST)} at most."
        raise Refused(f"{text} {HOW}", Reason.BAD_INPUT)
    if lasts // every > MOST_LOOKS:
        text = (
            f"That would be {lasts // every:,} looks; {MOST_LOOKS} are the most. Look less often, or not for so long."
        )
        raise Refused(text, Reason.TOO_LARGE)
    if len(question) > MAX_QUESTION:
        text = f"That has {len(question)} characters; say in at most {MAX_QUESTION} what to look for."
        raise Refused(text, Reason.TOO_LARGE)
    return every, lasts, question


def is_span(word: str) -> bool:
    """Say whether a word is a length of time, such as "30m"."""
    return _SPAN.fullmatch(word.lower()) is not None


def _take_span(rest: list[str], lead: str) -> timedelta | None:
    """Take a length of time from the front, with or without the word that leads it."""
    place = 1 if rest and rest[0].lower() == lead else 0
    found = _SPAN.fullmatch(rest[place].lower()) if len(rest) > place else None
    if found is None:
        return None
    del rest[: place + 1]
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def write_length(span: timedelta) -> str:
    """Return "30 min", "1 h", "90 s" or "5 days": the largest unit that says it exactly."""
    seconds = round(span.total_seconds())
    for unit, name in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds % unit == 0 and seconds:
            plural = "s" if name == "day" and seconds != unit else ""
            return f"{seconds // unit} {name}{plural}"
    return f"{seconds} s"


def leave_out_looks(rows: Sequence[_Row]) -> list[_Row]:
    """Return rows of an incident without the older looks of its watches, of which there may be hundreds; one row says
    how many."""
    looks = [row.data["run"] for row in rows if "look" in row.data]
    left = looks[:-TOLD_LOOKS]
    hidden, last = frozenset(left), left[-1] if left else ""
    kept: list[_Row] = []
    for row in rows:
        run = row.data.get("run", "")
        if "look" in row.data and run == last:
            kept.append(replace(row, text=f"{len(left)} older looks are left out here", data={}))
        elif run not in hidden:
            kept.append(row)
    return kept


def read_look(text: str) -> tuple[Verdict, str]:
    """Return what a look's answer says, and its words without that. Only the word that it was asked to begin with
    counts: a change is told in a message of its own, and nothing else is."""
    found = _VERDICT.match(text)
    if found is None:
        return Verdict.UNCLEAR, text.strip()
    return Verdict.CHANGED if found[1] == "CHANGED" else Verdict.SAME, text[found.end() :].strip()
