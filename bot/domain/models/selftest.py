"""A self-test: what counts as a silent failure of a tool or of the model, and what a whole test says.

A silent failure is one that ends no run: the model gets an answer, and it is no use.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import ceil
from typing import Final

UNCALLED: Final = ("ask_user", "sub_agent", "todo")
"""Tools that speak to people or to a model: a self-test does not call them."""
REFUSALS: Final = ("Not done: ", "There is no tool ", "Nothing more may be read")
UNANSWERED: Final = "no answer within"
UNRUN: Final = "could not be run to its end"
_UNREAD: Final = re.compile(r"^(?:\(|Releases \().{1,500} could not be read: .*", re.MULTILINE)
_LEAST_SECRET: Final = 6
"""Shorter ones stand in ordinary text by chance."""


class Fault(StrEnum):
    """What was wrong with an answer. Those from NO_CALL on are of the model."""

    EMPTY = "empty"
    CUT = "nothing but a cut"
    TOO_LONG = "too long"
    ERROR = "an error"
    TIME_OUT = "time-out"
    MISSING = "without what was asked for"
    UNSTEADY = "another answer"
    SECRET = "a secret in it"  # noqa: S105 -- words
    NO_CALL = "no tool call"
    BAD_CALL = "malformed call"
    LEAK = "call in text"
    FINISH = "cut off"
    NO_END = "no conclusion"
    SILENT = "no answer"
    REPLAY = "replay differs"


@dataclass(frozen=True, kw_only=True)
class Fair:
    """What a fair answer is: at most `limit` bytes, none of `secrets` in it, `holds` in it. The tool adds `cut` to what
    it cuts. With `may_refuse` a refusal is fair: there may rightly be nothing. With `tells_unread` a line of it may say
    that a part of its source could not be read."""

    limit: int
    cut: str
    secrets: Collection[str] = ()
    holds: str = ""
    may_refuse: bool = False
    tells_unread: bool = False


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong, and how that shows."""

    fault: Fault
    why: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure, with the call that shows it again. `tool` is "model" where the model failed."""

    service: str
    tool: str
    arguments: str
    fault: Fault
    why: str


@dataclass(frozen=True, kw_only=True)
class ToolLine:
    """How one tool did, over all services. Times are in milliseconds."""

    tool: str
    calls: int
    failures: int
    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """How the model did: `first` are the milliseconds to its first token, `whole` to its last, of each answer. `same`
    of `requests` were the same bytes when the runs were replayed."""

    runs: int
    answers: int
    calls: int
    failures: int
    first: tuple[float, ...]
    whole: tuple[float, ...]
    cached: tuple[int | None, ...]
    requests: int
    same: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """A whole test. `model` is None where none was asked, and `has_model` says whether one is configured."""

    services: tuple[str, ...]
    tools: tuple[ToolLine, ...]
    failures: tuple[Failure, ...]
    model: ModelLine | None
    has_model: bool
    seconds: float

    @property
    def is_well(self) -> bool:
        return not self.failures


def judge_answer(answer: str, fair: Fair) -> Wrong | None:
    """Return what is wrong with an answer, the worst first; None where it is fair."""
    if any(secret in answer for secret in fair.secrets if len(secret) >= _LEAST_SECRET):
        return Wrong(fault=Fault.SECRET, why="one of the configured secrets stands in the answer")
    size = _judge_size(answer, fair)
    if size:
        return size
    if answer.startswith((*REFUSALS, f"{fair.holds} {UNRUN}")):
        return _judge_refusal(answer, fair)
    unread = _UNREAD.search(answer) if fair.tells_unread and not fair.may_refuse else None
    if unread:
        return Wrong(fault=Fault.ERROR, why=unread[0][:200])
    if fair.holds and fair.holds not in answer:
        return Wrong(fault=Fault.MISSING, why=f"{fair.holds[:120]!r} is not in: {_begin(answer)}")
    return None


def _judge_size(answer: str, fair: Fair) -> Wrong | None:
    size = len(answer.encode("utf-8", "replace"))
    if size > fair.limit + len(fair.cut.encode()):
        return Wrong(fault=Fault.TOO_LONG, why=f"{size:,} bytes; at most {fair.limit:,}")
    if not answer.strip():
        return Wrong(fault=Fault.EMPTY, why="the answer is empty")
    if not answer.removesuffix(fair.cut).strip():
        return Wrong(fault=Fault.CUT, why="all of the answer was cut")
    return None


def _judge_refusal(answer: str, fair: Fair) -> Wrong | None:
    if UNANSWERED in answer:
        return Wrong(fault=Fault.TIME_OUT, why=_begin(answer))
    return None if fair.may_refuse else Wrong(fault=Fault.ERROR, why=_begin(answer))


def _begin(answer: str) -> str:
    return " ".join(answer.split())[:200]


def find_percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many per cent of all do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def note_cache(prompts: Sequence[int], cached: Sequence[int | None]) -> str:
    """Say in words where the answers of one run do not find their beginning in the server's cache. It fails nothing: a
    server may have no cache, or not say."""
    if len(cached) < 2:
        return ""
    told = [count for count in cached if count is not None]
    if len(told) < len(cached):
        return "the server does not say how much of a prompt it had in its cache"
    if not any(told[1:]):
        return f"nothing of {prompts[-1]:,} prompt tokens was cached: the server keeps no prefix, or forgets it"
    if any(later < earlier for earlier, later in pairwise(told[1:])):
        return f"cached tokens shrink within a run ({', '.join(f'{count:,}' for count in told)})"
    return ""
