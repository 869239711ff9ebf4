"""A stable name for each kind of risk, so that a policy can speak of it: the words beside it are for people."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class RiskKind(StrEnum):
    CI = "ci"
    POLICY = "policy"
    DEPENDENCIES = "dependencies"
    BUILD = "build"
    MIGRATION = "migration"
    AUTHENTICATION = "authentication"
    OUTSIDE = "outside"
    MODE = "mode"
    BINARY = "binary"
    TESTS = "tests"
    SIZE = "size"
    UNVERIFIED = "unverified"
    ROLLBACK = "rollback"
    OTHER = "other"


GUARDED: Final = frozenset({RiskKind.CI, RiskKind.POLICY})
"""What break-glass never covers: it decides how the patch itself is judged."""

_BEGINNINGS: Final[Mapping[str, RiskKind]] = {
    "changes a CI file": RiskKind.CI,
    "changes a policy file": RiskKind.POLICY,
    "changes dependencies": RiskKind.DEPENDENCIES,
    "changes a build script": RiskKind.BUILD,
    "changes a database migration": RiskKind.MIGRATION,
    "changes authentication": RiskKind.AUTHENTICATION,
    "changes a file outside": RiskKind.OUTSIDE,
    "changes the mode": RiskKind.MODE,
    "holds a binary file": RiskKind.BINARY,
    "removes a test file": RiskKind.TESTS,
    "removes tests": RiskKind.TESTS,
    "removes assertions": RiskKind.TESTS,
    "moves a test file": RiskKind.TESTS,
    "skips tests": RiskKind.TESTS,
    "changes what": RiskKind.TESTS,
    "was not verified": RiskKind.UNVERIFIED,
    "not verified": RiskKind.UNVERIFIED,
    "rolls back": RiskKind.ROLLBACK,
    "goes back over a database migration": RiskKind.MIGRATION,
}


def kinds_of(reasons: Iterable[str]) -> tuple[RiskKind, ...]:
    """Return the kinds of a patch's reasons, each once; words that are not known are `OTHER`."""
    return tuple(dict.fromkeys(_kind_of(reason) for reason in reasons))


def _kind_of(reason: str) -> RiskKind:
    known = next((kind for beginning, kind in _BEGINNINGS.items() if reason.startswith(beginning)), None)
    if known is not None:
        return known
    words = reason.split()
    counts = len(words) > 2 and words[0] == "changes" and words[1].isdigit()
    return RiskKind.SIZE if counts else RiskKind.OTHER
