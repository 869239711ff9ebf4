"""A Cloud API server on the loopback: keeps what is sent, refuses what WhatsApp refuses, and plays the people.

Where the official description lies beside the checkout, each call is held against it as well.
"""

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.rate_limits import Limits

SPECS = Path(__file__).resolve().parents[2] / "shared" / "specs" / "whatsapp"
TOKEN = "EAAG" + "t" * 40
SECRET = "a" * 32
VERIFY = "v" * 20
PHONE = "1122334455667"
ANA, BEN = "15550000007", "15550000008"
#: what the description lacks or has wrong: the mark (in Meta's reference), a button's place (its pattern is no pattern)
_BEYOND = ("biz_opaque_callback_data",)
_ALLOWED_LINKS = ("https://runbooks.example/",)
_LIVE = re.compile(r"\w+://\S+|@\w|[^\W_]\.[^\W\d_]|\d+\.\d+\.\d+\.\d")
_MARKUP = re.compile(r"(?<!\w)([*_~])\S.*?\S?\1(?!\w)|`|^\s*>\s", re.MULTILINE)
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_FENCE = re.compile(r"^```\n.*?\n```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"\A(?:[🔴🟠🟢] )?\*[^*\n]*\*")


@dataclass(kw_only=True)
class Got:
    """One message as its person sees it."""

    id: str
    to: str
    kind: str
    text: str
    under: str = ""
    mark: str = ""
    keys: list[tuple[str, str]] = field(default_factory=list)
    name: str = ""
    content: str = ""
    template: str = ""

    def live(self) -> Iterator[str]:
        """Yield what could trick a reader: markup that the text asked for, links, mentions, hidden characters."""
        open_text = _TITLE.sub("", _FENCE.sub("", self.text), count=1)
        yield from (match.group() for match in _MARKUP.finditer(open_text))
        for match in _LIVE.finditer(self.text):
            if not match.group().startswith(_ALLOWED_LINKS):
                yield match.group()
        yield from _HIDDEN.findall(self.text + "".join(title for _, title in self.keys))
        yield from (title for _, title in self.keys if _LIVE.search(title))


class _RefusalError(Exception):
    def __init__(self, text: str, code: int = 100, *, counts: bool = True) -> None:
        super().__init__(text)
        self.code = code
        self.counts = counts


@dataclass
class WhatsAppServer:
    """`faults` answer the next messages instead of the server (0: not this one); `lost` is answers that get lost."""

    sent: list[Got] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    lost: int = 0
    hook: str = ""
    answered: list[int] = field(default_factory=list)
    limits: Limits | None = None
    posted: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """What people sent: where WhatsApp says that it lies, and its bytes."""
    _files: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _next: int = 100
    _last: bytes = b""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=100 * 1024 * 1024)
        app.router.add_get(f"/v23.0/{PHONE}", self._describe)
        app.router.add_get("/v23.0/{media}", self._locate)
        app.router.add_get("/media/{media}", self._download)
        app.router.add_post(f"/v23.0/{PHONE}/messages", self._messages)
        app.router.add_post(f"/v23.0/{PHONE}/media", self._media)
        app.router.add_post(f"/v23.0/{PHONE}/conversational_automation", self._automation)
        return app

    # what the bot calls

    async def _describe(self, request: web.Request) -> web.Response:
        if refused := _check_token(request):
            return refused
        return web.json_response(
            {"id": PHONE, "display_phone_number": "+1 555-000-0001", "verified_name": "Nightshift"}
        )

    async def _locate(self, request: web.Request) -> web.Response:
        if refused := _check_token(request):
            return refused
        address, data = self.posted[request.match_info["media"]]
        return web.json_response({"url": address, "mime_type": "image/png", "file_size": len(data)})

    async def _download(self, request: web.Request) -> web.Response:
        return _check_token(request) or web.Response(body=self.posted[request.match_info["media"]][1])

    async def _messages(self, request: web.Request) -> web.Response:
        if refused := _check_token(request):
            return refused
        given = await request.json()
        self.calls.append(("messages", given))
        if given.get("status") == "read":
            self.read.append(given["message_id"])
            return web.json_response({"success": True})
        status, body, headers = self.faults.pop(0) if self.faults else (0, {}, {})
        if status:
            return web.json_response({"error": body}, status=status, headers=headers)
        try:
            _require_pause(self.limits, given["to"])
            _hold_against_description(given)
            got = self._keep(given)
        except _RefusalError as refusal:
            self.violations += [f"{given.get('type')}: {refusal}"] if refusal.counts else []
            return _refuse(400, refusal.code, str(refusal))
        if self.lost:
            self.lost -= 1
            return _refuse(500, 131000, "Something went wrong")
        answer = {"contacts": [{"input": got.to, "wa_id": got.to}], "messages": [{"id": got.id}]}
        return web.json_response({"messaging_product": "whatsapp", **answer})

    async def _media(self, request: web.Request) -> web.Response:
        if refused := _check_token(request):
            return refused
        form = await request.post()
        upload = form["file"]
        if form.get("messaging_product") != "whatsapp" or not isinstance(upload, web.FileField):
            return self._violate("media: form")
        if upload.content_type not in {"text/plain", "image/png"} or form.get("type") != upload.content_type:
            return self._violate("media: type")
        content = upload.file.read().decode(errors="surrogateescape")
        if not content:
            return self._violate("media: empty")
        self._next += 1
        self._files[str(self._next)] = content
        self._names[str(self._next)] = upload.filename
        return web.json_response({"id": str(self._next)})

    async def _automation(self, request: web.Request) -> web.Response:
        if refused := _check_token(request):
            return refused
        given = await request.json()
        for command in given["commands"]:
            if len(command["command_name"]) > 32 or len(command["command_description"]) > 256:
                return self._violate("command too long")
        self.commands = given["commands"]
        return web.json_response({"success": True})

    def _violate(self, text: str) -> web.Response:
        self.violations.append(text)
        return _refuse(400, 100, text)

    def _keep(self, given: dict[str, Any]) -> Got:
        _require(given.get("messaging_product") == "whatsapp", "messaging_product")
        _require(given.get("recipient_type") == "individual", "recipient_type")
        _require(re.fullmatch(r"[0-9]{5,20}", given["to"]), "to is no number")
        _require(len(given.get("biz_opaque_callback_data", "")) <= 512, "biz_opaque_callback_data")
        kind = given["type"]
        got = Got(id=f"wamid.{self._next + 1}==", to=given["to"], kind=kind, text="")
        got.under = given.get("context", {}).get("message_id", "")
        got.mark = given.get("biz_opaque_callback_data", "")
        getattr(self, f"_keep_{kind}")(got, given[kind])
        self._next += 1
        self.sent.append(got)
        return got

    def _keep_text(self, got: Got, text: Mapping[str, Any]) -> None:
        _require(1 <= _units(text["body"]) <= 4096, f"text of {_units(text['body'])}")
        _require(text["body"].strip(), "text is empty")
        got.text = text["body"]

    def _keep_interactive(self, got: Got, given: Mapping[str, Any]) -> None:
        got.text = given["body"]["text"]
        _require(1 <= _units(got.text) <= 1024, f"body of {_units(got.text)}")
        action = given["action"]
        if given["type"] == "button":
            replies = [button["reply"] for button in action["buttons"]]
            _require(1 <= len(replies) <= 3, "buttons")
            got.keys = [(reply["id"], reply["title"]) for reply in replies]
            limit, longest = 20, 256
        else:
            _require(given["type"] == "list" and 1 <= _units(action["button"]) <= 20, "list button")
            rows = [row for section in action["sections"] for row in section["rows"]]
            _require(1 <= len(rows) <= 10, "rows")
            _require(all(_units(row.get("description", "-")) in range(1, 73) for row in rows), "description")
            got.keys = [(row["id"], row["title"]) for row in rows]
            limit, longest = 24, 200
        for number, title in got.keys:
            _require(1 <= len(number) <= longest and number == number.strip(), f"id {number!r}")
            _require(1 <= _units(title) <= limit, f"title {title!r}")
        _require(len({title for _, title in got.keys}) == len(got.keys), "titles that are alike")
        _require(len({number for number, _ in got.keys}) == len(got.keys), "ids that are alike")

    def _keep_document(self, got: Got, given: Mapping[str, Any]) -> None:
        _require(given["id"] in self._files, "unknown media")
        _require(1 <= len(given["filename"]) <= 240, "filename")
        got.name, got.content = given["filename"], self._files[given["id"]]

    def _keep_image(self, got: Got, given: Mapping[str, Any]) -> None:
        _require(given.keys() <= {"id", "caption"}, "fields of an image")
        _require(self._files[given["id"]].encode(errors="surrogateescape").startswith(b"\x89PNG"), "no image")
        _require(_units(given.get("caption", "")) <= 1024, "caption is too long")
        got.name, got.content = self._names[given["id"]], self._files[given["id"]]
        got.text = given.get("caption", "")

    def _keep_template(self, got: Got, given: Mapping[str, Any]) -> None:
        got.template = given["name"]
        _require(given["language"] == {"policy": "deterministic", "code": "en"}, "no such translation")
        counts = {"nightshift_page": 2, "nightshift_news": 1}
        _require(got.template in counts, "template does not exist")
        body, *buttons = given["components"]
        (parameter,) = body["parameters"]
        got.text = parameter["text"]
        _require(body["type"] == "body" and got.text, "body")
        _require(not re.search(r"[\n\t]| {5}", got.text), "line breaks, tabs or spaces in a parameter")
        _require(_units(got.text) <= 1024, "parameter is too long")
        _require(len(buttons) == counts[got.template], "buttons")
        for index, button in enumerate(buttons):
            _require(button["sub_type"] == "quick_reply" and button["index"] == str(index), "button")
            payload = button["parameters"][0]["payload"]
            _require(1 <= len(payload) <= 256, "payload")
            got.keys.append((payload, ["Acknowledge", "Show"][index - counts[got.template]]))

    # what people do

    async def tap(self, got: Got, key: str, number: str = ANA, **more: object) -> None:
        """Tap the button or row with that id."""
        title = dict(got.keys)[key]
        if got.template:
            content: dict[str, Any] = {"type": "button", "button": {"payload": key, "text": title}}
        else:
            reply = "list_reply" if len(got.keys) > 3 else "button_reply"
            content = {"type": "interactive", "interactive": {"type": reply, reply: {"id": key, "title": title}}}
        await self.deliver_message(number, {**content, "context": {"from": PHONE, "id": got.id}, **more})

    async def say(self, text: str, number: str = ANA, *, under: str = "", **more: object) -> None:
        context = {"context": {"from": PHONE, "id": under}} if under else {}
        await self.deliver_message(number, {"type": "text", "text": {"body": text}, **context, **more})

    async def deliver_message(self, number: str, content: Mapping[str, Any]) -> None:
        self._next += 1
        message = {"from": number, "id": f"wamid.in{self._next}", "timestamp": str(int(time.time())), **content}
        await self.deliver({"messages": [message], "contacts": [{"profile": {"name": "Ana"}, "wa_id": number}]})

    async def report(self, got: Got, status: str, *, code: int = 0) -> None:
        news: dict[str, Any] = {"id": got.id, "status": status, "timestamp": str(int(time.time()))}
        news |= {"recipient_id": got.to, "biz_opaque_callback_data": got.mark}
        if code:
            news["errors"] = [{"code": code, "title": "Message undeliverable"}]
        await self.deliver({"statuses": [news]})

    async def deliver(self, value: Mapping[str, Any], phone: str = PHONE) -> None:
        about = {"display_phone_number": "15550000001", "phone_number_id": phone}
        content = {"messaging_product": "whatsapp", "metadata": about, **value}
        change = {"value": content, "field": "messages"}
        call = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
        await self.call_hook(json.dumps(call).encode())

    async def repeat(self) -> None:
        """The last call once more, as after an answer that got lost."""
        await self.call_hook(self._last)

    async def call_hook(self, body: bytes, secret: str = SECRET) -> int:
        self._last = body
        headers = {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}
        async with aiohttp.ClientSession() as session, session.post(self.hook, data=body, headers=headers) as answer:
            self.answered.append(answer.status)
            return answer.status

    # what a test asks

    def find(self, text: str) -> Got:
        return next(got for got in reversed(self.sent) if text in got.text)

    async def wait(self, is_it: Callable[[Got], bool]) -> Got:
        """Return the first message that is so, once there is one; fails after five seconds."""
        async with asyncio.timeout(5):
            while not (found := [got for got in self.sent if is_it(got)]):
                await asyncio.sleep(0.005)
        return found[0]


def _check_token(request: web.Request) -> web.Response | None:
    if request.headers.get("Authorization") == f"Bearer {TOKEN}":
        return None
    return _refuse(401, 190, "Error validating access token")


def _refuse(status: int, code: int, text: str) -> web.Response:
    error = {"message": f"(#{code}) {text}", "type": "OAuthException", "code": code, "fbtrace_id": "A1"}
    return web.json_response({"error": error}, status=status)


def _require(is_so: object, text: str) -> None:
    if not is_so:
        raise _RefusalError(text)


def _require_pause(limits: Limits | None, person: str) -> None:
    if limits is not None and limits.take(person=person, all=""):
        raise _RefusalError("(Business Account, Consumer Account) pair rate limit hit", 131056, counts=False)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@cache
def _schemas() -> Mapping[str, Any]:
    found = list(SPECS.glob("openapi_*.json"))
    return json.loads(found[0].read_text())["components"]["schemas"] if found else {}


def _hold_against_description(given: Mapping[str, Any]) -> None:
    """Refuse a message that the description of its type does not allow."""
    schemas = _schemas()
    if schemas:
        name = schemas["Message"]["discriminator"]["mapping"][given["type"]].rpartition("/")[2]
        own = {key: value for key, value in given.items() if key not in _BEYOND}
        fault = _fault(own, schemas[name], given["type"])
        _require(not fault, fault)


def _fault(value: Any, schema: Mapping[str, Any], where: str) -> str:
    """Return what is wrong with a value, "" where nothing is. Objects that `allOf` joins may each hold more."""
    return next(_faults(value, schema, where), "")


def _faults(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _faults(value, _schemas()[schema["$ref"].rpartition("/")[2]], where)
        return
    for part in schema.get("allOf", ()):
        yield from _faults(value, part, where)
    if "oneOf" in schema and all(_fault(value, part, where) for part in schema["oneOf"]):
        yield f"{where} is none of its kinds"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield f"{where} is too long"
    if isinstance(value, list | dict):
        yield from _faults_inside(value, schema, where)


def _faults_inside(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} holds {len(value)}"
        for item in value:
            yield from _faults(item, schema.get("items", {}), f"{where}[]")
        return
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        yield f"{where} lacks {missing}"
    inner = schema.get("properties", {})
    for name, item in value.items():
        yield from _faults(item, inner.get(name, {}), f"{where}.{name}")
