"""The kinds of reproduction, and how each is said: what was run, what red means, what green means."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reproduce(StrEnum):
    """What a playbook runs to tell a bad commit from a good one."""

    REQUEST = "request"
    START = "start"
    SLOW = "slow"
    CHECK = "check"


@dataclass(frozen=True, kw_only=True)
class Wording:
    """`trial` names it; `fails` and `works` follow the name of what was tried; `succeeds` follows `trial`."""

    trial: str
    fails: str
    works: str
    succeeds: str


_WORDINGS: Final[Mapping[Reproduce, Wording]] = {
    Reproduce.REQUEST: Wording(trial="failing request", fails="fails", works="works", succeeds="succeeds"),
    Reproduce.START: Wording(
        trial="start of the service", fails="does not start and stay up", works="starts and stays up", succeeds="works"
    ),
    Reproduce.SLOW: Wording(trial="slow request", fails="is slow", works="is quick", succeeds="is quick again"),
    Reproduce.CHECK: Wording(trial="failing check", fails="fails", works="passes", succeeds="passes"),
}


def word(kind: Reproduce) -> Wording:
    return _WORDINGS[kind]


def say_seconds(seconds: float) -> str:
    """Say a duration as people read it: "0.8 ms", "85 ms", "1.2 s"."""
    if seconds < 0.01:
        return f"{seconds * 1_000:.1f} ms"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
