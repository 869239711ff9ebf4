"""Evidence, and the findings that rest on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line as read, already redacted. `at` is None where the line shows no time of its own."""

    source: str
    number: int
    text: str
    at: datetime | None = None

    @property
    def cite(self) -> str:
        return f"{self.source}:{self.number}"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a stack trace, as written in the log."""

    path: str
    line: int
    function: str
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class ErrorRecord:
    """Log lines that belong together: an error message with its stack trace, counted over its repeats."""

    headline: str
    kind: str
    frames: tuple[Frame, ...]
    lines: tuple[LogLine, ...]
    count: int = 1
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def cite(self) -> str:
        return self.lines[0].cite if self.lines else "no line"


@dataclass(frozen=True, kw_only=True)
class FailingRequest:
    """A request that the log shows failing, complete enough to be sent again."""

    method: str
    target: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    cite: str = ""


class Check(StrEnum):
    """What a run in the sandbox said."""

    GREEN = "green"
    RED = "red"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """One command or reproduction, run at one tree in the sandbox. `output` is bounded and redacted.

    `note` is what the verdict rests on where one run is not enough: "median 85 ms of 5", "failed in 2 of 3 runs".
    `kind` is "test", "lint", "types", "other", or "" for a reproduction and in what was stored before there were kinds;
    `attempts` says how often it was run, `greens` how often it was green then; `failing` are the tests that it names.
    """

    name: str
    at: str
    verdict: Check
    seconds: float
    output: str = ""
    note: str = ""
    kind: str = ""
    exit_code: int | None = None
    attempts: int = 1
    greens: int = 0
    required: bool = True
    failing: tuple[str, ...] = ()

    @property
    def is_flaky(self) -> bool:
        """Return whether the same tree gave different answers."""
        return 0 < self.greens < self.attempts


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A commit that may have caused it, with the reasons in words, most convincing first."""

    commit: str
    author: str
    committed_at: datetime
    subject: str
    score: float
    reasons: tuple[str, ...]
    confirmed: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One piece of evidence. `id` is short ("E1") and is what findings cite."""

    id: str
    kind: str
    cite: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim that cites its evidence. A finding without evidence is invalid.

    `confidence` is "confirmed", "likely" or "inconclusive"; `refuted_by` says what would prove it wrong. What is not
    sure says in `next` what to look at now.
    """

    claim: str
    evidence: tuple[str, ...]
    confidence: str
    refuted_by: str = ""
    next: str = ""

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"a finding needs evidence: {self.claim!r}")
