"""The Slack connector: one channel, one app."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.chat import ChatLimits, File, Message
from bot.domain.text.nesting import is_nested_deeper
from bot.domain.text.unseen import make_harmless
from bot.errors import NightshiftError, Reason, Unavailable
from bot.ports.chat import ChatInbox, ChatPlace, Health
from bot.ports.http import WebAnswer, Webhook, WebRequest
from connectors.chat.pace import Pace
from connectors.chat.slack.api import make_app, make_client, make_socket, named_faults
from connectors.chat.slack.blocks import Rendered, render
from connectors.chat.slack.events import Listeners
from connectors.chat.slack.files import fetch_file
from connectors.chat.slack.settings import Settings
from connectors.chat.slack.signature import is_signed

LIMITS: Final = ChatLimits(
    text=10_000,
    buttons=100,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=True,
    files=True,
    file_bytes=4_000_000,
    shows_pictures=True,
)
_CAPTION: Final = 300
_BODY: Final = 1_000_000
_MAX_DEPTH: Final = 30
_REMEMBERED: Final = 2000
_POSTS: Final = (5, 5.2)
_EDITS: Final = (50, 61.0)
"""Calls in so many seconds: Slack takes a message a second in a channel, with short bursts, and 50 edits a minute."""


class Connector:
    """Posts into one channel and edits there. A reference is "timestamp", in a thread "thread/timestamp"."""

    def __init__(self, settings: Settings, place: ChatPlace) -> None:
        self._settings = settings
        self._place = place
        self._attached: OrderedDict[str, str] = OrderedDict()
        self._unfinished: OrderedDict[str, str] = OrderedDict()
        self._doubtful: OrderedDict[str, str] = OrderedDict()
        self._posts, self._edits = Pace(_POSTS), Pace(_EDITS)

    @property
    def limits(self) -> ChatLimits:
        return LIMITS

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one channel
        """Post. A repeat goes on with the message that is there, also where its answer got lost."""
        shown = render(message, self._place.accounts)
        head = thread.partition("/")[0] if thread else ""
        ref = self._unfinished.get(key) or await self._find(key, head) or await self._send(message, shown, key, head)
        _remember(self._unfinished, key, ref)
        await self._attach(message, shown.rest, ref)
        self._unfinished.pop(key, None)
        return ref

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one channel
        shown = render(message, self._place.accounts)
        async with self._edits.turn(), named_faults():
            await self._client.chat_update(
                channel=self._settings.chat,
                ts=ref.rpartition("/")[2],
                text=shown.text,
                blocks=shown.blocks,
                metadata=_metadata(message, ""),
            )
        await self._attach(message, shown.rest, ref)

    async def fetch_image(self, ref: str) -> bytes:
        """`bot.ports.chat.ImageSource`; the app needs the scope `files:read`."""
        return await fetch_file(self._client, self._settings, ref)

    async def run(self, inbox: ChatInbox) -> None:
        """Listen over Socket Mode until cancelled. Each event is acknowledged once the inbox has it."""
        if self._settings.app_token is None:
            return
        app = self._make_app()
        listeners = Listeners(self._client, inbox, self._settings, self._place.name)
        listeners.join(app)
        socket = make_socket(app, self._settings, self._settings.app_token.get_secret_value())
        try:
            async with named_faults():
                await socket.connect_async()  # type: ignore[no-untyped-call]  # Bolt leaves it untyped
                await asyncio.Event().wait()  # its start_async would write into the terminal
        finally:
            await socket.close_async()  # type: ignore[no-untyped-call]  # as above
            await listeners.close()

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:
        if self._settings.signing_secret is None:
            return ()
        secret = self._settings.signing_secret.get_secret_value()
        app = self._make_app()
        Listeners(self._client, inbox, self._settings, self._place.name).join(app)

        async def handle(request: WebRequest) -> WebAnswer:
            if len(request.body) > _BODY:
                return WebAnswer(status=413, body="Too large.\n")
            if not is_signed(request, secret, time.time()):
                return WebAnswer(status=401, body="The signature does not fit.\n")
            return await _dispatch(app, request)

        return (Webhook(method="POST", path=f"/v1/chat/{self._place.name}", handle=handle),)

    async def check(self) -> Health:
        """Say whether the tokens work."""
        try:
            async with named_faults():
                me = await self._client.auth_test()
        except NightshiftError as error:
            return Health(ok=False, text=str(error))
        if self._settings.app_token is not None:
            try:
                async with named_faults():
                    await self._client.apps_connections_open(app_token=self._settings.app_token.get_secret_value())
            except NightshiftError as error:
                return Health(ok=False, text=f"Nobody can press or type: of the app-level token (xapp-…): {error}")
        way = "over Socket Mode" if self._settings.app_token is not None else "over HTTP"
        return Health(ok=True, text=f"@{make_harmless(str(me.get('user', 'nightshift')))}, {way}")

    @cached_property
    def _client(self) -> AsyncWebClient:
        return make_client(self._settings)

    def _make_app(self) -> AsyncApp:
        return make_app(self._client, self._settings.bot_token.get_secret_value())

    async def _send(self, message: Message, shown: Rendered, key: str, head: str) -> str:
        try:
            async with self._posts.turn(), named_faults():
                answer = await self._client.chat_postMessage(
                    channel=self._settings.chat,
                    text=shown.text,
                    blocks=shown.blocks,
                    thread_ts=head or None,
                    reply_broadcast=True if head and message.is_broadcast else None,
                    unfurl_links=False,
                    unfurl_media=False,
                    metadata=_metadata(message, key),
                )
        except Unavailable as error:
            if error.reason is not Reason.RATE_LIMITED:
                _remember(self._doubtful, key, head)
            raise
        return _write_reference(head, str(answer["ts"]))

    async def _find(self, key: str, head: str) -> str | None:
        """Look whether a message was posted though no answer came; each carries its key."""
        if key not in self._doubtful:
            return None
        place, client = self._settings.chat, self._client
        async with named_faults():
            if head:
                answer = await client.conversations_replies(channel=place, ts=head, include_all_metadata=True)
            else:
                answer = await client.conversations_history(channel=place, include_all_metadata=True)
        self._doubtful.pop(key, None)
        found = [one for one in answer.get("messages") or () if _key_of(one) == key]
        return _write_reference(head, str(found[0]["ts"])) if found else None

    async def _attach(self, message: Message, rest: str, ref: str) -> None:
        """Upload the message's files into the thread; what is there already is not sent again."""
        files = [*message.files]
        if rest:
            files.append(File(name=f"{message.incident}.txt", media_type="text/plain", text=rest))
        for file in files:
            digest = hashlib.sha256(file.text.encode(errors="replace")).hexdigest()
            place = f"{ref}:{file.name}"
            if not file.text or self._attached.get(place) == digest:
                continue
            await self._upload(file.name, file.text.encode(errors="replace"), ref)
            _remember(self._attached, place, digest)
        for picture in message.pictures:
            place = f"{ref}:{picture.name}"
            if self._attached.get(place) == picture.sha256:
                continue
            await self._upload(picture.name, picture.data, ref, caption=make_harmless(picture.caption)[:_CAPTION])
            _remember(self._attached, place, picture.sha256)

    async def _upload(self, name: str, content: bytes, ref: str, *, caption: str = "") -> None:
        named: dict[str, Any] = {"title": caption, "alt_txt": caption} if caption else {}
        async with named_faults():
            await self._client.files_upload_v2(
                channel=self._settings.chat,
                thread_ts=ref.partition("/")[0],
                content=content,
                filename=make_harmless(name).replace("/", "_").replace("\n", " ")[:200],
                **named,
            )


async def _dispatch(app: AsyncApp, request: WebRequest) -> WebAnswer:
    body = request.body.decode(errors="replace")
    try:
        asked = AsyncBoltRequest(body=body, headers=dict(request.headers))
        if is_nested_deeper(asked.body, _MAX_DEPTH):
            return WebAnswer(status=400, body="This is no event.\n")
        answer = await app.async_dispatch(asked)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return WebAnswer(status=400, body="This is no event.\n")
    if answer.status >= 500:
        return WebAnswer(status=503, body="Not taken; send it again.\n")
    media_type = str((answer.headers.get("content-type") or ["text/plain"])[0]).partition(";")[0]
    return WebAnswer(status=answer.status, body=answer.body or "", media_type=media_type)


def _metadata(message: Message, key: str) -> dict[str, Any]:
    payload = {"incident": message.incident, "slot": message.slot, "key": key}
    return {"event_type": "nightshift", "event_payload": payload}


def _key_of(posted: Any) -> object:  # noqa: ANN401 -- whatever Slack sent
    metadata = posted.get("metadata") or {}
    ours = metadata.get("event_type") == "nightshift"
    return (metadata.get("event_payload") or {}).get("key") if ours else None


def _write_reference(head: str, ts: str) -> str:
    return f"{head}/{ts}" if head else ts


def _remember(known: OrderedDict[str, str], key: str, value: str) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
