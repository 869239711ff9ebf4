"""What people did in chat, on its way to the services: stored, acted on once, answered."""

import asyncio
from collections.abc import Sequence

import structlog

from bot.agent.cleaning import redact_value
from bot.domain.chat import Message, Press, Reply, Said, Undelivered
from bot.domain.text.storable import make_storable
from bot.engine.compose import Composer
from bot.engine.compose_board import compose_summary
from bot.errors import Refused, Unavailable
from bot.metrics import PRESSES
from bot.ports.faults import reach
from bot.ports.work import Store
from bot.render.links import Links
from bot.services.conversation import handle, identify, refuse
from bot.services.rulebook import Rulebook
from bot.services.undelivered import note_undelivered

log = structlog.get_logger(__name__)


class StoreInbox:
    """`bot.ports.chat.ChatInbox` over the store."""

    def __init__(self, store: Store, rules: Rulebook, links: Links | None = None) -> None:
        self._store = store
        self._rules = rules
        self._links = links or Links()
        self._composer = Composer(store, rules, self._links)

    async def receive(self, event: Press | Said) -> Reply:
        reach("press.received")
        try:
            reply = await asyncio.to_thread(self._handle, event)
        except Unavailable as error:
            log.warning("press_not_stored", channel=event.channel, error=str(error))
            PRESSES.labels(channel=event.channel, result="unavailable").inc()
            return Reply(text="Nightshift could not store this. Nothing was done; try again in a moment.", ok=False)
        reach("press.handled")
        PRESSES.labels(channel=event.channel, result="done" if reply.ok else "refused").inc()
        return reply

    async def look(self, channel: str, account: str) -> Message | Reply:
        return await asyncio.to_thread(self._look, channel, account)

    def _look(self, channel: str, account: str) -> Message | Reply:
        try:
            with self._store.begin() as work:
                identify(work, channel, account, self._rules)
                return compose_summary(work, self._rules, self._links)
        except Refused as refusal:
            return Reply(text=str(refusal), ok=False)

    async def show(self, channel: str, account: str, incident: str) -> Sequence[Message] | Reply:
        return await asyncio.to_thread(self._show, channel, account, incident)

    def _show(self, channel: str, account: str, incident: str) -> Sequence[Message] | Reply:
        try:
            with self._store.begin() as work:
                identify(work, channel, account, self._rules)
            return self._composer.show_incident(incident, channel)
        except Refused as refusal:
            return Reply(text=str(refusal), ok=False)

    async def report(self, missed: Undelivered) -> None:
        await asyncio.to_thread(self._note, redact_value(missed, make_storable))

    def _note(self, missed: Undelivered) -> None:
        with self._store.begin() as work:
            note_undelivered(work, missed, self._rules)

    def _handle(self, event: Press | Said) -> Reply:
        clean = redact_value(event, make_storable)
        try:
            with self._store.begin() as work:
                return handle(work, clean, self._rules)
        except Refused as refusal:
            with self._store.begin() as work:
                return refuse(work, clean, refusal)
