"""What happens with an event: handed to the inbox first, and answered once WhatsApp knows that we have it."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.domain.chat import Message, Press, Reply, Said
from bot.errors import NightshiftError, Rejected, Unavailable
from bot.ports.chat import ChatInbox
from connectors.chat.forms import find_form
from connectors.chat.whatsapp.api import WINDOW_CLOSED, Api, ClosedError
from connectors.chat.whatsapp.choices import Answered, Asks, Shows, ask, read_id
from connectors.chat.whatsapp.kept import Asked, Keeper
from connectors.chat.whatsapp.memory import About, put, read_mark
from connectors.chat.whatsapp.reading import Event, Fate, Tapped, Typed
from connectors.chat.whatsapp.reporting import Reporter
from connectors.chat.whatsapp.words import asks_to_show, read_command
from connectors.chat.whatsapp.writer import Writer

log = structlog.get_logger(__name__)
_STRANGER: Final = timedelta(hours=1)
"""How often somebody unknown is answered."""
_CODES: Final = 8
"""How often within that time, where they type a code that links their account."""


class Listener:
    """Acts on events."""

    def __init__(self, api: Api, writer: Writer, reporter: Reporter, *, channel: str, keeper: Keeper) -> None:
        self._channel = channel
        self._reporter = reporter
        self._api = api
        self._writer = writer
        self._keeper = keeper
        self._memory = keeper.memory
        self._accounts = keeper.accounts
        self._answered: OrderedDict[str, bool] = OrderedDict()
        self._strangers: OrderedDict[str, tuple[datetime, int]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, events: Sequence[Event], inbox: ChatInbox) -> None:
        """Return once every event is with the inbox; the answers follow. Raises what a second call raised."""
        for event in events:
            if isinstance(event, Fate):
                await self._learn(event, inbox)
                continue
            self._memory.hear(event.number, event.at)
            if event.number in self._accounts and event.id not in self._answered:
                self._later(self._api.mark_read(event.id))
            await (self._tap(event, inbox) if isinstance(event, Tapped) else self._type(event, inbox))
            put(self._answered, event.id, value=True)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tap(self, event: Tapped, inbox: ChatInbox) -> None:
        meaning = read_id(event.choice)
        if event.number not in self._accounts and isinstance(meaning, Asks):
            meaning = Answered(button=meaning.button, values={})
        if isinstance(meaning, Answered):
            self._memory.act(event.number, event.under, counts=True)  # what follows may come before the reply
            reply = await self._hand_in(self._press(event, meaning.button, meaning.values), event, inbox)
            self._memory.act(event.number, event.under, counts=reply.ok)
        elif isinstance(meaning, Shows):
            await self._show(event, meaning, inbox)
        elif isinstance(meaning, Asks):
            await self._ask(event, meaning, inbox)
            return
        elif event.number in self._accounts:
            text = "Nightshift did not make this button. Nothing was done."
            self._later(self._writer.answer(text, event.number, event.id), unless=event.id)
        await self._forget(event)

    async def _ask(self, event: Tapped, asks: Asks, inbox: ChatInbox) -> None:
        """Ask. Where the answer is typed the store has to know first: a kill between the two must lose no words."""
        form = await find_form(
            self._memory.forms,
            asks.button,
            inbox,
            channel=self._channel,
            account=self._accounts[event.number],
            incident=self._memory.incident_of(event.number, event.under),
        )
        question = ask(asks, event.label, form)
        if question.keys:
            await self._forget(event)
        else:
            asked = Asked(button=question.button, field=question.field, at=event.at)
            await self._keeper.ask(event.number, asked)
        self._later(self._writer.ask(question, event.number, event.id), unless=event.id)

    async def _forget(self, event: Tapped | Typed) -> None:
        """Whoever did something else answers no question any more."""
        if event.number in self._accounts:
            await self._keeper.forget(event.number)

    async def _type(self, event: Typed, inbox: ChatInbox) -> None:
        asked = await self._find_question(event)
        incident = self._memory.incident_of(event.number, event.under)
        text = read_command(event.text, incident)
        if text.lower() in {"id", "/id", "/start"}:
            account = self._accounts.get(event.number, event.number)
            if self._may_answer(event):
                self._later(self._writer.answer(f"Your account: {account}", event.number, event.id), unless=event.id)
            return
        shown = asks_to_show(text)
        if asked is not None and text.lower() == "cancel":
            self._later(self._writer.answer("Nothing was done.", event.number, event.id), unless=event.id)
        elif asked is not None and not text.startswith("/"):
            await self._hand_in(self._press(event, asked.button, {asked.field: event.text}), event, inbox)
        elif shown is not None:
            await self._show(event, Shows(incident=shown), inbox)
        elif text or event.files:
            await self._say(event, text, incident, inbox)
        if asked is not None:
            await self._forget(event)  # not before the inbox has the words: a kill between would lose them

    async def _find_question(self, event: Typed) -> Asked | None:
        """Return the question that words answer; where they answer another message of ours it is over. By asking, this
        process knows as well what others have written to that number."""
        if event.number not in self._accounts:
            return None
        asked = await self._keeper.find(event.number, event.at)
        if asked is not None and (not event.text or self._memory.about(event.under) is not None):
            await self._forget(event)
            return None
        return asked

    async def _show(self, event: Tapped | Typed, shows: Shows, inbox: ChatInbox) -> None:
        """Show what there is now; to somebody unknown, say how to get access."""
        if event.number in self._accounts:
            self._later(self._show_now(event, shows, inbox), unless=event.id)
        else:
            await self._say(event, f"/incident status {shows.incident}", shows.incident, inbox)

    async def _show_now(self, event: Tapped | Typed, shows: Shows, inbox: ChatInbox) -> None:
        try:
            found = await inbox.show(self._channel, self._accounts[event.number], shows.incident)
        except Unavailable:
            found = Reply(text="Nightshift could not look that up. Ask again in a moment.", ok=False)
        if isinstance(found, Reply):
            await self._writer.answer(found.text, event.number, event.id)
            return
        rest = [message for message in found if message.slot == shows.slot]
        if shows.slot and rest:
            await self._writer.show_rest(rest[0], event.number)
        else:
            await self._writer.show(found, event.number)

    async def _say(self, event: Tapped | Typed, text: str, incident: str | None, inbox: ChatInbox) -> None:
        account = self._accounts.get(event.number, event.number)
        said = Said(
            event=event.id,
            channel=self._channel,
            account=account,
            text=text,
            incident=incident,
            said_at=event.at,
            attachments=event.files if isinstance(event, Typed) else (),
        )
        await self._hand_in(said, event, inbox)

    def _press(self, event: Tapped | Typed, button: str, values: Mapping[str, str]) -> Press:
        account = self._accounts.get(event.number, event.number)
        return Press(
            event=event.id,
            channel=self._channel,
            account=account,
            button=button,
            values=values,
            pressed_at=event.at,
        )

    async def _hand_in(self, event: Press | Said, told: Tapped | Typed, inbox: ChatInbox) -> Reply:
        try:
            reply = await inbox.receive(event)
        except NightshiftError as error:
            reply = Reply(text=f"Not done: {error}", ok=False)
        if self._may_answer(told, most=_CODES if _is_code(event) else 1):
            self._later(self._writer.answer(reply.text, told.number, told.id), unless=told.id)
        return reply

    def _may_answer(self, event: Tapped | Typed, *, most: int = 1) -> bool:
        """Whoever is unknown is told how to get access, now and then: strangers must not make us write without end."""
        if event.number in self._accounts:
            return True
        since, count = self._strangers.get(event.number, (event.at, 0))
        since, count = (since, count) if event.at - since < _STRANGER else (event.at, 0)
        if count >= most:
            return False
        put(self._strangers, event.number, (since, count + 1))
        return True

    async def _learn(self, fate: Fate, inbox: ChatInbox) -> None:
        """Remember what became of a message. One that did not arrive is called out again, or reported."""
        about = self._memory.about(fate.id) or read_mark(fate.mark)
        if fate.status != "failed":
            if fate.mark:
                put(self._memory.done, fate.mark, fate.id)
            return
        log.warning("whatsapp_not_delivered", code=fate.code, error=fate.text)
        if about is None or not about.rang:
            return
        why = await self._call_again(fate, about, inbox)
        if why:
            await self._reporter.report(fate.number, about, why=why, event=f"{fate.id}-failed")

    async def _call_again(self, fate: Fate, about: About, inbox: ChatInbox) -> str:
        """Send the template where the 24 hours were the reason; return why somebody is not reached, "" otherwise."""
        if fate.code != WINDOW_CLOSED:
            return f"{fate.text} ({fate.code})"
        found = await inbox.show(self._channel, self._accounts.get(fate.number, fate.number), about.incident)
        told = [] if isinstance(found, Reply) else [message for message in found if message.slot == about.slot]
        lost = Message(incident=about.incident, slot=about.slot, headline="something waits for you")
        try:
            await self._writer.call_again(fate.id, fate.number, told[0] if told else lost)
        except Rejected as error:
            return str(error)
        return ""

    def _later(self, work: Coroutine[object, object, object], *, unless: str = "") -> None:
        """Do it after WhatsApp has got its answer; not for an event that was delivered and answered before."""
        if unless and unless in self._answered:
            work.close()
            return
        task = asyncio.create_task(_try(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_code(event: Press | Said) -> bool:
    return isinstance(event, Said) and event.text.lower().startswith("/link ")


async def _try(work: Coroutine[object, object, object]) -> None:
    """An answer that cannot be given is no reason to take the event again."""
    try:
        await work
    except (NightshiftError, ClosedError) as error:
        log.warning("whatsapp_not_answered", error=str(error))
