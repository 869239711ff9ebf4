"""Phases that a pause stops: before they begin, and while they run."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import structlog

from bot.engine.phases import Handler, Phase
from bot.errors import Reason, Refused
from bot.ports.work import Store, UnitOfWork
from bot.services.pause import find_pause, hold_phase

log = structlog.get_logger(__name__)
T = TypeVar("T")
STOPPED: Final = frozenset({"triage", "model", "revert", "suggest"})
LOOK: Final = 1.0


class Pausing:
    """Guards the agent's phases. A push has its own check, just before it begins; what has begun is finished."""

    def __init__(self, store: Store, *, look: float = LOOK) -> None:
        self._store = store
        self._look = look

    def guard(self, phase: Phase) -> Phase:
        """Return the phase as a pause stops it; phases that no pause stops come back as they are."""
        return replace(phase, run=self._stoppable(phase.name, phase.run)) if phase.name in STOPPED else phase

    def _stoppable(self, name: str, run: Handler) -> Handler:
        async def guarded(args: Mapping[str, str]) -> None:
            while not await self._in_unit(lambda work: hold_phase(work, name, args)):
                if await self._run_until_paused(run, args):
                    return
            log.info("phase_held", held=name, incident=args["incident"])

        return guarded

    async def _run_until_paused(self, run: Handler, args: Mapping[str, str]) -> bool:
        """Run a phase; False when a pause stopped it on the way. Its stored rows say where it goes on."""
        task = asyncio.ensure_future(run(args))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self._look)
                if await self._in_unit(lambda work: find_pause(work, args["incident"])) and not task.done():
                    return False
            task.result()
        except Refused as refusal:
            if refusal.reason is not Reason.PAUSED:
                raise
            return False
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        return True

    async def _in_unit(self, work: Callable[[UnitOfWork], T]) -> T:
        def run() -> T:
            with self._store.begin() as unit:
                return work(unit)

        return await asyncio.to_thread(run)
