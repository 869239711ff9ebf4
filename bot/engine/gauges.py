"""Depths and ages, read every few seconds for the metrics."""

import asyncio

from bot.domain.incident import IncidentState
from bot.metrics import (
    DEAD_LETTERS,
    EFFECTS_OLDEST,
    EFFECTS_OPEN,
    INBOX_OLDEST,
    INBOX_PENDING,
    INCIDENTS_OPEN,
    MODEL_SPENT,
    PAUSED,
)
from bot.ports.deliveries import DeliveryBox
from bot.ports.work import Store
from bot.services.pause import find_pause


class Gauges:
    """Reads what waits, and since when."""

    def __init__(self, store: Store, box: DeliveryBox) -> None:
        self._store = store
        self._box = box

    async def refresh(self) -> None:
        depth = await self._box.depth()
        INBOX_PENDING.set(depth.pending)
        INBOX_OLDEST.set(depth.oldest_seconds)
        DEAD_LETTERS.set(depth.dead)
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        with self._store.begin() as work:
            waiting, oldest = work.effects.backlog()
            paused = find_pause(work) is not None
            states = work.incidents.count_open()
            spent = work.model_spend.today()
        EFFECTS_OPEN.set(waiting)
        EFFECTS_OLDEST.set(oldest)
        PAUSED.set(paused)
        for state in IncidentState:
            if state is not IncidentState.RESOLVED:
                INCIDENTS_OPEN.labels(state=state.value).set(states.get(state, 0))
        MODEL_SPENT.clear()
        for service, used in spent.items():
            for kind, amount in used.measures():
                MODEL_SPENT.labels(service=service, kind=kind).set(amount)
