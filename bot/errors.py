"""Every error Nightshift raises on purpose.

NightshiftError
├── ConfigError      the configuration is wrong; lists every problem at once
├── Refused          a rule said no; the text is written for the person who asked
├── Unavailable      a service did not answer; trying again may help
│   └── NotSent      an order did not leave: it may be sent again
├── Rejected         a service said no for good; trying again will not help
└── LimitReached     a budget, a size or a time limit was hit
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_SHOWN: Final = 50
"""Problems that one message lists."""


class Reason(StrEnum):
    """Why something failed: a closed set, because it labels metrics."""

    NOT_FOUND = "not_found"
    NOT_ALLOWED = "not_allowed"
    BAD_SIGNATURE = "bad_signature"
    BAD_INPUT = "bad_input"
    TOO_LARGE = "too_large"
    STALE = "stale"
    EXPIRED = "expired"
    ALREADY_DONE = "already_done"
    CONFLICT = "conflict"
    HOSTILE_PATCH = "hostile_patch"
    UNSAFE = "unsafe"
    PAUSED = "paused"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    SERVER_ERROR = "server_error"
    REVOKED = "revoked"
    FROZEN = "frozen"
    BUDGET = "budget"


class NightshiftError(Exception):
    """Base of all of them; `str(error)` can be shown to a person."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with the configuration: where it is, and what to do."""

    where: str
    what: str

    def __str__(self) -> str:
        return _visible(f"{self.where}: {self.what}")


def _visible(text: str) -> str:
    """Return text that a terminal can show: what it would obey or hide is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


class ConfigError(NightshiftError):
    """The configuration cannot be used; carries all problems found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems[:MAX_SHOWN])
        if len(self.problems) > MAX_SHOWN:
            lines += f"\n  and {len(self.problems) - MAX_SHOWN} more"
        super().__init__(f"The configuration has {len(self.problems)} problem(s):\n{lines}", Reason.BAD_INPUT)


class Refused(NightshiftError):
    """A rule said no. The text says which, in the reader's words."""


class Unavailable(NightshiftError):
    """A service did not answer. `retry_after` is seconds, or None when it gave no hint."""

    def __init__(self, message: str, reason: Reason, retry_after: float | None = None) -> None:
        super().__init__(message, reason)
        self.retry_after = retry_after


class NotSent(Unavailable):
    """An order that may be given only once did not leave, or was turned away for now: it may be sent again."""


class Rejected(NightshiftError):
    """A service said no for good (a revoked token, a bad request, a missing channel)."""


class LimitReached(NightshiftError):
    """A budget, size or time limit was hit."""
