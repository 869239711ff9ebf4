"""Phases under way, and how they are left when the process stops: neither done nor failed, for the next start."""

import asyncio
from collections.abc import Coroutine
from typing import Final

import structlog

log = structlog.get_logger(__name__)
CANCEL_SECONDS: Final = 3.0


class Attempts:
    """Runs phases and can let go of them. One that is let go never returns, so the engine writes down no outcome."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def open(self) -> None:
        self._tasks.clear()
        self._is_closing = False

    async def run(self, work: Coroutine[None, None, None]) -> None:
        """Run a phase to its end, or until the process stops."""
        if self._is_closing:
            work.close()
            await _wait_for_ever()
        task = asyncio.create_task(work)
        self._tasks.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not self._is_closing:
                task.cancel()
                raise
            await _wait_for_ever()
        finally:
            self._tasks.discard(task)

    async def close(self, seconds: float) -> int:
        """Let phases end for up to `seconds`, then let go of the rest; return how many those were."""
        self._is_closing = True
        left = set(self._tasks)
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CANCEL_SECONDS)
            log.info("phases_left", count=len(left))
        return len(left)


async def _wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()
