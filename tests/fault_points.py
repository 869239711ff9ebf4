"""The named fault points, as docs/faults.md lists them; `make check` holds that list against the code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).resolve().parents[1] / "docs" / "faults.md"
_ROW: Final = re.compile(r"\| `(?P<name>[a-z.]+)` \| (?P<process>front|worker|runner) \| (?P<moment>[^|]+) \|")


@dataclass(frozen=True, kw_only=True)
class FaultPoint:
    """One place in the code. `process` is the one that dies there: "front", "worker" or "runner"."""

    name: str
    process: str
    moment: str


def read_fault_points() -> tuple[FaultPoint, ...]:
    """Return all fault points in the order in which an incident passes them."""
    rows = (_ROW.fullmatch(line) for line in LIST.read_text(encoding="utf-8").splitlines())
    return tuple(FaultPoint(**row.groupdict()) for row in rows if row)
