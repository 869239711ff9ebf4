"""Discord's limits of one route, as its answers tell them. The SDK's own bucket refuses calls that are left where the
bucket is full again only in minutes, as that for new threads is, and lets a call that was answered wait for the next.
"""

import asyncio
from types import TracebackType
from typing import Final

from discord.errors import RateLimited
from discord.http import Ratelimit

LONGEST_WAIT: Final = 5.0
"""Seconds that a call may be held back for Discord's own limits; longer waits are the dispatcher's."""


class Bucket(Ratelimit):
    """Lets calls through while there are any left, and then waits, or raises `RateLimited` where that takes long."""

    async def acquire(self) -> None:
        self._last_request = self._loop.time()
        if self.is_expired():
            self.reset()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        while self.remaining <= 0 and self.expires is not None:
            wait = self.expires - self._loop.time()
            if wait > LONGEST_WAIT:
                raise RateLimited(wait)
            await asyncio.sleep(max(wait, 0.0) + 0.01)
            if self.is_expired():
                self.reset()  # type: ignore[no-untyped-call]  # as above
        if self.remaining <= 0:  # the first call is under way, and nothing known of the limits
            await super().acquire()
            return
        self.remaining -= 1
        self.outgoing += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outgoing -= 1
        if self.expires is None:  # the answer told of no limits
            self.reset()  # type: ignore[no-untyped-call]  # as above
        self._wake(max(1, self.remaining - self.outgoing))
