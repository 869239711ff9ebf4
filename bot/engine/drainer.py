"""The drainer: takes stored deliveries in, in order, many in one transaction; what cannot be read is kept and paged."""

import asyncio
from collections.abc import Mapping

import structlog

from bot.domain.alert import AlertGroup
from bot.errors import Refused, Unavailable
from bot.metrics import ALERTS
from bot.ports.alerts import AlertSource
from bot.ports.deliveries import Delivery, DeliveryQueue
from bot.ports.faults import reach
from bot.ports.work import Store
from bot.services.deadletters import report_dead_letter
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)


class Drainer:
    """Moves deliveries from the inbox into incidents."""

    def __init__(
        self, inbox: DeliveryQueue, store: Store, sources: Mapping[str, AlertSource], rules: Rulebook, *, sweep: float
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._sources = sources
        self._rules = rules
        self._sweep = sweep
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Look for deliveries now. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._event.set)

    async def run(self) -> None:
        """Serve until cancelled. A store that does not answer is tried again; nothing is skipped."""
        while True:
            self._event.clear()
            try:
                while await self.drain():
                    pass
            except Unavailable as error:
                log.warning("drain_waits", error=str(error))
            try:
                async with asyncio.timeout(self._sweep):
                    await self._event.wait()
            except TimeoutError:
                continue

    async def drain(self) -> int:
        """Take in one batch and return its size."""
        deliveries = await self._inbox.next()
        if not deliveries:
            return 0
        groups: list[AlertGroup] = []
        taken: list[int] = []
        for delivery in deliveries:
            group = await self._read(delivery)
            if group is not None:
                groups.append(group)
                taken.append(delivery.id)
        if groups:
            touched = await asyncio.to_thread(self._receive, groups)
            log.info("alerts_received", deliveries=len(groups), incidents=list(touched))
        reach("intake.received")
        await self._inbox.settle(taken)
        return len(deliveries)

    async def _read(self, delivery: Delivery) -> AlertGroup | None:
        """Parse a delivery; bury it, and page about it once, when that fails."""
        try:
            group = self._sources[delivery.source].parse(delivery.body)
        except (Refused, KeyError) as error:
            why = str(error) if isinstance(error, Refused) else f"{delivery.source} is no longer a configured sender"
            log.warning("dead_letter", source=delivery.source, number=delivery.id, error=why)
            ALERTS.labels(source=delivery.source, result="dead").inc()
            await asyncio.to_thread(self._report, delivery, why)
            reach("deadletter.reported")
            await self._inbox.bury(delivery.id, why)
            return None
        ALERTS.labels(source=delivery.source, result="read").inc()
        return group

    def _receive(self, groups: list[AlertGroup]) -> tuple[str, ...]:
        with self._store.begin() as work:
            return receive_alerts(work, groups, self._rules)

    def _report(self, delivery: Delivery, why: str) -> None:
        with self._store.begin() as work:
            report_dead_letter(work, source=delivery.source, number=delivery.id, why=why, rules=self._rules)
