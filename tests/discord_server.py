"""Discord on the loopback: its HTTP interface and its gateway. Keeps what a bot sends, refuses what Discord refuses,
and plays the people.

Where the official description lies beside the checkout, each call is held against it as well.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.discord_rules import BrokenRuleError, check_description, check_message, check_modal, require
from tests.rate_limits import Limits

TOKEN = f"{'M' * 24}.{'g' * 6}.{'A' * 38}"
BOT, APP, CHAT, GUILD = "4242", "4242", 500, "77"
ANA = {"id": "7", "username": "ana", "discriminator": "0", "avatar": None, "global_name": "Ana"}
BEN = {**ANA, "id": "8", "username": "ben", "global_name": "Ben"}
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw().hex()
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LIVE = re.compile(r"(?<!\\)(?:[*_~|`]|@\w|://|<|\]\()|^\s*(?:[#>+-]|\d+\.)", re.MULTILINE)
_ALLOWED = re.compile(r"\[[^\]]*\]\(<https://runbooks\.example/[^>]*>\)|(?<!\\)\*\*|```\w*\n.*?\n```", re.DOTALL)


class AnsweredError(Exception):
    """An interaction was answered twice: what a repeated event leads to."""


class AsleepError(Exception):
    """The thread is archived: nothing in it can be edited."""


@dataclass
class Stored:
    """One message as the channel sees it."""

    id: int
    channel: int
    body: dict[str, Any]
    reply_to: int = 0
    files: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What a reader sees, without markup."""
        parts = [str(self.body.get("content") or "")]
        for embed in self.body.get("embeds") or ():
            parts += [embed.get("title", ""), embed.get("description", "")]
        return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", "\n".join(parts).replace("```diff", "").replace("```", ""))

    def buttons(self) -> list[dict[str, Any]]:
        return [key for row in self.body.get("components") or () for key in row["components"]]

    def live(self) -> Iterator[str]:
        """Yield what a reader could be tricked by: markup, mentions, links, hidden characters."""
        for embed in self.body.get("embeds") or ():
            for text in (embed.get("title", ""), _ALLOWED.sub("", embed.get("description", ""))):
                yield from _LIVE.findall(text)
        content = re.sub(r"^(?:<@\d+> )+", "", str(self.body.get("content") or ""))
        yield from _LIVE.findall(content)
        yield from _HIDDEN.findall(json.dumps(self.body, ensure_ascii=False) + "".join(self.files))


@dataclass
class DiscordServer:
    """`faults` answer the next calls of "METHOD name" instead of the server: (status, body, headers)."""

    messages: dict[int, Stored] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = field(default_factory=dict)
    threads: dict[int, tuple[str, int]] = field(default_factory=dict)
    commands: list[dict[str, Any]] = field(default_factory=list)
    modals: list[dict[str, Any]] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)
    asleep: set[int] = field(default_factory=set)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    hook: str = ""
    hook_answers: list[int] = field(default_factory=list)
    address: str = ""
    takes_sessions: bool = True
    limits: Limits | None = None
    _next: int = 1000
    _nonces: dict[str, int] = field(default_factory=dict)
    _open: dict[str, str] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=26 * 1024 * 1024)
        app.router.add_get("/gateway", self._gateway)
        add = app.router.add_route
        chat, hook = "/channels/{channel}", "/webhooks/{app}/{token}"
        add("GET", "/users/@me", self._serve("me"))
        add("GET", "/applications/@me", self._serve("application"))
        add("GET", "/applications/{app}/commands", self._serve("get_commands"))
        add("PUT", "/applications/{app}/commands", self._serve("put_commands"))
        add("GET", chat, self._serve("channel"))
        add("PATCH", chat, self._serve("change_channel"))
        add("POST", f"{chat}/messages", self._serve("send"))
        add("PATCH", f"{chat}/messages/{{message}}", self._serve("edit"))
        add("DELETE", f"{chat}/messages/{{message}}", self._serve("delete"))
        add("PUT", f"{chat}/messages/pins/{{message}}", self._serve("pin"))
        add("POST", f"{chat}/messages/{{message}}/threads", self._serve("open_thread"))
        add("POST", "/interactions/{id}/{token}/callback", self._serve("callback"))
        add("PATCH", f"{hook}/messages/@original", self._serve("complete"))
        add("POST", hook, self._serve("follow"))
        return app

    def _serve(self, name: str) -> Any:
        async def serve(request: web.Request) -> web.Response:
            given, files = await _read(request)
            self.calls.append((name, given))
            if name not in {"callback", "complete", "follow"} and request.headers["Authorization"] != f"Bot {TOKEN}":
                return _answer(401, {"message": "401: Unauthorized", "code": 0})
            route = f"{name} {request.match_info.get('channel', '')}"
            limits = self.limits if "channel" in request.match_info else None
            window = "threads" if name == "open_thread" else "route"
            if limits is not None and (wait := limits.take(**{window: route}, all="")):
                return _ask_to_wait(wait, _tell_limits(limits, window, route))
            if self.faults.get(name):
                status, body, more = self.faults[name].pop(0)
                page = more.get("X-Page")
                return web.Response(text=page, content_type="text/html") if page else _answer(status, body, more)
            try:
                check_description(request, given)
                result = getattr(self, f"_{name}")(request.match_info, given, files)
                result = await result if asyncio.iscoroutine(result) else result
            except (BrokenRuleError, AnsweredError, AsleepError, LookupError) as error:
                if isinstance(error, BrokenRuleError):
                    self.violations.append(f"{name}: {error}")
                return _refuse(error)
            told = _tell_limits(limits, window, route)
            return _answer(200, result, told) if result is not None else web.Response(status=204, headers=told)

        return serve

    # what the bot calls

    def _me(self, *_: Any) -> dict[str, Any]:
        return {"id": BOT, "username": "nightshift", "discriminator": "0", "avatar": None, "bot": True}

    def _application(self, *_: Any) -> dict[str, Any]:
        return {"id": APP, "name": "Nightshift"}

    def _get_commands(self, *_: Any) -> list[dict[str, Any]]:
        more = {"id": "1", "version": "2", "default_member_permissions": None}
        return [{**command, **more} for command in self.commands]

    def _put_commands(self, _path: Any, given: Any, _files: Any) -> list[dict[str, Any]]:
        for command in given:
            require(re.fullmatch(r"[a-z0-9_-]{1,32}", command["name"]), "name of a command")
            require(1 <= len(command["description"]) <= 100, "description of a command")
            required = [option["required"] for option in command["options"]]
            require(required == sorted(required, reverse=True), "required options come first")
        self.commands = given
        return self._get_commands()

    def _channel(self, path: Mapping[str, str], *_: Any) -> dict[str, Any]:
        return self._show_channel(int(path["channel"]))

    def _change_channel(self, path: Mapping[str, str], given: dict[str, Any], _files: Any) -> dict[str, Any]:
        require(given == {"archived": False}, "what a bot without rights may change")
        self.asleep.discard(int(path["channel"]))
        return self._show_channel(int(path["channel"]))

    def _send(self, path: Mapping[str, str], given: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        channel = self._require_channel(int(path["channel"]))
        check_message(given, files)
        require(bool(given.get("nonce")) and given.get("enforce_nonce") is True, "a post without its nonce")
        if given["nonce"] in self._nonces:
            return self._show(self.messages[self._nonces[given["nonce"]]])
        stored = Stored(id=self.new_id(), channel=channel, body=given, files=files)
        stored.reply_to = int(given.get("message_reference", {}).get("message_id", 0))
        self.messages[stored.id] = stored
        self._nonces[given["nonce"]] = stored.id
        return self._show(stored)

    def _edit(self, path: Mapping[str, str], given: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        self._require_channel(int(path["channel"]))
        stored = self.messages[int(path["message"])]
        if stored.channel in self.asleep:
            raise AsleepError
        require(stored.channel == int(path["channel"]), "a message of another channel")
        check_message(given, files)
        stored.body = {**stored.body, **given}
        stored.files = files if "attachments" in given else stored.files
        return self._show(stored)

    def _delete(self, path: Mapping[str, str], *_: Any) -> None:
        del self.messages[int(path["message"])]

    def _open_thread(self, path: Mapping[str, str], given: dict[str, Any], _files: Any) -> dict[str, Any]:
        number = self.messages[int(path["message"])].id
        require(1 <= len(given["name"]) <= 100, "name of a thread")
        require(given["auto_archive_duration"] in {60, 1440, 4320, 10080}, "duration of a thread")
        self.threads[number] = (given["name"], int(path["channel"]))
        return self._show_channel(number)

    def _callback(self, path: Mapping[str, str], given: dict[str, Any], _files: Any) -> None:
        state = self._open[path["token"]]
        if state != "new":
            raise AnsweredError
        self._open[path["token"]] = "deferred" if given["type"] == 5 else "answered"
        data = given.get("data", {})
        if given["type"] == 9:
            check_modal(data)
            self.modals.append(data)
        elif given["type"] == 8:
            require(len(data["choices"]) <= 25, "choices")
            self.answers.append({**data, "kind": 8})
        else:
            require(data["flags"] & 64, "an answer that all see")
            check_message(data, {}) if given["type"] == 4 else None
            self.answers.append({**data, "kind": given["type"]})

    def _complete(self, path: Mapping[str, str], given: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        require(self._open.get(path["token"]) == "deferred", "nothing to complete")
        check_message(given, files)
        self.answers.append({**given, "kind": "complete", "files": files})
        return {"id": "1"}

    def _follow(self, path: Mapping[str, str], given: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        require(self._open.get(path["token"]) in {"answered", "deferred"}, "a follow-up before the answer")
        require(given["flags"] & 64, "an answer that all see")
        check_message(given, files)
        self.answers.append({**given, "kind": "follow", "files": files})
        return {"id": "1"}

    # the gateway

    def _pin(self, path: Mapping[str, str], given: object, _files: object) -> None:
        require(not given, "a pin has no body")
        stored = self.messages[int(path["message"])]
        require(stored.channel == self._require_channel(int(path["channel"])), "a message of another channel")
        require(len(self.pinned) < 250, "too many pins")
        self.pinned.add(stored.id)

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41250}, "s": None, "t": None})
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                break
            told = json.loads(frame.data)
            self.heard.append(told)
            await self._hear(socket, told)
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    async def _hear(self, socket: web.WebSocketResponse, told: dict[str, Any]) -> None:
        if told["op"] == 1:
            await socket.send_json({"op": 11, "d": None, "s": None, "t": None})
        elif told["op"] == 2:
            if told["d"]["token"] != TOKEN:
                await socket.close(code=4004)
                return
            await self._dispatch(socket, self._number("READY", {}), "READY", self._ready())
            self.sockets.append(socket)
        elif told["op"] == 6:
            if not self.takes_sessions:
                await socket.send_json({"op": 9, "d": False, "s": None, "t": None})
                return
            self.sockets.append(socket)
            for number, kind, data in [event for event in self.events if event[0] > told["d"]["seq"]]:
                await self._dispatch(socket, number, kind, data)
            await self._dispatch(socket, self._number("RESUMED", {}), "RESUMED", {})

    def _ready(self) -> dict[str, Any]:
        return {"v": 10, "session_id": "s1", "resume_gateway_url": self.address, "user": self._me(), "guilds": []}

    def _number(self, kind: str, data: dict[str, Any]) -> int:
        self.events.append((len(self.events) + 1, kind, data))
        return len(self.events)

    async def _dispatch(self, socket: web.WebSocketResponse, number: int, kind: str, data: dict[str, Any]) -> None:
        await socket.send_json({"op": 0, "s": number, "t": kind, "d": data})

    async def deliver(self, kind: str, data: dict[str, Any]) -> None:
        if self.hook and kind == "INTERACTION_CREATE":
            await self.call_hook(data)
            return
        number = self._number(kind, data)
        for socket in tuple(self.sockets):
            await self._dispatch(socket, number, kind, data)

    async def tell(self, op: int, data: object = None) -> None:
        """Send an order of the gateway to whoever listens: 7 = connect anew, 9 = the session is gone."""
        for socket in tuple(self.sockets):
            await socket.send_json({"op": op, "d": data, "s": None, "t": None})

    async def drop(self) -> None:
        """Cut every connection as a broken line does."""
        for socket in tuple(self.sockets):
            self.sockets.remove(socket)
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

    # what people do

    async def interact(self, kind: int, data: dict[str, Any], channel: int, **more: Any) -> dict[str, Any]:
        number = str(self.new_id())
        token = f"token-{number}"
        self._open[token] = "new"
        who = {"user": more.pop("person", ANA), "roles": [], "joined_at": "2026-01-01T00:00:00Z"}
        base = {"id": number, "application_id": APP, "type": kind, "token": token, "version": 1, "guild_id": GUILD}
        event = {**base, "data": data, "channel_id": str(channel), "member": who, **more}
        await self.deliver("INTERACTION_CREATE", {"channel": self._show_channel(channel), **event})
        return event

    async def press(self, stored: Stored, custom_id: str, person: Mapping[str, Any] = ANA) -> None:
        data = {"custom_id": custom_id, "component_type": 2}
        await self.interact(3, data, stored.channel, message=self._show(stored), person=person)

    async def fill(self, modal: dict[str, Any], value: str, channel: int, person: Mapping[str, Any] = ANA) -> None:
        filled = []
        for label in modal["components"]:
            inner = label["component"]
            answer = {"values": [value]} if inner["type"] == 3 else {"value": value}
            filled.append({"type": 18, "component": {**answer, "custom_id": inner["custom_id"], "type": inner["type"]}})
        data = {"custom_id": modal["custom_id"], "components": filled}
        await self.interact(5, data, channel, person=person)

    async def fill_next(self, before: int, channel: int, person: Mapping[str, Any] = ANA) -> None:
        """Confirm the modal that comes after the first `before`, where one comes within a moment."""
        for _ in range(100):
            if len(self.modals) > before:
                first = self.modals[before]["components"][0]["component"]
                await self.fill(self.modals[before], first["options"][0]["value"], channel, person)
                return
            if self.answered_last():
                return
            await asyncio.sleep(0.02)

    def answered_last(self) -> bool:
        """Return whether the last interaction has its answer."""
        return bool(self._open) and self._open[next(reversed(self._open))] != "new"

    async def command(self, name: str, channel: int = CHAT, **options: str) -> None:
        given = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
        await self.interact(2, {"id": "1", "name": name, "type": 1, "options": given}, channel)

    async def say(self, text: str, *, channel: int = CHAT, person: Mapping[str, Any] = ANA, **more: Any) -> None:
        mentions = [self._me()] if f"<@{BOT}>" in text else []
        said = {"id": str(self.new_id()), "channel_id": str(channel), "author": dict(person), "mentions": mentions}
        stamp = {"timestamp": "2026-11-28T06:00:00+00:00", "content": text if mentions else ""}
        await self.deliver("MESSAGE_CREATE", {**said, **stamp, **more})

    async def repeat(self) -> None:
        """The last event once more, byte for byte."""
        if self.hook:
            await self.call_hook(self._last)
            return
        number, kind, data = self.events[-1]
        for socket in tuple(self.sockets):
            await self._dispatch(socket, number, kind, data)

    async def call_hook(self, data: dict[str, Any], *, key: Ed25519PrivateKey = KEY, at: float | None = None) -> int:
        self._last = data
        body, stamp = json.dumps(data).encode(), str(int(time.time() if at is None else at))
        headers = {"X-Signature-Timestamp": stamp, "Content-Type": "application/json"}
        headers["X-Signature-Ed25519"] = key.sign(stamp.encode() + body).hex()
        async with aiohttp.ClientSession() as session, session.post(self.hook, data=body, headers=headers) as answer:
            self.hook_answers.append(answer.status)
            return answer.status

    def find(self, text: str) -> Stored:
        (found,) = [stored for stored in self.messages.values() if text in stored.text]
        return found

    def told(self) -> str:
        texts = [Stored(id=0, channel=0, body=answer).text for answer in self.answers]
        return "\n".join([*texts, *(text for one in self.answers for text in one.get("files", {}).values())])

    # how it looks

    def new_id(self) -> int:
        self._next += 1
        return self._next

    def _show_channel(self, number: int) -> dict[str, Any]:
        if number in self.threads:
            name, parent = self.threads[number]
            return {"id": str(number), "type": 11, "name": name, "parent_id": str(parent), "guild_id": GUILD}
        return {"id": str(number), "type": 0, "name": "on-call", "parent_id": None, "guild_id": GUILD}

    def _show(self, stored: Stored) -> dict[str, Any]:
        shown = {"id": str(stored.id), "channel_id": str(stored.channel), "author": self._me()}
        return {**shown, "components": stored.body.get("components", []), "embeds": stored.body.get("embeds", [])}

    def _require_channel(self, number: int) -> int:
        if number != CHAT and number not in self.threads:
            raise LookupError("Unknown Channel")
        return number


async def _read(request: web.Request) -> tuple[Any, dict[str, str]]:
    if not request.content_type.startswith("multipart/"):
        body = await request.read()
        return (json.loads(body) if body else {}), {}
    given, files, names = {}, {}, {}
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            names[name] = value.filename
            files[value.filename] = value.file.read().decode(errors="surrogateescape")
        else:
            given = json.loads(value if isinstance(value, str) else value.decode())
    require(
        {f"files[{one['id']}]": one["filename"] for one in given.get("attachments", ())} == names,
        "attachments and files",
    )
    return given, files


def _refuse(error: Exception) -> web.Response:
    if isinstance(error, BrokenRuleError):
        return _answer(400, {"message": str(error), "code": 50035})
    if isinstance(error, AnsweredError):
        return _answer(400, {"message": "Interaction has already been acknowledged.", "code": 40060})
    if isinstance(error, AsleepError):
        return _answer(400, {"message": "Thread is archived", "code": 50083})
    if isinstance(error, KeyError):
        return _answer(404, {"message": "Unknown Message", "code": 10008})
    return _answer(404, {"message": str(error), "code": 10003})


def _tell_limits(limits: Limits | None, window: str, route: str) -> dict[str, str]:
    """Return the headers by which Discord says how many calls of a route are left."""
    if limits is None:
        return {}
    left, seconds = limits.left(window, route)
    told = {"Limit": limits.windows[window].count, "Remaining": left, "Reset-After": f"{seconds:.3f}"}
    told |= {"Reset": f"{time.time() + seconds:.3f}", "Bucket": route.partition(" ")[0]}
    return {f"X-RateLimit-{name}": str(value) for name, value in told.items()}


def _ask_to_wait(wait: float, told: Mapping[str, str]) -> web.Response:
    body = {"message": "You are being rate limited.", "retry_after": round(wait, 3), "global": False}
    return _answer(429, body, {**told, "Retry-After": f"{wait:.3f}", "Via": "1.1 google"})


def _answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    raw = json.dumps(body).encode()
    return web.Response(status=status, body=raw, headers={**(headers or {}), "Content-Type": "application/json"})
