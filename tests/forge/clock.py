"""The forge's time: it goes by itself, and a test may put it forward."""

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970, and what a test puts on top."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def write_time(at: float) -> str:
    """Return a time as GitHub writes it, but to the microsecond: its tests do not wait for whole seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
