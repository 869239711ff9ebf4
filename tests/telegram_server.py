"""A Bot API server on the loopback: keeps what a bot sends, refuses what Telegram refuses, and plays the people.

Where the official description lies beside the checkout, each call is held against it as well.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.rate_limits import Limits, whole_seconds

DESCRIPTION = Path(__file__).resolve().parents[2] / "shared" / "specs" / "telegram" / "api.json"
TOKEN = "4242:" + "A" * 35
BOT = {"id": 4242, "is_bot": True, "first_name": "Nightshift", "username": "nightshift_bot"}
ANA = {"id": 7, "is_bot": False, "first_name": "Ana"}
CHAT = -100500
_LIVE = re.compile(
    r"@\w{2,}|\w+://\S|(?<!\w)[#$][^\W\d_]\w*|(?<![\w/])/[a-z]\w*(?![\w/])|\w\.[a-z]{2,}\b", re.IGNORECASE
)
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass
class Stored:
    """One message as the group sees it."""

    id: int
    chat: int
    text: str
    entities: list[dict[str, Any]]
    keys: dict[str, Any] | None = None
    topic: int = 0
    reply_to: int = 0
    silent: bool = False
    name: str = ""
    content: str = ""

    def labels(self) -> list[str]:
        return [key["text"] for row in (self.keys or {}).get("inline_keyboard", ()) for key in row]

    def live(self) -> Iterator[str]:
        """Yield what a reader could be tricked by: what Telegram makes live by itself, links, hidden characters."""
        covered: set[int] = set()
        for entity in self.entities:
            begin, end = entity["offset"], entity["offset"] + entity["length"]
            if entity["type"] in {"code", "pre", "text_link", "text_mention"}:
                covered |= set(range(begin, end))
            if entity["type"] == "text_link" and not entity["url"].startswith("https://runbooks.example/"):
                yield entity["url"]
        for match in _LIVE.finditer(self.text):
            begin = _units(self.text[: match.start()])
            if not set(range(begin, begin + _units(match.group()))) <= covered:
                yield match.group()
        yield from _HIDDEN.findall(self.text + "".join(self.labels()))


@dataclass
class TelegramServer:
    """`faults` answer the next calls of a method instead of the server; a hanging one is an `asyncio.Event`."""

    is_forum: bool = False
    messages: dict[int, Stored] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    hook: dict[str, Any] = field(default_factory=dict)
    chat: int = CHAT
    pinned: list[int] = field(default_factory=list)
    may_pin: bool = True
    talks: set[int] = field(default_factory=lambda: {ANA["id"]})
    """People who began to talk with the bot alone."""
    moved_from: int = 0
    updates: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    confirmed: int = 0
    answered: list[int] = field(default_factory=list)
    limits: Limits | None = None
    posted: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """What people posted: where it lies, and its bytes."""
    _next: int = 100
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=60 * 1024 * 1024)
        app.router.add_post("/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path:.*}", self._download)
        return app

    async def _download(self, request: web.Request) -> web.Response:
        found = dict(self.posted.values()).get(request.match_info["path"])
        is_known = request.match_info["token"] == TOKEN and found is not None
        return web.Response(body=found) if is_known else web.Response(status=404)

    async def _serve(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.match_info["token"] != TOKEN:
            return _refuse(401, "Unauthorized")
        given = await _read(request)
        self.calls.append((method, given))
        if given.get("chat_id") == self.moved_from:
            moved = {"migrate_to_chat_id": self.chat}
            body = {"description": "Bad Request: group chat was upgraded to a supergroup chat", "parameters": moved}
            return web.json_response({"ok": False, "error_code": 400, **body}, status=400)
        if self.limits is not None and method.startswith("send"):
            chat = str(given["chat_id"])
            if wait := self.limits.take(chat=chat, group=chat, all=""):
                return _ask_to_wait(whole_seconds(wait))
        waiting = self.faults.get(method)
        if waiting:
            status, body = waiting.pop(0)
            return web.json_response({"ok": False, "error_code": status, **body}, status=status)
        try:
            _hold_against_description(method, given)
            name = re.sub("([A-Z])", r"_\1", method).lower()
            result = getattr(self, f"_{name}")(given)
            result = await result if asyncio.iscoroutine(result) else result
        except _RefusalError as refusal:
            self.violations.extend([f"{method}: {refusal}"] if refusal.counts else [])
            return _refuse(400, f"Bad Request: {refusal}")
        return web.json_response({"ok": True, "result": result})

    # what the bot calls

    def _get_me(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {**BOT, "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}

    def _get_chat(self, given: dict[str, Any]) -> dict[str, Any]:
        self._require_chat(given)
        full = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": _GIFTS}
        return {**self._chat(), **full}

    def _get_chat_member(self, given: dict[str, Any]) -> dict[str, Any]:
        self._require_chat(given)
        rights = dict.fromkeys(_RIGHTS, False) | {"can_manage_topics": True, "can_pin_messages": self.may_pin}
        return (
            {"status": "administrator", "user": BOT, **rights} if self.is_forum else {"status": "member", "user": BOT}
        )

    def _get_file(self, given: dict[str, Any]) -> dict[str, Any]:
        path, data = self.posted[given["file_id"]]
        about = {"file_id": given["file_id"], "file_unique_id": "u", "file_size": len(data)}
        return {**about, "file_path": path}

    def _set_my_commands(self, given: dict[str, Any]) -> bool:
        for command in given["commands"]:
            _require(re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]), "BOT_COMMAND_INVALID")
            _require(1 <= len(command["description"]) <= 256, "BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands = given["commands"]
        return True

    def _set_webhook(self, given: dict[str, Any]) -> bool:
        _require(re.fullmatch(r"[A-Za-z0-9_-]{1,256}", given["secret_token"]), "secret token is not allowed")
        self.hook = given
        return True

    def _delete_webhook(self, _given: dict[str, Any]) -> bool:
        self.hook = {}
        return True

    async def _get_updates(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        offset = given.get("offset", 0)
        self.confirmed = max(self.confirmed, offset)
        async with self._news:
            try:
                async with asyncio.timeout(min(given.get("timeout", 0), 5)):
                    await self._news.wait_for(lambda: self._after(offset))
            except TimeoutError:
                return []
            return self._after(offset)

    def _after(self, offset: int) -> list[dict[str, Any]]:
        return [update for update in self.updates if update["update_id"] >= offset]

    def _create_forum_topic(self, given: dict[str, Any]) -> dict[str, Any]:
        self._require_chat(given)
        _require(self.is_forum, "the chat is not a forum")
        _require(1 <= _units(given["name"]) <= 128, "topic name is too long")
        self._next += 1
        self.topics[self._next] = given["name"]
        return {"message_thread_id": self._next, "name": given["name"], "icon_color": 7322096}

    def _send_message(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._keep(given, given["text"], given.get("entities", []), 4096)

    def _send_document(self, given: dict[str, Any]) -> dict[str, Any]:
        _require(given["document"]["content"], "file must be non-empty")
        return self._keep(given, given.get("caption", ""), given.get("caption_entities", []), 1024, given["document"])

    def _send_photo(self, given: dict[str, Any]) -> dict[str, Any]:
        content = given["photo"]["content"].encode(errors="surrogateescape")
        _require(content.startswith(b"\x89PNG"), "IMAGE_PROCESS_FAILED")
        return self._keep(given, given.get("caption", ""), given.get("caption_entities", []), 1024, given["photo"])

    def _edit_message_text(self, given: dict[str, Any]) -> dict[str, Any]:
        stored = self._find(given)
        _check_text(given["text"], given.get("entities", []), 4096)
        _check_keys(given.get("reply_markup"))
        after = (given["text"], given.get("entities", []), given.get("reply_markup"))
        if after == (stored.text, stored.entities, stored.keys):
            raise _RefusalError("message is not modified: specified new message content is the same", counts=False)
        stored.text, stored.entities, stored.keys = after
        return self._show(stored)

    def _edit_message_media(self, given: dict[str, Any]) -> dict[str, Any]:
        stored, media = self._find(given), given["media"]
        _check_text(media.get("caption", ""), media.get("caption_entities", []), 1024)
        stored.content = given[media["media"].removeprefix("attach://")]["content"]
        return self._show(stored)

    def _pin_chat_message(self, given: dict[str, Any]) -> bool:
        if not self.may_pin:
            raise _RefusalError("not enough rights to manage pinned messages in the chat", counts=False)
        _require(given.get("disable_notification") is True, "a pin that rings everybody")
        self.pinned.append(self._find(given).id)
        return True

    def _delete_message(self, given: dict[str, Any]) -> bool:
        del self.messages[self._find(given).id]
        return True

    def _answer_callback_query(self, given: dict[str, Any]) -> bool:
        _require(len(given.get("text", "")) <= 200, "MESSAGE_TOO_LONG")
        self.answers.append(given)
        return True

    # what people do

    async def press(self, stored: Stored, data: str, person: Mapping[str, Any] = ANA) -> None:
        query = {"id": f"q{len(self.updates)}", "from": dict(person), "chat_instance": "1", "data": data}
        await self.deliver({"callback_query": {**query, "message": self._show(stored)}})

    async def say(
        self, text: str, *, person: Mapping[str, Any] = ANA, under: Stored | None = None, topic: int = 0, **more: object
    ) -> None:
        self._next += 1
        said = {
            "message_id": self._next,
            "date": 1_780_000_000,
            "chat": self._chat(),
            "from": dict(person),
            "text": text,
        }
        if topic:
            opened = {"message_id": topic, "date": 1, "chat": self._chat(), "from": BOT}
            opened["forum_topic_created"] = {"name": self.topics[topic], "icon_color": 7322096}
            said |= {"message_thread_id": topic, "is_topic_message": True, "reply_to_message": opened}
        if under is not None:
            said["reply_to_message"] = self._show(under)
        await self.deliver({"message": {**said, **more}})

    async def deliver(self, content: Mapping[str, Any]) -> None:
        async with self._news:
            self.updates.append({"update_id": 9000 + len(self.updates), **content})
            self._news.notify_all()
        if self.hook:
            await self.call_hook(self.updates[-1])

    async def repeat(self) -> None:
        """The last update once more, as after an answer that got lost."""
        again = self.updates[-1]
        if self.hook:
            await self.call_hook(again)
            return
        async with self._news:
            self.updates.append({**again, "update_id": again["update_id"]})
            self.confirmed = 0
            self._news.notify_all()

    async def call_hook(self, update: Mapping[str, Any], secret: str | None = None) -> int:
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.hook["secret_token"] if secret is None else secret}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.hook["url"], json=update, headers=headers) as answer,
        ):
            self.answered.append(answer.status)
            return answer.status

    def find(self, text: str) -> Stored:
        (found,) = [stored for stored in self.messages.values() if text in stored.text]
        return found

    # how it looks

    def _chat(self) -> dict[str, Any]:
        return {"id": self.chat, "type": "supergroup", "title": "On call", "is_forum": self.is_forum}

    def _show(self, stored: Stored) -> dict[str, Any]:
        shown: dict[str, Any] = {"message_id": stored.id, "date": 1_780_000_000, "chat": self._chat(), "from": BOT}
        if stored.name:
            document = {"file_id": "f", "file_unique_id": "u", "file_name": stored.name}
            shown |= {"document": document, "caption": stored.text, "caption_entities": stored.entities}
        else:
            shown |= {"text": stored.text, "entities": stored.entities}
        if stored.topic:
            shown |= {"message_thread_id": stored.topic, "is_topic_message": True}
        if stored.keys and "inline_keyboard" in stored.keys:
            shown["reply_markup"] = stored.keys
        return shown

    def _require_chat(self, given: dict[str, Any]) -> None:
        if given["chat_id"] > 0 and given["chat_id"] not in self.talks:
            raise _RefusalError("bot can't initiate conversation with a user", counts=False)
        _require(given["chat_id"] == self.chat or given["chat_id"] in self.talks, "chat not found")

    def _keep(
        self, given: dict[str, Any], text: str, entities: list[dict[str, Any]], limit: int, file: Any = None
    ) -> dict[str, Any]:
        self._require_chat(given)
        _check_text(text, entities, limit)
        _check_keys(given.get("reply_markup"))
        topic = given.get("message_thread_id", 0)
        if topic and topic not in self.topics:
            raise _RefusalError("message thread not found", counts=False)
        self._next += 1
        stored = Stored(
            id=self._next, chat=given["chat_id"], text=text, entities=entities, keys=given.get("reply_markup")
        )
        stored.topic, stored.silent = topic, given.get("disable_notification", False)
        stored.reply_to = given.get("reply_parameters", {}).get("message_id", 0)
        if file is not None:
            stored.name, stored.content = file["name"], file["content"]
        self.messages[stored.id] = stored
        return self._show(stored)

    def _find(self, given: dict[str, Any]) -> Stored:
        self._require_chat(given)
        stored = self.messages.get(given["message_id"])
        if stored is None:
            raise _RefusalError("message to edit not found", counts=False)
        return stored


_RIGHTS = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)
_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}


class _RefusalError(Exception):
    def __init__(self, text: str, *, counts: bool = True) -> None:
        super().__init__(text)
        self.counts = counts


def _require(holds: object, text: str) -> None:
    if not holds:
        raise _RefusalError(text)


def _refuse(status: int, text: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": status, "description": text}, status=status)


def _ask_to_wait(seconds: int) -> web.Response:
    body = {"description": f"Too Many Requests: retry after {seconds}", "parameters": {"retry_after": seconds}}
    return web.json_response({"ok": False, "error_code": 429, **body}, status=429)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _check_text(text: str, entities: list[dict[str, Any]], limit: int) -> None:
    _require(text.strip(), "message text is empty")
    _require(_units(text) <= limit, "message is too long")
    _require(len(entities) <= 100, "more than 100 entities: the rest is dropped")
    last = 0
    for entity in sorted(entities, key=lambda one: one["offset"]):
        _require(entity["offset"] >= last and entity["length"] > 0, "entities overlap")
        last = entity["offset"] + entity["length"]
        _require(last <= _units(text), "an entity ends after the text")


def _check_keys(keys: dict[str, Any] | None) -> None:
    found = [key for row in (keys or {}).get("inline_keyboard", ()) for key in row]
    _require(len(found) <= 100, "reply markup is too long")
    for key in found:
        _require(key["text"].strip(), "button text must be non-empty")
        _require(1 <= len(key["callback_data"].encode()) <= 64, "BUTTON_DATA_INVALID")


async def _read(request: web.Request) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            given[name] = {"name": value.filename, "content": value.file.read().decode(errors="surrogateescape")}
        else:
            given[name] = _value(name, str(value))
    for kind in ("document", "photo"):
        if isinstance(given.get(kind), str):
            given[kind] = given[given[kind].removeprefix("attach://")]
    return given


def _value(name: str, text: str) -> Any:
    if name in {"text", "caption", "name", "url", "secret_token", "callback_query_id"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _load() -> dict[str, Any]:
    return dict(json.loads(DESCRIPTION.read_text(encoding="utf-8"))) if DESCRIPTION.exists() else {}


API = _load()


def _hold_against_description(method: str, given: Mapping[str, Any]) -> None:
    if not API:
        return
    _require(method in API["methods"], f"no method {method}")
    uploads = {name for name, value in given.items() if isinstance(value, dict) and set(value) == {"name", "content"}}
    fields = {item["name"]: item for item in API["methods"][method].get("fields", ())}
    unknown = {name for name in given if name not in fields and name not in uploads}
    _require(not unknown, f"unknown {sorted(unknown)}")
    for name, item in fields.items():
        _require(name in given or not item["required"], f"{name} is missing")
        if name in given and name not in uploads:
            _hold_value(name, given[name], item["types"])


def _hold_value(name: str, value: Any, types: list[str]) -> None:
    if isinstance(value, list):
        inner = [kind.removeprefix("Array of ") for kind in types if kind.startswith("Array of ")]
        _require(inner, f"{name} is no list")
        for item in value:
            _hold_value(name, item, inner)
    elif isinstance(value, dict):
        kinds = [
            sub for kind in types if kind in API["types"] for sub in (kind, *API["types"][kind].get("subtypes", ()))
        ]
        known = [{item["name"] for item in API["types"][kind].get("fields", ())} for kind in kinds]
        _require(any(set(value) <= names for names in known), f"{name} has fields that no type of {types} has")
    else:
        plain = {bool: {"Boolean"}, int: {"Integer", "Float"}, str: {"String", "InputFile"}}
        _require(plain.get(type(value), set()) & set(types), f"{name} is no {types}")
