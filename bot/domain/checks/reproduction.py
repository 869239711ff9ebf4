"""The kinds of reproduction, and how each is said: what was run, what red means, what green means."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: The name of a run that is not one of the service's checks.
REPRODUCTION: Final = "reproduction"


class Reproduce(StrEnum):
    """What a playbook runs to tell a bad commit from a good one; with "log" the log says which of the others it is."""

    REQUEST = "request"
    START = "start"
    SLOW = "slow"
    CHECK = "check"
    LOG = "log"


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How one kind is said.

    `trial` names it, `running` says what is done; `fails` and `works` follow the name of what was tried, `succeeds`
    follows `trial`; `red` and `green` are the verdict of one run; `relapse` is what would refute a claim.
    """

    trial: str
    running: str
    fails: str
    works: str
    succeeds: str
    red: str = "failed"
    green: str = "passed"
    relapse: str


_WORDINGS: Final[Mapping[Reproduce, Wording]] = {
    Reproduce.REQUEST: Wording(
        trial="failing request",
        running="running the failing request",
        fails="fails",
        works="works",
        succeeds="succeeds",
        relapse="the same request failing",
    ),
    Reproduce.START: Wording(
        trial="start of the service",
        running="starting the service",
        fails="does not start and stay up",
        works="starts and stays up",
        succeeds="works",
        red="did not start and stay up",
        green="started and stayed up",
        relapse="the service not starting",
    ),
    Reproduce.SLOW: Wording(
        trial="slow request",
        running="timing the slow request",
        fails="is slow",
        works="is quick",
        succeeds="is quick again",
        red="slow",
        green="quick",
        relapse="the same request being as slow",
    ),
    Reproduce.CHECK: Wording(
        trial="failing check",
        running="running the failing check",
        fails="fails",
        works="passes",
        succeeds="passes",
        relapse="the same check failing",
    ),
    Reproduce.LOG: Wording(
        trial="failure that the log shows",
        running="running what the log shows",
        fails="fails",
        works="works",
        succeeds="is gone",
        relapse="the same error in the log",
    ),
}


def word(kind: Reproduce) -> Wording:
    return _WORDINGS[kind]


def say_seconds(seconds: float) -> str:
    """Say a duration as people read it: "0.8 ms", "85 ms", "1.2 s"."""
    if seconds < 0.01:
        return f"{seconds * 1_000:.1f} ms"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
