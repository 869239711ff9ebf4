"""Evidence that lies elsewhere, asked for all at once. Whoever looks takes what has come; what has not is named."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import structlog

from bot.domain.investigation import Job

log = structlog.get_logger(__name__)
Put = Callable[[Job], Job]
"""Puts what a source has answered into a job."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One source. `ask` never raises what a source may do; `lack` puts into a job why nothing has come, in words."""

    name: str
    ask: Awaitable[Put]
    lack: Callable[[Job, str], Job]


class Gathering:
    """What was asked for, from when it is entered until it is left: then nobody waits for the rest."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._tasks = [asyncio.ensure_future(one.ask) for one in asked]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def passed(self) -> float:
        """Return how many seconds ago everything was asked for."""
        return self._clock() - self._began

    @property
    def come(self) -> int:
        """Return how many sources have answered."""
        return sum(task.done() for task in self._tasks)

    async def look(self, job: Job, *, seconds: float) -> Job:
        """Return the job with what has come when all has, or so many seconds after it was asked for.

        `awaited` in it names what has not; of that the reason is put where its answer would be.
        """
        left = seconds - self.passed
        if left > 0 and self._tasks:
            await asyncio.wait(self._tasks, timeout=left)
        for one, task in zip(self._asked, self._tasks, strict=True):
            job = self._put(job, one, task)
        waiting = zip(self._asked, self._tasks, strict=True)
        return replace(job, awaited=tuple(one.name for one, task in waiting if not task.done()))

    def _put(self, job: Job, one: Asked, task: "asyncio.Future[Put]") -> Job:
        if not task.done():
            return one.lack(job, f"no answer in {self.passed:.0f} s")
        error = task.exception()
        if error is None:
            return task.result()(job)
        log.error("source_crashed", source=one.name, exc_info=error)
        return one.lack(job, f"{type(error).__name__} while reading it")
