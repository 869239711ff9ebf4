"""The drainer: takes stored deliveries in, in order, many in one transaction; what cannot be read is kept and paged."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from bot.agent.cleaning import redact_value
from bot.domain.alert import AlertGroup
from bot.domain.text.storable import make_storable
from bot.errors import Refused, Unavailable
from bot.metrics import ALERTS
from bot.ports.alerts import AlertSource
from bot.ports.deliveries import Delivery, DeliveryQueue
from bot.ports.faults import reach
from bot.ports.work import Store
from bot.services.change_watch import hear_changes
from bot.services.deadletters import report_dead_letter
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)
_Read = tuple[Delivery, AlertGroup]
BATCH: Final = 512
PACE: Final = 0.25
"""Seconds between two batches that are not full. What comes meanwhile shares a transaction and an edit of the card: at
150 deliveries a second this takes 30 % of a core instead of 80 %, and senders no longer wait for it (measured)."""
TOGETHER: Final = 8
"""Incidents that one transaction may open: a press waits for its end, and eight of them take 0.1 s (measured)."""
NUL = b"\\u0000"
"""How JSON writes the one character that PostgreSQL does not store."""


def split_portions(read: Sequence[_Read]) -> list[list[_Read]]:
    """Return deliveries in their order, in portions of so many incidents: what joins one of them costs little."""
    portions: list[list[_Read]] = []
    incidents: set[tuple[str, str, str]] = set()
    for delivery, group in read:
        own = {(group.source, group.group_key, alert.name) for alert in group.alerts}
        if not portions or len(incidents | own) > TOGETHER:
            incidents = set()
            portions.append([])
        incidents |= own
        portions[-1].append((delivery, group))
    return portions


class Drainer:
    """Moves deliveries from the inbox into incidents."""

    def __init__(
        self,
        inbox: DeliveryQueue,
        store: Store,
        sources: Mapping[str, AlertSource],
        rules: Rulebook,
        *,
        sweep: float,
        on_commits: Callable[[Sequence[str]], None] = lambda _commits: None,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._sources = sources
        self._rules = rules
        self._sweep = sweep
        self._on_commits = on_commits
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
                while size := await self.drain():
                    if size < BATCH:
                        await asyncio.sleep(PACE)
            except Unavailable as error:
                log.warning("drain_waits", error=str(error))
            try:
                async with asyncio.timeout(self._sweep):
                    await self._event.wait()
            except TimeoutError:
                continue

    async def drain(self) -> int:
        """Take in one batch and return its size."""
        deliveries = await self._inbox.next(BATCH)
        if not deliveries:
            return 0
        read: list[_Read] = []
        for delivery, outcome in await asyncio.to_thread(self._parse, deliveries):
            if isinstance(outcome, AlertGroup):
                ALERTS.labels(source=delivery.source, result="read").inc()
                read.append((delivery, outcome))
            else:
                await self._bury(delivery, outcome)
        for portion in split_portions(read) or [read]:
            taken = await self._take_in(portion)
            self._on_commits([sha for _, group in portion for sha in group.commits])
            reach("intake.received")
            await self._inbox.settle(taken)
        return len(deliveries)

    async def _take_in(self, read: Sequence[_Read]) -> list[int]:
        """Take groups in, in one transaction, and return their numbers; one that cannot be is buried alone."""
        if not read:
            return []
        try:
            touched = await asyncio.to_thread(self._receive, read)
        except Unavailable:
            raise
        except Exception as error:
            if len(read) > 1:
                return [number for one in read for number in await self._take_in([one])]
            log.exception("delivery_crashed", number=read[0][0].id)
            await self._bury(
                read[0][0], f"Nightshift made a mistake with it ({type(error).__name__}); its log says more"
            )
            return []
        log.info("alerts_received", deliveries=len(read), incidents=list(touched))
        return [delivery.id for delivery, _ in read]

    def _parse(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, AlertGroup | str]]:
        """Read deliveries; a text in the place of a group says why one cannot be read. What came word for word before
        is the same group again."""
        read = {(delivery.source, delivery.body): delivery for delivery in deliveries}
        outcomes = {words: self._read(delivery) for words, delivery in read.items()}
        return [(delivery, outcomes[delivery.source, delivery.body]) for delivery in deliveries]

    def _read(self, delivery: Delivery) -> AlertGroup | str:
        source = self._sources.get(delivery.source)
        if source is None:
            return f"{delivery.source} is no longer a configured sender"
        try:
            group = source.parse(delivery.body)
            return redact_value(group, make_storable) if NUL in delivery.body else group
        except Refused as refusal:
            return str(refusal)
        except Exception as error:
            log.exception("parser_crashed", number=delivery.id)
            return f"Nightshift made a mistake reading it ({type(error).__name__}); its log says more"

    async def _bury(self, delivery: Delivery, why: str) -> None:
        """Page about a delivery, once, and keep it as a dead letter."""
        why = make_storable(why)
        log.warning("dead_letter", source=delivery.source, number=delivery.id, error=why)
        ALERTS.labels(source=delivery.source, result="dead").inc()
        await asyncio.to_thread(self._report, delivery, why)
        reach("deadletter.reported")
        await self._inbox.bury(delivery.id, why)

    def _receive(self, read: Sequence[_Read]) -> tuple[str, ...]:
        """Take in what no other process has taken in meanwhile."""
        with self._store.begin() as work:
            ours = set(work.deliveries.take([delivery.id for delivery, _ in read]))
            groups = [group for delivery, group in read if delivery.id in ours]
            hear_changes(work, [sha for group in groups for sha in group.ended])
            return receive_alerts(work, groups, self._rules)

    def _report(self, delivery: Delivery, why: str) -> None:
        with self._store.begin() as work:
            if work.deliveries.take([delivery.id], error=why):
                report_dead_letter(work, source=delivery.source, number=delivery.id, why=why, rules=self._rules)
