"""The Discord connector: one channel, one bot."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from discord.http import Route
from pydantic import ValidationError

from bot.domain.chat import ChatLimits, Form, Message
from bot.errors import NightshiftError
from bot.ports.chat import ChatInbox, ChatPlace, Health
from bot.ports.http import WebAnswer, Webhook, WebRequest
from connectors.chat.discord.api import Api
from connectors.chat.discord.commands import are_same, build_commands
from connectors.chat.discord.gateway import Gateway
from connectors.chat.discord.health import check
from connectors.chat.discord.listener import Listener
from connectors.chat.discord.payloads import Interaction
from connectors.chat.discord.reading import PING, Reader
from connectors.chat.discord.settings import Settings
from connectors.chat.discord.writer import Writer
from connectors.chat.fetching import Way, fetch, origin_of

LIMITS: Final = ChatLimits(
    text=4096,
    buttons=25,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=True,
    files=True,
    shows_pictures=True,
    file_bytes=9_900_000,
)
STALE_SECONDS: Final = 300
"""How far the time of a signed call may be off."""
_REMEMBERED: Final = 2000
_MAX_BODY: Final = 1_000_000
_SENT, _TIME = "x-signature-ed25519", "x-signature-timestamp"


class Connector:
    """Posts into the channel and edits there; listens by the gateway, or by signed calls where a key is set."""

    def __init__(self, settings: Settings, place: ChatPlace) -> None:
        self._settings = settings
        self._place = place
        self._forms: OrderedDict[str, Form] = OrderedDict()
        self._incidents: OrderedDict[str, None] = OrderedDict()
        self._calls: set[asyncio.Task[None]] = set()
        self._is_set_up = False

    @property
    def limits(self) -> ChatLimits:
        return replace(LIMITS, pins=self._settings.summary)

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one channel
        """Post. Discord itself knows a key again for some minutes, this process while it lives."""
        self._learn(message)
        return await self._writer.post(message, key, thread)

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one channel
        self._learn(message)
        await self._writer.edit(message, ref)

    async def fetch_image(self, ref: str) -> bytes:
        """`bot.ports.chat.ImageSource`: the file's address, which must be one of Discord's files."""
        own = self._settings
        origins = {origin_of(own.cdn_url)}
        way = Way(
            service="Discord", origins=origins, proxy=own.proxy or None, ca_file=own.ca_file, seconds=own.answer_seconds
        )
        return await fetch(ref, way)

    async def run(self, inbox: ChatInbox) -> None:
        """Listen until cancelled; that ends the connections. An event counts as received once the inbox has it."""
        try:
            await self.set_up()
            if self._settings.public_key:
                await asyncio.Event().wait()
            reader = await self._reader()

            async def take(kind: str, data: Mapping[str, Any]) -> None:
                await self._listener.take(kind, data, reader, inbox)

            await self._gateway.run(take)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the connections, where there are any."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if "_api" in self.__dict__:
            await self._api.close()
            for name in ("_api", "_writer", "_listener", "_gateway"):
                self.__dict__.pop(name, None)

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:
        if not self._settings.public_key:
            return ()

        async def handle(request: WebRequest) -> WebAnswer:
            return await self._receive(request, inbox)

        return (Webhook(method="POST", path=f"/v1/chat/{self._place.name}", handle=handle),)

    async def check(self) -> Health:
        """Say whether the token works and the bot sees the channel."""
        return await check(self._api, self._settings)

    @cached_property
    def _api(self) -> Api:
        return Api(self._settings)

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self._api, self._settings.chat, self._place.accounts)

    @cached_property
    def _listener(self) -> Listener:
        return Listener(self._api, self._writer, self._forms, self._incidents)

    @cached_property
    def _gateway(self) -> Gateway:
        return Gateway(self._api, self._settings.gateway_url)

    async def _reader(self) -> Reader:
        allowed = frozenset({self._settings.chat, *self._settings.allowed_chats})
        return Reader(channel=self._place.name, allowed=allowed, me=await self._api.open())

    def _learn(self, message: Message) -> None:
        for button in message.buttons:
            if button.form is not None:
                self._forms.pop(button.id, None)
                self._forms[button.id] = button.form
        if message.incident:
            self._incidents[message.incident] = None
        for known in (self._forms, self._incidents):
            while len(known) > _REMEMBERED:
                known.popitem(last=False)

    async def set_up(self) -> None:
        """Register the commands, where Discord has others: it takes few changes a day."""
        if self._is_set_up:
            return
        own = await self._api.call(Route("GET", "/applications/@me"))
        path, number = "/applications/{application_id}/commands", int(own["id"])
        wanted = build_commands()
        if not are_same(await self._api.call(Route("GET", path, application_id=number)), wanted):
            await self._api.call(Route("PUT", path, application_id=number), json=wanted)
        self._is_set_up = True

    async def _receive(self, request: WebRequest, inbox: ChatInbox) -> WebAnswer:
        """Take one signed call. What it asks is answered through Discord's own interface, as with the gateway."""
        if len(request.body) > _MAX_BODY:
            return WebAnswer(status=413, body="Too large.\n")
        if not is_signed(request, self._settings.public_key, time.time()):
            return WebAnswer(status=401, body="Not Discord.\n")
        try:
            given = Interaction.model_validate_json(request.body)
            if given.type == PING:
                return WebAnswer(status=200, body='{"type":1}', media_type="application/json")
            reader = await self._reader()
        except ValidationError:
            return WebAnswer(status=400, body="This is no interaction.\n")
        except NightshiftError as error:
            return WebAnswer(status=503, body=f"{error}\n")
        answered = asyncio.Event()
        call = asyncio.create_task(self._listener.act(given, reader, inbox, answered))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        await answered.wait()
        return WebAnswer(status=202)


def is_signed(request: WebRequest, key: str, now: float) -> bool:
    """Return whether Discord signed these very bytes, not long ago."""
    stamp = request.headers.get(_TIME, "")
    try:
        signature = bytes.fromhex(request.headers.get(_SENT, ""))
        is_fresh = stamp.isascii() and stamp.isdecimal() and abs(now - int(stamp[:12])) <= STALE_SECONDS
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, stamp.encode() + request.body)
    except (InvalidSignature, ValueError):
        return False
    return is_fresh
