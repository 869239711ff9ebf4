"""WhatsApp's Cloud API: one place that calls it and says what its errors mean."""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.chat.fetching import Way, fetch, origin_of
from connectors.chat.whatsapp.settings import Settings

WINDOW_CLOSED: Final = 131047
_MAX_ANSWER: Final = 1_000_000
_SLOWER: Final = {4: 60.0, 80007: 60.0, 130429: 5.0, 131048: 300.0, 131056: 6.0, 133016: 300.0}
"""Codes that ask to go slower, and the seconds to wait where the answer does not say."""
_TRANSIENT: Final = frozenset({1, 2, 131000, 131016, 131057})
_UNKNOWN_PERSON: Final = frozenset({131026, 131030, 131021})
_REVOKED: Final = frozenset({0, 190})
_FORBIDDEN: Final = frozenset({3, 10, 368, 131005, 131031, 131042, 131045, *range(200, 300)})
_TEMPLATE: Final = range(132000, 132100)
_MEDIA: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DELAY: Final = re.compile(r"[0-9]{1,5}")


class ClosedError(Exception):
    """The person has not written for 24 hours: only a template may go out."""


class Api:
    """Calls for one phone number. A call is tried once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._trust: ssl.SSLContext | None = None

    async def send(self, body: Mapping[str, Any]) -> str:
        """Send a message and return its id. Raises `ClosedError` outside the 24 hours."""
        answer = await self._call("POST", "/messages", json={"messaging_product": "whatsapp", **body})
        sent = answer.get("messages")
        number = sent[0].get("id") if isinstance(sent, list) and sent and isinstance(sent[0], dict) else None
        if not isinstance(number, str) or not number:
            raise Unavailable("WhatsApp's answer names no message.", Reason.SERVER_ERROR)
        return number

    async def mark_read(self, message: str) -> None:
        """Show that a message was seen and that an answer is being written."""
        typing = {"typing_indicator": {"type": "text"}}
        body = {"messaging_product": "whatsapp", "status": "read", "message_id": message, **typing}
        await self._call("POST", "/messages", json=body)

    async def upload(self, name: str, content: bytes, media_type: str) -> str:
        """Upload a file and return its id. May be repeated."""
        form = aiohttp.FormData()
        form.add_field("messaging_product", "whatsapp")
        form.add_field("type", media_type)
        form.add_field("file", content, filename=name, content_type=media_type)
        answer = await self._call("POST", "/media", data=form)
        number = answer.get("id")
        if not isinstance(number, str):
            raise Unavailable("WhatsApp's answer names no file.", Reason.SERVER_ERROR)
        return number

    async def fetch(self, media: str) -> bytes:
        """Return what a person sent: WhatsApp says where it lies, and that is at WhatsApp."""
        if not _MEDIA.fullmatch(media):
            raise Rejected("This is no id of WhatsApp's media.", Reason.BAD_INPUT)
        own = self._settings
        told = await self._ask("GET", f"{own.url}/{media}")
        way = Way(
            service="WhatsApp",
            origins={origin_of(own.url), origin_of(own.media_url)},
            headers={"Authorization": f"Bearer {own.token.get_secret_value()}"},
            proxy=own.proxy or None,
            ca_file=own.ca_file,
            seconds=own.answer_seconds,
        )
        return await fetch(str(told.get("url", "")), way)

    async def register(self, commands: Mapping[str, str]) -> None:
        """Offer the commands where people type."""
        named = [{"command_name": name, "command_description": text} for name, text in commands.items()]
        await self._call("POST", "/conversational_automation", json={"commands": named})

    async def describe(self) -> str:
        """Return the number and the name it shows."""
        answer = await self._call("GET", "")
        return " ".join(str(answer.get(key, "")) for key in ("verified_name", "display_phone_number")).strip()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, method: str, path: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 -- aiohttp's own options
        return await self._ask(method, f"{self._settings.url}/{self._settings.phone_number_id}{path}", **sent)

    async def _ask(self, method: str, url: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 -- as above
        session = await self._open()
        try:
            async with session.request(
                method,
                url,
                headers={"Authorization": f"Bearer {self._settings.token.get_secret_value()}"},
                proxy=self._settings.proxy or None,
                ssl=self._trust if self._trust is not None else True,
                allow_redirects=False,
                **sent,
            ) as answer:
                body = _read(await _read_body(answer))
                if answer.status < 300 and "error" not in body:
                    return body
                raise translate(answer.status, body, answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one of the latter
            raise _fault(error) from error

    async def _open(self) -> aiohttp.ClientSession:
        if self._settings.ca_file and self._trust is None:
            self._trust = await asyncio.to_thread(_trust, self._settings.ca_file)
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.answer_seconds)
            self._session = aiohttp.ClientSession(
                timeout=timeout, trust_env=not self._settings.proxy, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def translate(status: int, body: Mapping[str, Any], wait: str) -> Exception:
    """Return what a refusal means: by its code where there is one, else by its status."""
    error = body.get("error")
    told = error if isinstance(error, dict) else {}
    found = told.get("code")
    code = found if isinstance(found, int) else -1
    text = str(told.get("message", ""))[:200] or f"HTTP {status}"
    if code == WINDOW_CLOSED:
        return ClosedError(text)
    if code in _SLOWER or status == 429:
        seconds = float(wait) if _DELAY.fullmatch(wait) else _SLOWER.get(code)
        return Unavailable("WhatsApp asks to wait.", Reason.RATE_LIMITED, seconds)
    if code in _TRANSIENT or status >= 500:
        return Unavailable(f"WhatsApp failed: {text}", Reason.SERVER_ERROR)
    return _translate_no(status, code, text)


def _translate_no(status: int, code: int, text: str) -> NightshiftError:
    if code in _REVOKED or status == 401:
        return Rejected("WhatsApp does not accept the token; make a new one in Meta's settings.", Reason.REVOKED)
    if code in _FORBIDDEN or status == 403:
        return Rejected(f"WhatsApp does not let us write: {text}", Reason.NOT_ALLOWED)
    if code in _UNKNOWN_PERSON:
        return Rejected(f"WhatsApp cannot reach this number: {text}", Reason.NOT_FOUND)
    if code in _TEMPLATE:
        return Rejected(f"WhatsApp refused the template: {text}", Reason.BAD_INPUT)
    return Rejected(f"WhatsApp refused: {text}", Reason.BAD_INPUT)


def _fault(error: Exception) -> NightshiftError:
    if isinstance(error, aiohttp.InvalidURL):
        return Rejected("WhatsApp's address cannot be used.", Reason.BAD_INPUT)
    if isinstance(error, TimeoutError):
        return Unavailable("WhatsApp did not answer in time.", Reason.TIMEOUT)
    return Unavailable(f"WhatsApp cannot be reached ({type(error).__name__}).", Reason.UNREACHABLE)


async def _read_body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while len(body) < _MAX_ANSWER and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error
