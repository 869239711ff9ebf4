"""What happens with an update: handed to the inbox first, answered, and only then done with."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

import structlog
from telegram import Bot, Update

from bot.domain.chat import NOBODY, Form, Press, Reply, Said
from bot.errors import NightshiftError
from bot.ports.chat import ChatInbox
from connectors.chat.forms import find_form
from connectors.chat.telegram.api import MovedError, UnchangedError, call
from connectors.chat.telegram.keyboard import ask, write_note
from connectors.chat.telegram.reading import (
    Asked,
    Event,
    Introduced,
    Migrated,
    Place,
    Pressed,
    Reader,
    Spoken,
    Stray,
)
from connectors.chat.telegram.writer import Writer

log = structlog.get_logger(__name__)
PATIENCE: Final = 4.0
"""Seconds until a press is answered, whatever the store does."""
_TOAST: Final = 200
_SLOW: Final = "Nightshift is still working on this. The answer follows in the chat."


class Listener:
    """Acts on updates. `forms` are the questions of the buttons posted by this process."""

    def __init__(self, bot: Bot, writer: Writer, reader: Reader, forms: dict[str, Form]) -> None:
        self._bot = bot
        self._writer = writer
        self._reader = reader
        self._forms = forms

    async def take(self, updates: Sequence[Update], inbox: ChatInbox) -> None:
        """Return once every update is with the inbox: each person's in order, nobody waiting for somebody else."""
        events = [(_who(update), event) for update in updates if (event := self._read(update)) is not None]
        events.sort(key=lambda pair: pair[0])
        rows = [[event for _, event in group] for _, group in groupby(events, key=lambda pair: pair[0])]
        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(self._take_row(row, inbox))

    def _read(self, update: Update) -> Event | None:
        return self._reader.read(update, datetime.now(UTC))

    async def _take_row(self, events: Sequence[Event], inbox: ChatInbox) -> None:
        for event in events:
            await self._take(event, inbox)

    async def _take(self, event: Event, inbox: ChatInbox) -> None:
        if isinstance(event, Pressed):
            await self._press(event, inbox)
        elif isinstance(event, Spoken):
            reply = await _hand_in(event.said, inbox)
            if reply.is_secret:
                await self._whisper(reply.text, event)
            else:
                await self._say(_lead(reply.text, event.said.incident), event.place)
        elif isinstance(event, Asked):
            await self._ask(event, inbox)
        elif isinstance(event, Introduced):
            await self._say(_introduce(event), event.place)
        elif isinstance(event, Stray):
            await self._toast(event.query, Reply(text=event.text, ok=False))
        elif isinstance(event, Migrated) and event.old == self._writer.chat:
            log.warning("telegram_chat_moved", old=event.old, new=event.new)
            self._writer.chat = event.new

    async def _press(self, event: Pressed, inbox: ChatInbox) -> None:
        work = asyncio.create_task(_hand_in(event.press, inbox))
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await asyncio.shield(work)
        except TimeoutError:
            await self._toast(event.query, Reply(text=_SLOW))
            reply = await work
            await self._say(reply.text, event.place)
        else:
            if event.query:
                await self._toast(event.query, reply)
            if not event.query or len(reply.text) > _TOAST:
                await self._say(reply.text, event.place)
        if event.question:
            await self._try(self._writer.remove(event.question))

    async def _ask(self, event: Asked, inbox: ChatInbox) -> None:
        asks = event.asks
        form = await find_form(
            self._forms,
            asks.button,
            inbox,
            channel=self._reader.channel,
            account=event.account,
            incident=event.incident,
        )
        question = ask(asks.button, event.label, form, confirms=asks.confirms)
        note = write_note(question.note, self._reader.secret)
        await self._try(self._writer.ask(question, note, topic=event.place.topic, under=event.place.message))
        await self._toast(event.query, Reply(text=""))

    async def _toast(self, query: str, reply: Reply) -> None:
        """Answer a press for its person alone. A press answered too late is one that was answered already."""
        if not query:
            return
        text = reply.text if len(reply.text) <= _TOAST else f"{reply.text[: _TOAST - 1]}…"
        await self._try(call(self._bot.answer_callback_query(query, text=text or None, show_alert=not reply.ok)))

    async def _say(self, text: str, place: Place) -> None:
        await self._try(self._writer.answer(text, chat=place.chat, topic=place.topic, under=place.message))

    async def _whisper(self, text: str, event: Spoken) -> None:
        """Answer to the person alone; Telegram lets a bot do so once they have begun to talk with it."""
        own = int(event.said.account)
        if event.place.chat == own:
            await self._say(text, event.place)
            return
        try:
            await self._writer.answer(text, chat=own, topic=0, under=0)
        except (NightshiftError, MovedError) as error:
            log.info("telegram_not_whispered", error=str(error))
            name = f"@{self._reader.name}" if self._reader.name else "the bot"
            text = f"This is for you alone: open a talk with {name}, press Start, and write it there."
        else:
            text = "You have the answer in the talk with the bot."
        await self._say(text, event.place)

    async def _try(self, work: Awaitable[object]) -> None:
        """An answer that cannot be given is no reason to take the event again."""
        try:
            await work
        except (NightshiftError, MovedError, UnchangedError) as error:
            log.warning("telegram_not_answered", error=str(error))


async def _hand_in(event: Press | Said, inbox: ChatInbox) -> Reply:
    try:
        return await inbox.receive(event)
    except NightshiftError as error:
        return Reply(text=f"Not done: {error}", ok=False)


def _lead(text: str, incident: str | None) -> str:
    """Begin with the incident, so that an answer to this is about it: Telegram says no more than what was answered."""
    return text if incident is None or text.startswith(incident) else f"{incident}: {text}"


def _introduce(event: Introduced) -> str:
    if event.account == NOBODY:
        return "Here you write as a group or a channel, and that is nobody. Write as yourself, or to the bot alone."
    place = "" if event.is_allowed else "\nNightshift takes no commands here: the chat is not in its configuration."
    return f"Your account: {event.account}\nThis chat: {event.place.chat}{place}"


def _who(update: Update) -> int:
    return update.effective_user.id if update.effective_user is not None else 0
