"""What happens with an event: handed to the inbox, and answered in time for its person alone."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog
from discord.http import Route
from pydantic import ValidationError

from bot.domain.chat import Form, Paragraph, Press, Reply, Said
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.chat import ChatInbox
from connectors.chat.discord.api import Api, code_of
from connectors.chat.discord.commands import INCIDENT, suggest
from connectors.chat.discord.components import build_modal
from connectors.chat.discord.markup import read_incident
from connectors.chat.discord.payloads import Channel, Interaction, Written
from connectors.chat.discord.reading import Answered, Asked, Handed, Meaning, Place, Reader, Typing
from connectors.chat.discord.writer import Answer, Writer, build_answers, pack
from connectors.chat.forms import find_form

log = structlog.get_logger(__name__)
PATIENCE: Final = 1.5
"""Seconds until a press is answered, whatever the store does; Discord's own limit is three."""
_MESSAGE, _LATER, _SUGGESTIONS, _MODAL = 4, 5, 8, 9
_PRIVATE: Final = 1 << 6
_ANSWERED: Final = 40060
_REMEMBERED: Final = 2000
_IN_PUBLIC: Final = "Everybody would see the answer here. Write it as a command, with / in front: then only you do."


class Listener:
    """Acts on events. `forms` are the questions of the buttons posted here, `incidents` those that were seen."""

    def __init__(self, api: Api, writer: Writer, forms: Mapping[str, Form], incidents: Mapping[str, None]) -> None:
        self._api = api
        self._writer = writer
        self._forms = forms
        self._incidents = incidents
        self._places: dict[str, Place] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, kind: str, data: Mapping[str, Any], reader: Reader, inbox: ChatInbox) -> None:
        """Deal with an event of the gateway. What cannot be read is left alone."""
        try:
            if kind == "INTERACTION_CREATE":
                await self.act(Interaction.model_validate(data), reader, inbox, asyncio.Event())
            else:
                await self._hear(Written.model_validate(data), reader, inbox)
        except ValidationError as error:
            log.warning("discord_not_read", kind=kind, problems=error.error_count())

    async def act(self, given: Interaction, reader: Reader, inbox: ChatInbox, answered: asyncio.Event) -> None:
        """Deal with an interaction; `answered` is set as soon as its person has an answer, or is told to wait."""
        try:
            place = await self._find(given.channel_id, given.channel)
            meaning = reader.read(given, place, datetime.now(UTC))
        except NightshiftError as error:
            meaning = Answered(text=f"Nothing was done, press again: {error}")
        try:
            await self._mean(given, meaning, reader, inbox, answered)
        finally:
            answered.set()

    async def _mean(
        self, given: Interaction, meaning: Meaning | None, reader: Reader, inbox: ChatInbox, answered: asyncio.Event
    ) -> None:
        if isinstance(meaning, Handed):
            await self._hand_in(given, meaning.event, inbox, answered)
        elif isinstance(meaning, Asked):
            await self._ask(given, meaning, reader, inbox)
        elif isinstance(meaning, Typing):
            named = await self._list_incidents(given, reader, inbox) if meaning.option == INCIDENT else {}
            choices = suggest(meaning.name, meaning.option, meaning.begun, named)
            await self._try(self._respond(given, _SUGGESTIONS, {"choices": choices}))
        elif isinstance(meaning, Answered):
            await self._try(self._answer(given, meaning.text))

    async def _ask(self, given: Interaction, asked: Asked, reader: Reader, inbox: ChatInbox) -> None:
        form = await find_form(
            self._forms,
            asked.button,
            inbox,
            channel=reader.channel,
            account=given.account,
            incident=asked.incident,
        )
        await self._try(self._respond(given, _MODAL, build_modal(asked.sign, asked.button, asked.label, form)))

    async def _list_incidents(self, given: Interaction, reader: Reader, inbox: ChatInbox) -> Mapping[str, str]:
        """Return the incidents to choose from and what they are about: the open ones, most urgent first, then what was
        seen here. Nobody unknown may choose, and nobody while the store cannot say who is known."""
        try:
            async with asyncio.timeout(PATIENCE):
                told = await inbox.look(reader.channel, given.account)
        except (TimeoutError, Unavailable):
            return {}
        if isinstance(told, Reply):
            return {}
        lines = [block.text.partition("\n")[0] for block in told.blocks if isinstance(block, Paragraph)]
        opened = {incident: line for line in lines if (incident := read_incident(line))}
        return opened | {incident: incident for incident in reversed([*self._incidents]) if incident not in opened}

    async def _hand_in(
        self, given: Interaction, event: Press | Said, inbox: ChatInbox, answered: asyncio.Event
    ) -> None:
        """Hand it in and answer; where the store is slow, ask the person to wait and answer within the quarter hour."""
        work = asyncio.create_task(self._receive(event, inbox))
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await asyncio.shield(work)
        except TimeoutError:
            await self._try(self._respond(given, _LATER, {"flags": _PRIVATE}))
            answered.set()
            reply = await work
            await self._try(self._complete(given, reply.text))
        except asyncio.CancelledError:
            work.cancel()
            raise
        else:
            await self._try(self._answer(given, reply.text))

    async def _receive(self, event: Press | Said, inbox: ChatInbox) -> Reply:
        """Return the inbox's answer; what one person does is handed in one after the other."""
        turn = self._turns.setdefault(event.account, asyncio.Lock())
        async with turn:
            try:
                return await inbox.receive(event)
            except NightshiftError as error:
                return Reply(text=f"Not done: {error}", ok=False)

    async def _hear(self, written: Written, reader: Reader, inbox: ChatInbox) -> None:
        if not any(user.id == reader.me for user in written.mentions):
            return
        try:
            place = await self._find(written.channel_id, None)
        except NightshiftError as error:
            log.warning("discord_place_unknown", error=str(error))
            return
        handed = reader.read_words(written, place)
        if handed is not None:
            reply = await self._receive(handed.event, inbox)
            text = _IN_PUBLIC if reply.is_secret else reply.text
            await self._try(self._writer.answer(text, channel=place.channel, under=int(written.id)))

    async def _find(self, number: str | None, given: Channel | None) -> Place:
        """Return where something happened; Discord is asked once about a thread that the event does not tell."""
        if number is None:
            return Place(channel=0)
        known = self._places.get(number)
        if known is None:
            if given is None or given.id != number:
                told = await self._api.call(Route("GET", "/channels/{channel_id}", channel_id=int(number)))
                given = Channel.model_validate(told)
            incident = read_incident(given.name or "") if given.parent_id else None
            known = Place(channel=int(number), parent=int(given.parent_id or 0), incident=incident)
            self._places[number] = known
            while len(self._places) > _REMEMBERED:
                self._places.pop(next(iter(self._places)))
        return known

    async def _respond(self, given: Interaction, kind: int, data: Mapping[str, Any]) -> None:
        await self._callback(given, {"json": {"type": kind, "data": data}})

    async def _callback(self, given: Interaction, packed: Mapping[str, Any]) -> None:
        path = "/interactions/{interaction_id}/{webhook_token}/callback"
        route = Route("POST", path, interaction_id=int(given.id), webhook_token=given.token)
        try:
            await self._api.call(route, **packed)
        except Unavailable as error:
            if error.reason is not Reason.UNREACHABLE:
                raise
            await self._call_anew(route, packed)

    async def _call_anew(self, route: Route, packed: Mapping[str, Any]) -> None:
        """Answer over a new connection: the old one was cut, perhaps long ago, and the person has three seconds."""
        try:
            await self._api.call(route, **packed)
        except Rejected as error:
            if code_of(error) != _ANSWERED:
                raise

    async def _answer(self, given: Interaction, text: str) -> None:
        first, *rest = build_answers(text)
        if first[1]:
            await self._respond(given, _LATER, {"flags": _PRIVATE})
            await self._complete(given, text)
            return
        await self._respond(given, _MESSAGE, first[0] | {"flags": _PRIVATE})
        await self._follow(given, rest)

    async def _complete(self, given: Interaction, text: str) -> None:
        """Put the answer where the person sees that it is being worked on."""
        (body, files), *rest = build_answers(text)
        path = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
        await self._api.call(self._hook("PATCH", path, given), **pack(body, files))
        await self._follow(given, rest)

    async def _follow(self, given: Interaction, answers: Sequence[Answer]) -> None:
        for body, files in answers:
            route = self._hook("POST", "/webhooks/{webhook_id}/{webhook_token}", given)
            await self._api.call(route, **pack(body | {"flags": _PRIVATE}, files))

    def _hook(self, method: str, path: str, given: Interaction) -> Route:
        return Route(method, path, webhook_id=int(given.application_id), webhook_token=given.token)

    async def _try(self, work: Awaitable[object]) -> None:
        """An answer that cannot be given is no reason to take the event again."""
        try:
            await work
        except NightshiftError as error:
            log.warning("discord_not_answered", error=str(error))
