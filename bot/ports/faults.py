"""Named points at which a test may kill the process (list: docs/faults.md).

`NIGHTSHIFT_FAULT_POINT=name[:n]` with `NIGHTSHIFT_ALLOW_FAULTS=1` sends SIGKILL to this process the n-th time
(default: first) that it reaches the point. Without both variables `reach` costs one dictionary miss.
"""

import os
import signal
from collections import Counter
from typing import Final

_reached: Counter[str] = Counter()


def _read_plan() -> tuple[str, int]:
    if os.environ.get("NIGHTSHIFT_ALLOW_FAULTS") != "1":
        return "", 0
    name, _, count = os.environ.get("NIGHTSHIFT_FAULT_POINT", "").partition(":")
    return name, int(count) if count.isdigit() else 1


_POINT, _COUNT = _read_plan()
PLANNED: Final = bool(_POINT)


def reach(name: str) -> None:
    """Die here if the plan says so."""
    if name != _POINT:
        return
    _reached[name] += 1
    if _reached[name] == _COUNT:
        os.kill(os.getpid(), signal.SIGKILL)
