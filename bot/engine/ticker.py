"""Ticks that may be lost: gauges, pruning, WAL checkpoints. In memory only; whatever must happen is a row elsewhere."""

from collections.abc import Awaitable, Callable

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.errors import Unavailable

log = structlog.get_logger(__name__)


class Ticker:
    """Calls jobs every so many seconds in this process."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def every(self, seconds: float, name: str, job: Callable[[], Awaitable[None]]) -> None:
        async def tick() -> None:
            try:
                await job()
            except (TimeoutError, Unavailable) as error:
                log.warning("tick_failed", tick=name, error=str(error))

        self._scheduler.add_job(tick, "interval", seconds=seconds, name=name, max_instances=1, coalesce=True)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)
