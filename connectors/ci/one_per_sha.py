"""One at a time for each commit: whoever comes second finds what the first one started."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bot.domain.ci import CIRun
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.http_transport import not_sent
from connectors.ci.http_values import SHA


class OnePerSha:
    """Locks by commit id; one that nobody holds or wants takes no memory."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted = Counter[str]()

    @asynccontextmanager
    async def __call__(self, sha: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(sha, asyncio.Lock())
        self._wanted[sha] += 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[sha] -= 1
            if not self._wanted[sha]:
                del self._wanted[sha], self._locks[sha]


async def order_once(look: Callable[[], Awaitable[CIRun | None]], send: Callable[[], Awaitable[None]]) -> CIRun | None:
    """Return the run that is there; where there is none, order it and look again. Raises `NotSent` until it is sent."""
    with not_sent():
        run = await look()
    if run is None:
        await send()
        with suppress(Unavailable):  # the order has arrived, whether its run can be seen now or not
            run = await look()
    return run


def require_sha(sha: str) -> str:
    """Raises `Rejected` for what is no whole commit id."""
    if not SHA.fullmatch(sha):
        raise Rejected(f"{sha[:80]!r} is not a whole commit id.", Reason.BAD_INPUT)
    return sha


def must(run: CIRun | None, name: str, sha: str) -> CIRun:
    """Raises `Rejected` where there is no run."""
    if run is None:
        raise Rejected(f"{name} has no run of {sha[:80]!r}.", Reason.NOT_FOUND)
    return run
