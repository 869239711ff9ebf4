"""The Telegram connector: one group, one bot."""

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import structlog
from telegram import Bot, BotCommand, Update
from telegram.request import HTTPXRequest

from bot.domain.chat import ChatLimits, Form, Message
from bot.errors import NightshiftError, Reason, Rejected
from bot.ports.chat import ChatInbox, ChatPlace, Health
from bot.ports.http import WebAnswer, Webhook, WebRequest
from connectors.chat.fetching import Way, fetch, origin_of
from connectors.chat.telegram.api import MovedError, call, make_bot
from connectors.chat.telegram.listener import Listener
from connectors.chat.telegram.polling import KINDS, Polling
from connectors.chat.telegram.reading import Reader
from connectors.chat.telegram.settings import Settings
from connectors.chat.telegram.writer import Writer

log = structlog.get_logger(__name__)
LIMITS: Final = ChatLimits(
    text=4096,
    buttons=100,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=False,
    files=True,
    shows_pictures=True,
    file_bytes=49_000_000,
)
COMMANDS: Final = (
    BotCommand("incident", "declare, list, status, ack, escalate, silence, resolve, triage"),
    BotCommand("oncall", "who is on call, test your contacts"),
    BotCommand("patch", "show, approve, reject, changes, revert"),
    BotCommand("ci", "status, logs, rerun, cancel"),
    BotCommand("link", "your accounts in other chats"),
    BotCommand("id", "your account and this chat, for the configuration"),
)
SHOWN_IN: Final = "x-telegram-bot-api-secret-token"
_FORMS: Final = 2000
_POOL: Final = 20


class Connector:
    """Posts into the group and edits there; listens by asking Telegram, or by its webhook where one is set."""

    def __init__(self, settings: Settings, place: ChatPlace) -> None:
        self._settings = settings
        self._place = place
        self._forms: OrderedDict[str, Form] = OrderedDict()
        self._is_set_up = False
        self._name = ""

    @property
    def limits(self) -> ChatLimits:
        return replace(LIMITS, pins=self._settings.summary)

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one group
        """Post. A second try under the same key goes on where the first one stopped, while this process lives."""
        self._learn(message)
        return await self._writer.post(message, key, thread)

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one group
        self._learn(message)
        await self._writer.edit(message, ref)

    async def fetch_image(self, ref: str) -> bytes:
        """`bot.ports.chat.ImageSource`: Telegram says where the file lies, and that is below its own address."""
        own = self._settings
        file = await call(self._bot.get_file(ref))
        origins = {origin_of(own.url)}
        way = Way(
            service="Telegram",
            origins=origins,
            proxy=own.proxy or None,
            ca_file=own.ca_file,
            seconds=own.answer_seconds,
        )
        return await fetch(file.file_path or "", way)

    async def run(self, inbox: ChatInbox) -> None:
        """Listen until cancelled; that ends the connections. The offset moves only past updates that the inbox has."""
        try:
            await self._listen(inbox)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the connections, where there are any."""
        if "_client" in self.__dict__:
            for request in self._client[1]:
                await request.shutdown()

    async def _listen(self, inbox: ChatInbox) -> None:
        await self.set_up()
        if self._settings.webhook_url:
            await asyncio.Event().wait()
        await self._polling.run(lambda updates: self._listener.take(updates, inbox))

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:
        if not self._settings.webhook_url:
            return ()

        async def handle(request: WebRequest) -> WebAnswer:
            return await self._receive(request, inbox)

        return (Webhook(method="POST", path=self._path, handle=handle),)

    async def check(self) -> Health:
        """Say whether the token works and the bot may write in the group."""
        try:
            me = await call(self._bot.get_me())
            chat = await call(self._bot.get_chat(self._writer.chat))
            member = await call(self._bot.get_chat_member(self._writer.chat, me.id))
        except MovedError as moved:
            return Health(ok=False, text=f'The group became a supergroup: set "chat" to {moved.chat}.')
        except NightshiftError as error:
            return Health(ok=False, text=str(error))
        if member.status in {"left", "kicked", "restricted"}:
            return Health(ok=False, text=f"@{me.username} is not in the group: add it there.")
        may_open = bool(getattr(member, "can_manage_topics", False))
        if chat.is_forum and self._settings.topics == "auto" and not may_open:
            return Health(
                ok=False, text=f'The group has topics: let @{me.username} manage them, or set topics = "never".'
            )
        way = "by webhook" if self._settings.webhook_url else "by polling"
        may_pin = bool(getattr(member, "can_pin_messages", False))
        lacks = "; it may not pin the list of what is open" if self._settings.summary and not may_pin else ""
        return Health(ok=True, text=f"@{me.username} in {chat.title or chat.id}, {way}{lacks}")

    @property
    def _path(self) -> str:
        return f"/v1/chat/{self._place.name}"

    @cached_property
    def _client(self) -> tuple[Bot, tuple[HTTPXRequest, HTTPXRequest]]:
        return make_bot(self._settings)

    @property
    def _bot(self) -> Bot:
        return self._client[0]

    @cached_property
    def _polling(self) -> Polling:
        return Polling(self._bot, self._settings.poll_seconds)

    @cached_property
    def _writer(self) -> Writer:
        topics = self._settings.topics == "auto"
        return Writer(self._bot, self._settings.chat, topics=topics, place=self._place)

    @cached_property
    def _secret(self) -> bytes:
        return self._settings.token.get_secret_value().encode()

    def _learn(self, message: Message) -> None:
        for button in message.buttons:
            if button.form is not None:
                self._forms.pop(button.id, None)
                self._forms[button.id] = button.form
        while len(self._forms) > _FORMS:
            self._forms.popitem(last=False)

    async def set_up(self) -> None:
        """Learn the bot's name, register the commands, and tell Telegram which way updates come."""
        if not self._is_set_up:
            me = await call(self._bot.get_me())
            await call(self._bot.set_my_commands(COMMANDS))
            await self._choose_way()
            self._name, self._is_set_up = me.username or "", True

    async def _choose_way(self) -> None:
        secret = self._settings.webhook_secret
        if self._settings.webhook_url and secret is not None:
            address, shown = f"{self._settings.webhook_url}{self._path}", secret.get_secret_value()
            await call(self._bot.set_webhook(address, allowed_updates=KINDS, secret_token=shown, max_connections=_POOL))
        else:
            await call(self._bot.delete_webhook(drop_pending_updates=False))

    @property
    def _listener(self) -> Listener:
        me = int(self._settings.token.get_secret_value().partition(":")[0])
        chats = frozenset({self._settings.chat, self._writer.chat, *self._settings.allowed_chats})
        reader = Reader(channel=self._place.name, allowed=chats, me=me, name=self._name, secret=self._secret)
        return Listener(self._bot, self._writer, reader, self._forms)

    async def _receive(self, request: WebRequest, inbox: ChatInbox) -> WebAnswer:
        """Take one update of the webhook. 200 only once the inbox has it: else Telegram calls again."""
        secret = self._settings.webhook_secret
        shown = request.headers.get(SHOWN_IN, "")
        if secret is None or not hmac.compare_digest(shown.encode(), secret.get_secret_value().encode()):
            return WebAnswer(status=401, body="Not Telegram.\n")
        try:
            update = read_update(request.body, self._bot)
        except Rejected as error:
            return WebAnswer(status=400, body=f"{error}\n")
        try:
            await self.set_up()
        except NightshiftError as error:
            return WebAnswer(status=503, body=f"{error}\n")
        await self._listener.take([update], inbox)
        return WebAnswer(status=200)


def read_update(body: bytes, bot: Bot) -> Update:
    """Raises `Rejected` for what is no update."""
    try:
        data = json.loads(body)
        update = Update.de_json(data, bot) if isinstance(data, dict) else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Rejected("This is no update.", Reason.BAD_INPUT) from error
    if update is None or not isinstance(update.update_id, int):
        raise Rejected("This is no update.", Reason.BAD_INPUT)
    return update
