"""The HTTP client of CI systems and forges: one error model, bounded answers, credentials for one server only.

It tries once. `read_refusal` is the one place that says which answers are worth another try.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.http_values import as_entries, as_object, as_text, load_json

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_LOG_BYTES: Final = 64 * 1024 * 1024
MAX_ERROR_BYTES: Final = 64 * 1024
MAX_REDIRECTS: Final = 3
MAX_WAIT: Final = 3600.0
WAIT: Final = 60.0
"""Seconds without a call after "too many" from a server that does not say how long."""


class HttpSettings(BaseModel):
    """How a server is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    proxy: str = ""
    ca_file: str = ""
    connect_seconds: float = Field(default=10.0, gt=0, le=300)
    answer_seconds: float = Field(default=30.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _require_address(cls, url: str) -> str:
        require_address(url)
        return url.rstrip("/")


def require_address(url: str) -> None:
    """Raises `ValueError` for what is no plain web address."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("write an address such as https://ci.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("no user, query or fragment in the address; credentials have settings of their own")
    if not url.isprintable() or " " in url:
        raise ValueError("the address has characters that cannot be seen")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A success: status, JSON (None where the body is empty or no JSON was asked for) and headers."""

    status: int
    value: Any
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What goes out with a call: a form, JSON or bytes, and headers of its own.

    `may_redirect`: a server that answers an order with the page of its result has carried it out; nobody goes there.
    """

    form: Mapping[str, str] | None = None
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    may_redirect: bool = False


NOTHING: Final = Sent()


class HttpClient:
    """Calls of one server. Raises `Unavailable` or `Rejected`; `name` is how people call the server."""

    def __init__(self, name: str, settings: HttpSettings, credentials: Mapping[str, str]) -> None:
        self.name = name
        self._settings = settings
        self._credentials = credentials
        self._origin = read_origin(settings.url)
        self._session: aiohttp.ClientSession | None = None
        self._trust: ssl.SSLContext | bool = True
        self._closed_until = 0.0

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Return the JSON at a path. Where the server sends us on within itself, we follow."""
        url = self.address(path, query)
        for _ in range(MAX_REDIRECTS):
            async with self._call("GET", url, NOTHING) as answer:
                if answer.status in {301, 302, 303, 307, 308}:
                    url = self._own(urljoin(url, answer.headers.get("Location", "")))
                    continue
                found = await self._success(answer)
                if found.value is None:
                    raise Unavailable(f"{self.name} answered something that is no JSON.", Reason.SERVER_ERROR)
                return found
        raise Unavailable(f"{self.name} sends us in circles.", Reason.SERVER_ERROR)

    async def find(self, path: str, query: Mapping[str, str] | None = None) -> Answer | None:
        """Return the JSON at a path, None where there is nothing."""
        try:
            return await self.get(path, query)
        except Rejected as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    def require_list(self, value: object) -> Sequence[Mapping[str, Any]]:
        """Return the entries of a listing. What is no list must not read as "there is none". Raises `Unavailable`."""
        if not isinstance(value, list):
            raise Unavailable(f"{self.name} answered with no listing.", Reason.SERVER_ERROR)
        return as_entries(value)

    async def order(self, method: str, path: str, sent: Sent = NOTHING) -> Answer:
        """Send an order, once. After `Unavailable` nobody knows whether it was carried out."""
        async with self._call(method, self.address(path), sent) as answer:
            return await self._success(answer, below=400 if sent.may_redirect else 300)

    async def header(self, path: str, name: str) -> str:
        """Return one header of what is at a path, "" where there is none; the rest of the answer is not read."""
        async with self._call("GET", self.address(path), NOTHING) as answer:
            if answer.status in {404, 410}:
                return ""
            if answer.status != 200:
                raise await self._refusal(answer)
            return answer.headers.get(name, "").strip()

    async def tail(self, path: str, keep: int) -> bytes:
        """Return the end of a log; empty where there is none. Past the limit, what was read so far is the log."""
        async with self._call("GET", self.address(path), NOTHING) as answer:
            if answer.status in {404, 410}:
                return b""
            if answer.status not in {200, 206}:
                raise await self._refusal(answer)
            end, size = bytearray(), 0
            while size < MAX_LOG_BYTES and (chunk := await answer.content.readany()):
                size += len(chunk)
                end += chunk
                del end[:-keep]
            return bytes(end)

    def address(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the address of a path, which may be a whole address of this server. Raises `Rejected`."""
        url = self._own(path) if "://" in path.split("?", 1)[0] else f"{self._settings.url}/{path.lstrip('/')}"
        return f"{url}?{urlencode(query)}" if query else url

    def _own(self, url: str) -> str:
        """Credentials go to one server alone. Raises `Rejected` for an address elsewhere."""
        if read_origin(url) != self._origin:
            text = f"{self.name} sends us to another server than {self._origin[1]}; set its url to where it is."
            raise Rejected(text, Reason.NOT_ALLOWED)
        return url

    async def _success(self, answer: aiohttp.ClientResponse, *, below: int = 300) -> Answer:
        if not 200 <= answer.status < below:
            raise await self._refusal(answer)
        body = await _read(answer, MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise Rejected(f"{self.name} answers without end.", Reason.TOO_LARGE)
        value = None
        if "json" in answer.content_type and body.strip():
            try:
                value = load_json(body)
            except ValueError as error:
                raise Unavailable(f"{self.name} answered broken JSON.", Reason.SERVER_ERROR) from error
        cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
        return Answer(status=answer.status, value=value, headers=answer.headers, cookies=cookies)

    async def _refusal(self, answer: aiohttp.ClientResponse) -> NightshiftError:
        body = await _read(answer, MAX_ERROR_BYTES)
        error = read_refusal(self.name, answer.status, body, headers=answer.headers, now=datetime.now(UTC))
        if isinstance(error, Unavailable) and error.reason is Reason.RATE_LIMITED:
            self._closed_until = time.monotonic() + (error.retry_after or 0.0)
        return error

    @asynccontextmanager
    async def _call(self, method: str, url: str, sent: Sent) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one call; what goes wrong on the way, also while its answer is read, becomes an error of ours."""
        wait = self._closed_until - time.monotonic()
        if wait > 0:
            raise Unavailable(f"{self.name} asked for a pause.", Reason.RATE_LIMITED, wait)
        answer: aiohttp.ClientResponse | None = None
        try:
            answer = await self._send(method, url, sent)
            yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreached(error) from error
        finally:
            if answer is not None:
                answer.close()

    async def _send(self, method: str, url: str, sent: Sent) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = await self._open()
        return await self._session.request(
            method,
            url,
            headers={
                "User-Agent": "nightshift",
                "Accept": "application/json, text/plain",
                **self._credentials,
                **(sent.headers or {}),
            },
            data=sent.body if sent.body is not None else sent.form,
            json=sent.json,
            proxy=self._settings.proxy or None,
            ssl=self._trust,
            allow_redirects=False,
        )

    async def _open(self) -> aiohttp.ClientSession:
        if self._settings.ca_file:
            self._trust = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)
        timeout = aiohttp.ClientTimeout(
            total=self._settings.answer_seconds, sock_connect=self._settings.connect_seconds
        )
        # Each call has a connection of its own: servers cut those that idle, and an order must not be lost to that.
        connector = aiohttp.TCPConnector(force_close=True)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    def _unreached(self, error: Exception) -> NightshiftError:
        if isinstance(error, aiohttp.InvalidURL):
            return Rejected(f"The address of {self.name} cannot be used.", Reason.BAD_INPUT)
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self.name} did not answer in time.", Reason.TIMEOUT)
        return Unavailable(f"{self.name} cannot be reached ({type(error).__name__}).", Reason.UNREACHABLE)


def read_refusal(name: str, status: int, body: bytes, *, headers: Mapping[str, str], now: datetime) -> NightshiftError:
    """Return the error for an answer that is no success: which may be tried again, and after how long."""
    said = _message(body)
    tail = f": {said}" if said else "."
    wait = _seconds(headers, now)
    if status == 429:
        return Unavailable(f"{name} asks for fewer calls{tail}", Reason.RATE_LIMITED, WAIT if wait is None else wait)
    if status >= 500 or status in {408, 425}:
        return Unavailable(f"{name} failed ({status}){tail}", Reason.SERVER_ERROR, wait)
    if status in {401, 407}:
        return Rejected(f"{name} refuses the credentials{tail}", Reason.REVOKED)
    if status == 403:
        return Rejected(f"{name} does not allow that{tail}", Reason.NOT_ALLOWED)
    if status in {404, 410}:
        return Rejected(f"{name} has no such thing, or the credentials may not see it{tail}", Reason.NOT_FOUND)
    reason = Reason.CONFLICT if status in {405, 406, 409, 422} else Reason.BAD_INPUT
    return Rejected(f"{name} refuses the call ({status}){tail}", reason)


def _seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After (seconds or a date), else RateLimit-Reset (seconds since 1970)."""
    value = headers.get("Retry-After", "").strip()[:40]
    if value.isascii() and value.isdecimal():
        return min(float(value), MAX_WAIT)
    if value:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return min(max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0), MAX_WAIT)
    reset = headers.get("RateLimit-Reset", "").strip()
    if reset.isascii() and reset.isdecimal() and len(reset) < 12:
        return min(max(int(reset) - now.timestamp(), 1.0), MAX_WAIT)
    return None


def _message(body: bytes) -> str:
    """Return what a server says about its refusal: "message" or "error", a text or the first of a list."""
    try:
        value = as_object(load_json(body))
    except ValueError:
        return ""
    said = value.get("message") or value.get("error") or value.get("error_description")
    while isinstance(said, dict | list) and said:
        said = next(iter(said.values())) if isinstance(said, dict) else said[0]
    return as_text(said)


def read_origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body[:limit])
