"""What Nightshift writes in a Discord channel: messages with their files, edits, threads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from discord.http import Route

from bot.domain.chat import File, Message, Picture
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected
from connectors.chat.discord.api import Api, code_of
from connectors.chat.discord.components import build_rows, fit_line
from connectors.chat.discord.markup import Piece, head_of, render, render_ring, render_text
from connectors.chat.discord.reference import Reference, digest_of, read_reference

log = structlog.get_logger(__name__)
SILENT: Final = 1 << 12
_REMEMBERED: Final = 2000
_THREAD_NAME: Final = 100
_WEEK: Final = 10080
_ALREADY: Final = 160004
_UNKNOWN_CHANNEL: Final = 10003
_ASLEEP: Final = 50083
_LONG: Final = 12_000
_MAX_NAME: Final = 100
_CAPTION: Final = 300
Files = Sequence[File | Picture]
Answer = tuple[dict[str, Any], Files | None]
"""What is sent, and the files that go along."""


class Writer:
    """Writes to one channel. What was sent under a key is remembered, so that a second try goes on where it stopped."""

    def __init__(self, api: Api, channel: int, accounts: Mapping[str, str]) -> None:
        self._api = api
        self._channel = channel
        self._accounts = accounts
        self._begun: dict[str, Reference] = {}
        self._grown: dict[str, Reference] = {}

    async def post(self, message: Message, key: str, thread: str | None) -> str:
        """Return the reference of the posted message."""
        card = read_reference(thread) if thread else None
        ref = self._begun.get(key) or Reference(channel=(card.thread if card else 0) or self._channel)
        _remember(self._begun, key, ref)
        under = card.parts[0] if card is not None and card.parts and not card.thread else 0
        await self._bring(ref, message, key, under)
        if not message.in_thread and not ref.thread:
            ref.thread = await self._open_thread(message, ref)
        if message.is_pinned:
            await self._pin(ref)
        return ref.write()

    async def edit(self, message: Message, ref: str) -> None:
        known = self._grown.get(ref) or read_reference(ref)
        if not known.parts:
            raise Rejected("There is no such message in Discord.", Reason.NOT_FOUND)
        _remember(self._grown, ref, known)
        await self._bring(known, message, f"{ref} {known.parts[0]}", 0)

    async def answer(self, text: str, *, channel: int, under: int) -> None:
        """Answer words, under the message that said them."""
        for number, (body, files) in enumerate(build_answers(text)):
            more = _reply_to(under) | _nonce(f"answer {under} {number}") | {"flags": SILENT}
            route = Route("POST", "/channels/{channel_id}/messages", channel_id=channel)
            await self._api.call(route, **pack(body | more, files))

    async def _bring(self, ref: Reference, message: Message, key: str, under: int) -> None:
        """Make the messages of `ref` show this one: edit those there are, send what is missing, take away the rest."""
        pieces = render(message)
        attached: Files = (*message.files, *message.pictures)
        digest = digest_of(attached)
        for number, piece in enumerate(pieces):
            body = self._body(message, piece, is_head=number == 0)
            files = attached if number == 0 and (digest != ref.files or not ref.parts) else None
            if number < len(ref.parts) and await self._replace(ref, number, body, files):
                continue
            if number < len(ref.parts) and message.is_pinned:
                raise Rejected("The pinned message is gone from Discord.", Reason.NOT_FOUND)
            gone = number < len(ref.parts)
            place = under if number == 0 else ref.parts[0]
            sent = await self._send(ref, message, body | _reply_to(place) | _nonce(f"{key} {number} {gone}"), number)
            ref.parts[number : number + 1] = [sent]
        ref.files = digest
        while len(ref.parts) > len(pieces):
            await self._remove(ref, ref.parts[-1])
            ref.parts.pop()

    def _body(self, message: Message, piece: Piece, *, is_head: bool) -> dict[str, Any]:
        ring = render_ring(message, self._accounts) if is_head else ""
        users = [self._accounts[person] for person in message.rings if person in self._accounts] if ring else []
        embed = {"title": piece.title, "description": piece.text, "color": piece.colour}
        return {
            "content": ring,
            "embeds": [embed],
            "components": build_rows(message.buttons) if is_head else [],
            "allowed_mentions": {"parse": [], "users": [user for user in dict.fromkeys(users) if user.isdecimal()]},
        }

    async def _replace(self, ref: Reference, number: int, body: dict[str, Any], files: Files | None) -> bool:
        """Edit a message; say False where somebody deleted it."""
        try:
            await self._change(ref, number, pack(body, files))
        except Rejected as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            return False
        return True

    async def _change(self, ref: Reference, number: int, given: dict[str, Any]) -> None:
        """Edit a message, also in a thread that Discord has put to sleep meanwhile."""
        try:
            await self._api.call(self._route("PATCH", ref, ref.parts[number]), **given)
        except Rejected as error:
            if code_of(error) != _ASLEEP:
                raise
            await self._api.call(
                Route("PATCH", "/channels/{channel_id}", channel_id=ref.channel), json={"archived": False}
            )
            await self._api.call(self._route("PATCH", ref, ref.parts[number]), **given)

    async def _send(self, ref: Reference, message: Message, body: dict[str, Any], number: int) -> int:
        """Send into the incident's thread; where somebody deleted that, into the channel."""
        body["flags"] = 0 if message.rings and number == 0 else SILENT
        attached: Files = (*message.files, *message.pictures) if number == 0 else ()
        given = pack(body, attached or None)
        try:
            sent = await self._api.call(self._route("POST", ref), **given)
        except Rejected as error:
            if ref.channel == self._channel or code_of(error) != _UNKNOWN_CHANNEL:
                raise
            ref.channel = self._channel
            sent = await self._api.call(self._route("POST", ref), **given)
        return int(sent["id"])

    async def _remove(self, ref: Reference, number: int) -> None:
        try:
            await self._api.call(self._route("DELETE", ref, number))
        except Rejected as error:
            log.info("discord_not_removed", error=str(error))

    async def _pin(self, ref: Reference) -> None:
        """Pin a message; where the bot may not, it stands there all the same."""
        route = Route(
            "PUT",
            "/channels/{channel_id}/messages/pins/{message_id}",
            channel_id=ref.channel,
            message_id=ref.parts[0],
        )
        try:
            await self._api.call(route)
        except Rejected as error:
            log.warning("discord_not_pinned", error=str(error))

    async def _open_thread(self, message: Message, ref: Reference) -> int:
        """Return the thread on a card, 0 where the bot may open none: then replies have to do."""
        route = Route(
            "POST",
            "/channels/{channel_id}/messages/{message_id}/threads",
            channel_id=ref.channel,
            message_id=ref.parts[0],
        )
        body = {"name": fit_line(head_of(message), _THREAD_NAME), "auto_archive_duration": _WEEK}
        try:
            made = await self._api.call(route, json=body)
        except Rejected as error:
            if code_of(error) == _ALREADY:
                return ref.parts[0]  # a thread has the number of the message it stands on
            log.warning("discord_no_thread", error=str(error))
            return 0
        return int(made["id"])

    def _route(self, method: str, ref: Reference, message: int = 0) -> Route:
        path = "/channels/{channel_id}/messages"
        if not message:
            return Route(method, path, channel_id=ref.channel)
        return Route(method, f"{path}/{{message_id}}", channel_id=ref.channel, message_id=message)


def build_answers(text: str) -> list[Answer]:
    """Return an answer, whole: in as many messages as it takes, a very long one as a file."""
    calm: dict[str, Any] = {"allowed_mentions": {"parse": []}}
    if len(text) > _LONG:
        file = File(name="answer.txt", media_type="text/plain", text=text)
        return [(calm | {"embeds": [{"description": "The answer is long."}]}, (file,))]
    return [(calm | {"embeds": [{"description": piece}]}, None) for piece in render_text(text)]


def pack(body: dict[str, Any], files: Files | None) -> dict[str, Any]:
    """Return what the client is given: JSON, or a form where files go along. No files = those there stay."""
    if files is None:
        return {"json": body}
    named = [(f"files[{number}]", file, _name(file)) for number, file in enumerate(files)]
    body = body | {"attachments": [_describe(number, file, name) for number, (_, file, name) in enumerate(named)]}
    if not files:
        return {"json": body}
    payload = {"name": "payload_json", "value": json.dumps(body), "content_type": "application/json"}
    form: list[dict[str, Any]] = [payload]
    for field, file, name in named:
        content = file.data if isinstance(file, Picture) else file.text.encode(errors="replace") or b"\n"
        kind = file.media_type if isinstance(file, Picture) else "application/octet-stream"
        form.append({"name": field, "value": content, "filename": name, "content_type": kind})
    return {"form": form}


def _describe(number: int, file: File | Picture, name: str) -> dict[str, str]:
    told = {"id": str(number), "filename": name}
    return told | {"description": fit_line(file.caption, _CAPTION)} if isinstance(file, Picture) else told


def _name(file: File | Picture) -> str:
    kept = [c if c.isalnum() or c in "._-" else "_" for c in make_harmless(file.name)]
    return "".join(kept)[:_MAX_NAME] or "file"


def _reply_to(message: int) -> dict[str, Any]:
    return {"message_reference": {"message_id": str(message), "fail_if_not_exists": False}} if message else {}


def _nonce(key: str) -> dict[str, Any]:
    return {"nonce": hashlib.sha256(key.encode()).hexdigest()[:24], "enforce_nonce": True}


def _remember(known: dict[str, Reference], key: str, ref: Reference) -> None:
    known.pop(key, None)
    known[key] = ref
    if len(known) > _REMEMBERED:
        known.pop(next(iter(known)))
