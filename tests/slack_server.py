"""A Slack in memory: the Web API, uploads, response addresses and Socket Mode. It checks every call it gets.

Its own rules are Slack's documented limits; where the official list of methods lies beside the checkout, each call's
parameters are checked against that as well. What is wrong is answered as Slack does, and kept in `violations`.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.rate_limits import Limits, whole_seconds

CHAT = "C0123"
BOT_TOKEN = "xoxb-1-secret-of-the-bot"
APP_TOKEN = "xapp-1-secret-of-the-app"
SPEC = Path(__file__).resolve().parents[2] / "shared" / "specs" / "slack" / "web_api_methods_sdk.json"

REQUIRED = {
    "apps.connections.open": set(),
    "auth.test": set(),
    "chat.postMessage": {"channel", "text", "blocks"},
    "chat.update": {"channel", "ts", "text", "blocks"},
    "chat.postEphemeral": {"channel", "user", "text"},
    "views.open": {"trigger_id", "view"},
    "views.publish": {"user_id", "view"},
    "conversations.replies": {"channel", "ts"},
    "conversations.history": {"channel"},
    "files.info": {"file"},
    "files.getUploadURLExternal": {"filename", "length"},
    "files.completeUploadExternal": {"files", "channel_id", "thread_ts"},
}
JSON = dict[str, Any]


class SlackServer:
    """Holds what was posted.

    `fault`, once set, is how the next API call is answered; `loses` names a method that is done but not answered once;
    `limits` refuse what comes too soon.
    """

    def __init__(self) -> None:
        self.messages: dict[str, JSON] = {}
        self.files: list[tuple[str, str, str]] = []
        self.captions: dict[str, tuple[str, str]] = {}
        """Of each file by its name: its title, and what is read out in its place."""
        self.told: list[str] = []
        self.posted: dict[str, tuple[str, bytes]] = {}
        """What people posted: where Slack says that it lies, and its bytes."""
        self.homes: dict[str, JSON] = {}
        self.view: JSON = {}
        self.fault: tuple[int, dict[str, str], JSON] | None = None
        self.loses = ""
        self.url = ""
        self.limits: Limits | None = None
        self.acknowledged: list[str] = []
        self.calls: list[str] = []
        self.violations: list[str] = []
        self._uploads: dict[str, tuple[str, str]] = {}
        self._sockets: list[web.WebSocketResponse] = []
        self._count = 0
        self._methods = _read_methods()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_post("/upload/{id}", self._upload)
        app.router.add_get("/files/{id}", self._download)
        app.router.add_post("/respond", self._respond)
        app.router.add_get("/socket", self._socket)
        return app

    async def deliver(self, kind: str, payload: JSON) -> str:
        """Send an event through the newest socket and return its envelope."""
        async with asyncio.timeout(10):
            while not [one for one in self._sockets if not one.closed]:
                await asyncio.sleep(0.005)
        self._count += 1
        envelope = f"E{self._count}"
        socket = [one for one in self._sockets if not one.closed][-1]
        await socket.send_json({"type": kind, "envelope_id": envelope, "payload": payload})
        return envelope

    async def drop(self) -> None:
        """Cut every socket, as proxies do."""
        for socket in self._sockets:
            await socket.close()

    def pressing(self, ts: str, value: str, account: str, stamp: str) -> JSON:
        """Return what Slack sends when a person presses the button that carries `value`."""
        (element,) = [part for part in parts(self.messages[ts]["blocks"]) if part.get("value") == value]
        message = {"ts": ts, "thread_ts": self.messages[ts].get("thread_ts") or ts}
        return {
            "type": "block_actions",
            "user": {"id": account},
            "channel": {"id": CHAT},
            "message": message,
            "trigger_id": f"T{stamp}",
            "response_url": f"{self.url}/respond",
            "actions": [{**element, "block_id": "b", "action_ts": stamp}],
        }

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self._sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data.startswith("{"):
                self.acknowledged.append(json.loads(message.data)["envelope_id"])
        return socket

    async def _respond(self, request: web.Request) -> web.Response:
        self._tell(await request.json())
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        name = self._uploads[request.match_info["id"]][0]
        self._uploads[request.match_info["id"]] = (name, (await request.read()).decode(errors="surrogateescape"))
        return web.Response(text="OK")

    async def _download(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return web.Response(status=302, headers={"Location": "/sign-in"})
        return web.Response(body=self.posted[request.match_info["id"]][1])

    async def _call(self, request: web.Request) -> web.Response:
        if self.fault is not None and request.match_info["method"] != "apps.connections.open":
            (status, headers, body), self.fault = self.fault, None
            return web.json_response(body, status=status, headers=headers)
        values = await request.json() if request.content_type == "application/json" else dict(await request.post())
        values = {**request.query, **values}
        method = request.match_info["method"]
        self.calls.append(method)
        if method == "apps.connections.open" and request.headers.get("Authorization") != f"Bearer {APP_TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if wait := self._find_wait(method, values):
            headers = {"Retry-After": str(whole_seconds(wait))}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        try:
            self._check(method, values, request.headers.get("Authorization", ""))
            answer = getattr(self, f"_on_{method.replace('.', '_').lower()}")(values)
        except AssertionError as error:
            self.violations.append(f"{method}: {error}")
            return web.json_response({"ok": False, "error": "invalid_arguments"})
        if method == self.loses:
            self.loses = ""
            return web.json_response({"ok": False}, status=503)
        return web.json_response({"ok": True, **answer})

    def _find_wait(self, method: str, values: JSON) -> float:
        """Return the seconds until a call may come, 0 where it may."""
        if self.limits is None or method not in {"chat.postMessage", "chat.update"}:
            return 0.0
        return self.limits.take(edits="") if method == "chat.update" else self.limits.take(channel=values["channel"])

    def _check(self, method: str, values: JSON, authorization: str) -> None:
        assert method in REQUIRED, "an unknown method"
        assert method == "apps.connections.open" or authorization == f"Bearer {BOT_TOKEN}", "the wrong token"
        missing = {name for name in REQUIRED[method] if values.get(name) in (None, "")}
        assert not missing, f"without {sorted(missing)}"
        known = self._methods.get(method)
        if known is not None:
            required = {name for name, rule in known["params"].items() if rule["required"]}
            assert required <= values.keys() | {"app_token"}, f"without {sorted(required - values.keys())}"
            strange = values.keys() - set(known["wire_names"]) - known["params"].keys() - {"token"}
            assert not strange, f"with {sorted(strange)}"

    def _on_apps_connections_open(self, values: JSON) -> JSON:
        return {"url": f"{self.url.replace('http', 'ws', 1)}/socket"}

    def _on_auth_test(self, values: JSON) -> JSON:
        return {"user": "nightshift", "user_id": "UBOT", "bot_id": "BBOT"}

    def _on_chat_postmessage(self, values: JSON) -> JSON:
        _check_message(values)
        thread = values.get("thread_ts")
        assert thread is None or thread in self.messages, "no such thread"
        assert "reply_broadcast" not in values or (thread is not None and read(values["reply_broadcast"]) in {True})
        self._count += 1
        ts = f"1700000000.{self._count:06d}"
        self.messages[ts] = {**values, "blocks": read(values["blocks"])}
        return {"ts": ts, "channel": values["channel"]}

    def _on_chat_update(self, values: JSON) -> JSON:
        _check_message(values)
        assert values["ts"] in self.messages, "no such message"
        self.messages[values["ts"]] |= {"text": values["text"], "blocks": read(values["blocks"])}
        return {"ts": values["ts"]}

    def _on_chat_postephemeral(self, values: JSON) -> JSON:
        self._tell(values)
        return {"message_ts": "1"}

    def _on_views_open(self, values: JSON) -> JSON:
        view = read(values["view"])
        _check_view(view)
        self.view = view
        return {"view": {"id": "V1"}}

    def _on_views_publish(self, values: JSON) -> JSON:
        view = read(values["view"])
        assert view["type"] == "home", "no home"
        _check_blocks(view["blocks"], 100)
        self.homes[values["user_id"]] = view
        return {"view": {"id": "V2"}}

    def _on_conversations_replies(self, values: JSON) -> JSON:
        thread = [ts for ts, one in self.messages.items() if values["ts"] in {ts, one.get("thread_ts")}]
        return {"messages": self._listed(sorted(thread))}

    def _on_conversations_history(self, values: JSON) -> JSON:
        return {"messages": self._listed(sorted(self.messages, reverse=True))}

    def _listed(self, stamps: list[str]) -> list[JSON]:
        return [{"ts": ts, "metadata": read(self.messages[ts]["metadata"])} for ts in stamps]

    def _on_files_info(self, values: JSON) -> JSON:
        return {"file": {"id": values["file"], "url_private": self.posted[values["file"]][0]}}

    def _on_files_getuploadurlexternal(self, values: JSON) -> JSON:
        self._count += 1
        assert int(values["length"]) > 0, "an empty file"
        assert len(values.get("alt_txt", "")) <= 1000, "the length of what is read out"
        self._uploads[f"F{self._count}"] = (values["filename"], "")
        self.captions[values["filename"]] = ("", values.get("alt_txt", ""))
        return {"file_id": f"F{self._count}", "upload_url": f"{self.url}/upload/F{self._count}"}

    def _on_files_completeuploadexternal(self, values: JSON) -> JSON:
        assert values["thread_ts"] in self.messages, "no such thread"
        for file in read(values["files"]):
            name, content = self._uploads[file["id"]]
            self.files.append((values["thread_ts"], name, content))
            self.captions[name] = (file.get("title", ""), self.captions[name][1])
        return {"files": []}

    def _tell(self, values: JSON) -> None:
        _check_blocks(read(values["blocks"]), 50)
        self.told.append("".join(text_of(read(values["blocks"]))))


def read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def parts(value: Any) -> Iterator[JSON]:
    """Return every object inside blocks."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def text_of(blocks: Any) -> list[str]:
    return [str(part["text"]) for part in parts(blocks) if isinstance(part.get("text"), str)]


def _read_methods() -> JSON:
    """Return the official list of methods, nothing where it does not lie beside the checkout."""
    if not SPEC.is_file():
        return {}
    methods: JSON = json.loads(SPEC.read_text(encoding="utf-8"))["methods"]
    return methods


def _check_message(values: JSON) -> None:
    assert values["channel"] == CHAT, "another channel"
    assert 1 <= len(values["text"]) <= 4000, "the text's length"
    _check_blocks(read(values["blocks"]), 50)
    metadata = read(values["metadata"])
    assert metadata.keys() == {"event_type", "event_payload"}, "the metadata"


def _check_view(view: JSON) -> None:
    assert view["type"] == "modal", "no modal"
    assert all(1 <= len(view[name]["text"]) <= 24 for name in ("title", "submit", "close")), "a title's length"
    assert len(view["private_metadata"]) <= 3000, "the private metadata's length"
    _check_blocks(view["blocks"], 100)


def _check_blocks(blocks: list[JSON], most: int) -> None:
    assert 1 <= len(blocks) <= most, "the number of blocks"
    for block in blocks:
        assert block["type"] in {"rich_text", "actions", "input", "header"}, f"a block {block['type']}"
        if block["type"] == "actions":
            assert 1 <= len(block["elements"]) <= 25, "the number of buttons"
        if block["type"] == "input":
            assert 1 <= len(block["label"]["text"]) <= 2000, "a label's length"
            assert 1 <= len(block["element"].get("options", [1])) <= 100, "the number of options"
    for part in parts(blocks):
        if part.get("type") == "button":
            assert 1 <= len(part["text"]["text"]) <= 75, "a button's length"
            assert len(part["value"]) <= 2000, "a button's value"
            assert len(part["action_id"]) <= 255, "an action's id"
        if part.get("type") == "text":
            assert part["text"], "an empty text"
