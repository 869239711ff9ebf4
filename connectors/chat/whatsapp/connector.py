"""Chat with people in WhatsApp: posts through the Cloud API, listens through its webhook. It decides nothing."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import structlog

from bot.domain.chat import ChatLimits, Message
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.chat import ChatInbox, ChatPlace, Health
from bot.ports.http import WebAnswer, Webhook, WebRequest
from connectors.chat.whatsapp.api import Api, ClosedError
from connectors.chat.whatsapp.kept import Keeper, OwnMemory
from connectors.chat.whatsapp.listener import Listener
from connectors.chat.whatsapp.memory import Memory
from connectors.chat.whatsapp.numbers import accounts_of, numbers_of
from connectors.chat.whatsapp.reading import parse, read
from connectors.chat.whatsapp.reporting import Reporter
from connectors.chat.whatsapp.sending import Sender
from connectors.chat.whatsapp.settings import Settings
from connectors.chat.whatsapp.words import COMMANDS
from connectors.chat.whatsapp.writer import Writer

log = structlog.get_logger(__name__)
LIMITS: Final = ChatLimits(
    text=4096,
    buttons=10,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=False,
    files=True,
    shows_pictures=True,
    file_bytes=90_000_000,
)
SIGNED_IN: Final = "x-hub-signature-256"
_SIGNATURE: Final = re.compile(r"sha256=[0-9a-f]{64}")
_MAX_CHALLENGE: Final = 200


class Connector:
    """Posts to the numbers of `place`; an edit is a short answer to the message, where it matters."""

    def __init__(self, settings: Settings, place: ChatPlace) -> None:
        self._settings = settings
        self._place = place
        self._api = Api(settings)
        self._memory = Memory()
        self._listens = False
        self._notes: set[asyncio.Task[None]] = set()
        self._people = numbers_of(place.accounts)
        self._accounts = accounts_of(place.accounts)
        self._keeper = Keeper(place.memory or OwnMemory(), self._memory, self._accounts)
        self._reporter = Reporter(place.name, self._accounts)

    @property
    def limits(self) -> ChatLimits:
        return LIMITS

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one number
        """Post. A second try under the same key goes on where the first one stopped, while this process lives."""
        await self._keeper.learn()
        try:
            return await self._writer.post(message, key, thread, now=datetime.now(UTC))
        finally:
            await self._keeper.learn(is_new=bool(self._memory.fresh))

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one number
        await self._keeper.learn()
        await self._writer.edit(message, ref, now=datetime.now(UTC))

    async def fetch_image(self, ref: str) -> bytes:
        """`bot.ports.chat.ImageSource`."""
        try:
            return await self._api.fetch(ref)
        except ClosedError as error:
            raise Rejected(f"WhatsApp refused: {error}", Reason.NOT_ALLOWED) from error

    async def run(self, inbox: ChatInbox) -> None:  # noqa: ARG002 -- the webhook has it
        """Offer the commands where people type, and wait: WhatsApp calls us. Cancelling ends the connections."""
        self._listens = True
        try:
            await self.set_up()
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        await asyncio.gather(*self._notes, return_exceptions=True)
        await self._listener.close()
        await self._api.close()

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:
        self._reporter.inbox = inbox

        async def receive(request: WebRequest) -> WebAnswer:
            return await self._receive(request, inbox)

        path = f"/v1/chat/{self._place.name}"
        return (
            Webhook(method="GET", path=path, handle=self._verify),
            Webhook(method="POST", path=path, handle=receive),
        )

    async def check(self) -> Health:
        """Say whether the number can write, and to whom."""
        try:
            name = await self._api.describe()
        except NightshiftError as error:
            return Health(ok=False, text=str(error))
        finally:
            if not self._listens:  # nobody else would end the connection
                await self._api.close()
        if not self._people:
            return Health(ok=False, text=f"{name} knows nobody: give [people] their {self._place.name} numbers.")
        return Health(ok=True, text=f"{name}, by webhook")

    @cached_property
    def _writer(self) -> Writer:
        sender = Sender(self._api, self._settings)
        tells_all = self._settings.tell == "all"
        return Writer(sender, self._reporter, people=self._people, memory=self._memory, tells_all=tells_all)

    @cached_property
    def _listener(self) -> Listener:
        return Listener(self._api, self._writer, self._reporter, channel=self._place.name, keeper=self._keeper)

    async def set_up(self) -> None:
        """Offer the commands where people type."""
        try:
            await self._api.register(COMMANDS)
        except Rejected as error:  # the commands work without being offered
            log.warning("whatsapp_commands_not_offered", error=str(error))

    async def _verify(self, request: WebRequest) -> WebAnswer:
        """Answer the question with which WhatsApp makes sure, once, that the address is ours."""
        given, challenge = request.query.get("hub.verify_token", ""), request.query.get("hub.challenge", "")
        wanted = self._settings.verify_token.get_secret_value()
        if request.query.get("hub.mode") != "subscribe" or not hmac.compare_digest(given.encode(), wanted.encode()):
            return WebAnswer(status=403, body="Not WhatsApp.\n")
        if not challenge.isalnum() or len(challenge) > _MAX_CHALLENGE:
            return WebAnswer(status=400, body="This is no challenge.\n")
        return WebAnswer(status=200, body=challenge)

    async def _receive(self, request: WebRequest, inbox: ChatInbox) -> WebAnswer:
        """Take one call. 200 only once the inbox has its events: else WhatsApp calls again."""
        if not self._is_signed(request):
            return WebAnswer(status=401, body="Not WhatsApp.\n")
        try:
            call = parse(request.body)
        except Rejected as error:
            return WebAnswer(status=400, body=f"{error}\n")
        await self._keeper.learn()
        try:
            await self._listener.take(read(call, self._settings.phone_number_id, datetime.now(UTC)), inbox)
        except Unavailable as error:
            return WebAnswer(status=503, body=f"{error}\n")
        task = asyncio.create_task(self._keeper.learn(is_new=True))  # WhatsApp wants its answer at once
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
        return WebAnswer(status=200)

    def _is_signed(self, request: WebRequest) -> bool:
        secret = self._settings.app_secret.get_secret_value().encode()
        shown = request.headers.get(SIGNED_IN, "")
        wanted = f"sha256={hmac.new(secret, request.body, hashlib.sha256).hexdigest()}"
        return bool(_SIGNATURE.fullmatch(shown)) and hmac.compare_digest(shown, wanted)
