"""Whether an address is worth asking: opened by failures, tried again after a while, closed by an answer."""

from enum import StrEnum
from typing import Final

FAILURES: Final = 3
FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 60.0


class Gate(StrEnum):
    """HALF_OPEN: the wait is over, and one probe may show whether somebody is there again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Of one address. Only failures count: a server that is busy is well."""

    def __init__(self) -> None:
        self._failures = 0
        self._wait = FIRST_WAIT
        self._until = 0.0

    @property
    def has_failed(self) -> bool:
        """Say whether the last thing heard of the address was a failure."""
        return self._failures > 0

    def gate(self, now: float) -> Gate:
        if self._failures < FAILURES:
            return Gate.CLOSED
        return Gate.HALF_OPEN if now >= self._until else Gate.OPEN

    def left(self, now: float) -> float:
        """Return the seconds until a probe may be sent; 0 where the address may be asked."""
        return max(self._until - now, 0.0) if self.gate(now) is Gate.OPEN else 0.0

    def succeed(self) -> None:
        self._failures, self._wait = 0, FIRST_WAIT

    def fail(self, now: float) -> None:
        """Note a failure; the third in a row opens, each after a probe doubles the wait."""
        is_again = self._failures >= FAILURES
        self._failures += 1
        if self._failures < FAILURES:
            return
        self._wait = min(self._wait * 2, LONGEST_WAIT) if is_again else FIRST_WAIT
        self._until = now + self._wait

    def hold(self, now: float) -> None:
        """Keep others from probing while one does."""
        self._until = now + FIRST_WAIT

    def come_back(self) -> None:
        """The probe was answered: ask again, and open at once should that fail."""
        self._failures = FAILURES - 1
