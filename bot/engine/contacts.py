"""Keeps the promises to wake people outside of chat: each contact for itself, until somebody has the incident.

A page that may have gone out before the process died is sent again: at most once more per crash.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from bot.engine.finishing import finish
from bot.engine.tools import UnitWork
from bot.errors import NightshiftError, Reason, Refused, Rejected, Unavailable
from bot.metrics import EFFECTS
from bot.ports.faults import reach
from bot.ports.pager import Pager, PageText
from bot.ports.work import Effect, EffectState, Store, UnitOfWork
from bot.render.contact import render_contact_page, render_test_page
from bot.render.links import Links
from bot.services.contacts import CONTACT, TEST, is_called_for, is_due, record_reached
from bot.services.rulebook import Rulebook
from bot.services.unreached import record_unreached

log = structlog.get_logger(__name__)
SEND_SECONDS: Final = 20.0
PAUSES: Final = (2.0, 8.0)
"""Seconds before the second and the third try; after that the contact is dead. Three tries that hang take 70 s, and
another contact or level has to be used within 120 s."""
PACE: Final = 0.2
"""Seconds between two looks: in a storm of alerts there is a commit to look after all the time."""

Contacts = Mapping[tuple[str, str], Pager]
"""(person, contact) → what sends to it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one contact said to a test."""

    contact: str
    ok: bool
    text: str


class ContactDispatcher(UnitWork):
    """Sends what the store promises to contacts. A contact that hangs holds up no other."""

    def __init__(self, store: Store, rules: Rulebook, contacts: Contacts, *, links: Links, sweep: float) -> None:
        super().__init__(store, rules)
        self._contacts = contacts
        self._links = links
        self._sweep = sweep
        self._names = {key: person.name for key, person in rules.roster.people.items()}
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._busy: set[str] = set()
        self._held: set[str] = set()
        self._unrecorded: set[str] = set()

    def wake(self, targets: Collection[str]) -> None:
        """Look now where something was promised to a contact. Callable from any thread."""
        if any(target.startswith(CONTACT) for target in targets):
            self._loop.call_soon_threadsafe(self._event.set)

    async def run(self) -> None:
        """Serve all contacts until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._event.clear()
                pause = await self.look(group)
                await asyncio.sleep(min(PACE, pause))
                try:
                    async with asyncio.timeout(pause):
                        await self._event.wait()
                except TimeoutError:
                    continue

    async def look(self, group: asyncio.TaskGroup) -> float:
        """Begin everything that is due; return how long to wait for the next."""
        try:
            due, pause = await self._in_unit(self._find)
        except Unavailable as error:
            log.warning("store_unavailable", error=str(error))
            return self._sweep
        for effect in due:
            self._busy.add(effect.target)
            group.create_task(self._serve(effect), name=effect.target)
        return pause

    async def test(self, person: str) -> tuple[Answer, ...]:
        """Send a test page through each contact of a person now, and return what each said."""
        known = self._rules.roster.people.get(person)
        return tuple(
            await asyncio.gather(*(self._try(person, contact.name) for contact in (known.contacts if known else ())))
        )

    async def _try(self, person: str, contact: str) -> Answer:
        try:
            await self._hand_over(person, contact, render_test_page(self._rules.name_of(person), contact))
        except NightshiftError as error:
            return Answer(contact=contact, ok=False, text=str(error))
        return Answer(contact=contact, ok=True, text="taken")

    def _find(self, work: UnitOfWork) -> tuple[list[Effect], float]:
        """Return one due promise for each idle contact, and the seconds until the next is due; drop those that nobody
        needs any more."""
        due: list[Effect] = []
        pause = self._sweep
        targets = set(work.effects.targets(CONTACT))
        for target in self._held - targets:
            work.effects.release(target)
        self._held &= targets
        for target in targets - self._busy:
            standing = [effect for effect in work.effects.next_of(target) if self._stands(work, effect)]
            first = next((effect for effect in standing if effect.attempts or is_due(work, effect)), None)
            if first is not None and is_due(work, first):
                due += [first] if self._hold(work, target) else []
            else:
                waits = [effect.not_before for effect in ([first] if first else standing) if effect.not_before]
                pause = min([pause, *((at - work.now).total_seconds() for at in waits)])
        return due, max(pause, 0.01)

    def _hold(self, work: UnitOfWork, target: str) -> bool:
        """Say whether it is this process that sends to a target."""
        if not work.effects.hold(target):
            return False
        self._held.add(target)
        return True

    def _stands(self, work: UnitOfWork, effect: Effect) -> bool:
        if is_called_for(work, effect):
            return True
        work.effects.settle(effect.key, EffectState.DONE)
        return False

    async def _serve(self, effect: Effect) -> None:
        try:
            await finish(self._guarded(effect))
        except Unavailable as error:
            log.warning("store_unavailable", error=str(error))
            await asyncio.sleep(self._sweep)
        finally:
            self._busy.discard(effect.target)
            self._event.set()

    async def _guarded(self, effect: Effect) -> None:
        """A mistake ends one promise, and not the others."""
        try:
            await self._send(effect)
        except Unavailable:
            raise
        except Exception as error:
            log.exception("contact_crashed", effect=effect.key)
            await self._give_up(effect, f"Nightshift made a mistake ({type(error).__name__}); its log says more")

    async def _send(self, effect: Effect) -> None:
        page = await self._in_unit(lambda work: self._compose(work, effect))
        if page is None:
            return
        fault = None if effect.key in self._unrecorded else await self._ring(effect, page)
        if isinstance(fault, Unavailable) and effect.attempts < len(PAUSES):
            await self._defer(effect, fault)
        elif fault is not None:
            tries = f", {effect.attempts + 1} times" if effect.attempts else ""
            await self._give_up(effect, f"{fault}{tries}")
        else:
            self._unrecorded.add(effect.key)  # a store that cannot be written must not ring people again and again
            await self._in_unit(lambda work: record_reached(work, effect, self._rules))
            self._unrecorded.discard(effect.key)
            log.info("contacted", effect=effect.key)
            EFFECTS.labels(target="contact", result="done").inc()
            reach("contact.settled")

    async def _ring(self, effect: Effect, page: PageText) -> NightshiftError | None:
        """Send, and return what went wrong."""
        try:
            reach("contact.send.before")
            await self._hand_over(effect.payload["person"], effect.payload["contact"], page)
            reach("contact.send.after")
        except (Unavailable, Rejected, Refused) as fault:
            return fault
        return None

    def _compose(self, work: UnitOfWork, effect: Effect) -> PageText | None:
        """Return what to send, from the state of this moment; None where nobody needs it any more."""
        person = effect.payload["person"]
        if not self._stands(work, effect):
            return None
        if effect.payload["what"] == TEST:
            return render_test_page(self._rules.name_of(person), effect.payload["contact"])
        incident = work.incidents.get(effect.payload["incident"])
        return render_contact_page(incident, person, now=work.now, names=self._names, links=self._links)

    async def _hand_over(self, person: str, contact: str, page: PageText) -> None:
        pager = self._contacts.get((person, contact))
        if pager is None:
            raise Refused("it is no longer in the configuration", Reason.NOT_FOUND)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await pager.send(page)
        except TimeoutError:
            raise Unavailable(f"no answer within {SEND_SECONDS:.0f} s", Reason.TIMEOUT) from None

    async def _defer(self, effect: Effect, error: Unavailable) -> None:
        log.warning("contact_deferred", effect=effect.key, error=str(error))
        EFFECTS.labels(target="contact", result="retry").inc()
        wait = timedelta(seconds=PAUSES[effect.attempts])
        await self._in_unit(lambda work: work.effects.defer(effect.key, work.now + wait, str(error)))

    async def _give_up(self, effect: Effect, why: str) -> None:
        log.warning("contact_dead", effect=effect.key, error=why)
        EFFECTS.labels(target="contact", result="failed").inc()
        await self._in_unit(lambda work: record_unreached(work, effect, why, self._rules))
