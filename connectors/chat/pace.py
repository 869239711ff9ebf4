"""Not calling a service more often than it lets us: a turn that is waited for costs nothing, a refusal a call."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from bot.errors import Reason, Unavailable

T = TypeVar("T")
_SHORT: Final = 5.5
"""Seconds that a call may be held back here; longer waits are the dispatcher's."""
_LONGEST: Final = 70.0
_TRIES: Final = 4


class Pace:
    """Turns, so that no window holds more calls than it may: `(count, seconds)` each."""

    def __init__(self, *windows: tuple[int, float]) -> None:
        self._windows = tuple((count, seconds, deque[list[float]]()) for count, seconds in windows)

    @asynccontextmanager
    async def turn(self, *, spare: int = 0) -> AsyncIterator[None]:
        """Begin when it is our turn. `spare` are turns of each longer window that are left to what is more urgent.

        Raises `Unavailable` where the turn comes later than in a moment. A call counts from its end: how long it was on
        its way is not known.
        """
        wait = self._find_wait(time.monotonic(), spare)
        if wait > _SHORT:
            raise Unavailable(f"It is too soon for another message, by {wait:.0f} s.", Reason.RATE_LIMITED, wait)
        taken = [time.monotonic() + wait]
        self._take(taken)
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            yield
        finally:
            taken[0] = time.monotonic()

    def _take(self, taken: list[float]) -> None:
        for _, _, calls in self._windows:
            calls.append(taken)

    def _find_wait(self, now: float, spare: int) -> float:
        wait = 0.0
        for count, seconds, calls in self._windows:
            while calls and calls[0][0] <= now - seconds:
                calls.popleft()
            free = count - spare if count > 2 * spare else count
            if len(calls) >= free:
                wait = max(wait, calls[-free][0] + seconds - now)
        return wait


class Credit(Pace):
    """A turn every so many seconds, and `count` of them at once on credit: each is paid back by waiting later."""

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__()
        self._count = count
        self._seconds = seconds
        self._paid_at = 0.0

    def _find_wait(self, now: float, spare: int) -> float:
        return max(0.0, self._paid_at - now - (self._count - spare - 1) * self._seconds)

    def _take(self, taken: list[float]) -> None:
        self._paid_at = max(self._paid_at, taken[0]) + self._seconds


async def insist(act: Callable[[], Awaitable[T]]) -> T:
    """Do something now, or once the service lets us: an answer to a person has nobody else who would try again."""
    for _ in range(_TRIES):
        try:
            return await act()
        except Unavailable as error:
            if error.reason is not Reason.RATE_LIMITED:
                raise
            await asyncio.sleep(min(error.retry_after or 1.0, _LONGEST))
    return await act()
