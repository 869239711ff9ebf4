"""One call of a CI system or a forge: sent once, counted, and every fault on the way turned into an error of ours.

Questions share connections, and are asked again where a kept one turns out to be dead; an order has a connection of
its own. Where a server asks for a pause, no call leaves before it is over.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from bot.errors import NightshiftError, NotSent, Reason, Rejected, Unavailable
from connectors.ci.http_refusals import Explain, explain_refusal, read_refusal, read_remaining
from connectors.ci.http_settings import HttpSettings

MAX_ERROR_BYTES: Final = 64 * 1024
_BEFORE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""Faults before anything was sent: no such name, refused, no connection in time, no trust, no way through the proxy."""

Credentials = Callable[[], Awaitable[Mapping[str, str]]]


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


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: what is not `is_ours` is shown no credentials, an order gets a connection of its own."""

    method: str
    url: str
    sent: Sent = NOTHING
    etag: str = ""
    is_ours: bool = True
    is_order: bool = False


@contextmanager
def not_sent() -> Iterator[None]:
    """What fails in here failed before an order left. Raises `NotSent` in the place of `Unavailable`."""
    try:
        yield
    except Unavailable as error:
        raise NotSent(str(error), error.reason, error.retry_after) from error


class Transport:
    """Makes calls of one server, each once; `name` is how people call it. `credentials` are headers, or what is asked
    for them before each call; `explain` says what this server means by a refusal."""

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        credentials: Mapping[str, str] | Credentials,
        *,
        explain: Explain = lambda _refusal: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.url = settings.url
        self.calls = 0
        self.remaining: int | None = None
        self._settings = settings
        self._credentials = credentials
        self._explain = explain
        self._clock = clock
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._trust: ssl.SSLContext | bool | None = None
        self._closed_until = 0.0

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def refusal(self, answer: aiohttp.ClientResponse) -> NightshiftError:
        """Return the error that an answer stands for, and keep quiet as long as it asks for."""
        body = await read_body(answer, MAX_ERROR_BYTES)
        refusal = read_refusal(answer.status, body, answer.headers, datetime.now(UTC))
        error = self._explain(refusal) or explain_refusal(self.name, refusal)
        if isinstance(error, Unavailable) and error.reason is Reason.RATE_LIMITED:
            self._closed_until = self._clock() + (error.retry_after or 0.0)
        return error

    @asynccontextmanager
    async def ask(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one call; what goes wrong on the way, also while its answer is read, becomes an error of ours."""
        wait = self._closed_until - self._clock()
        if wait > 0:
            raise Unavailable(f"{self.name} asked for a pause.", Reason.RATE_LIMITED, wait)
        headers = await self._headers(call)
        answer: aiohttp.ClientResponse | None = None
        try:
            answer = await self._send(call, headers)
            yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from error
        finally:
            if answer is not None:
                answer.release() if answer.content.at_eof() else answer.close()

    async def _headers(self, call: Call) -> Mapping[str, str]:
        common = {"User-Agent": "nightshift", "Accept-Encoding": "identity"}
        if not call.is_ours:
            return common
        known = {"If-None-Match": call.etag} if call.etag else {}
        return {
            **common,
            "Accept": "application/json, text/plain",
            **await self._sign_in(call),
            **known,
            **(call.sent.headers or {}),
        }

    async def _sign_in(self, call: Call) -> Mapping[str, str]:
        if isinstance(self._credentials, Mapping):
            return self._credentials
        if not call.is_order:
            return await self._credentials()
        with not_sent():
            return await self._credentials()

    async def _send(self, call: Call, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        session = await self._open(is_order=call.is_order)
        self.calls += 1
        # aiohttp asks a GET once more where a kept connection turns out to be dead; a POST never.
        answer = await session.request(
            call.method,
            call.url,
            headers=headers,
            data=call.sent.body if call.sent.body is not None else call.sent.form,
            json=call.sent.json,
            proxy=self._settings.proxy or None,
            ssl=True if self._trust is None else self._trust,
            allow_redirects=False,
        )
        left = read_remaining(answer.headers) if call.is_ours else None
        self.remaining = self.remaining if left is None else left
        return answer

    async def _open(self, *, is_order: bool) -> aiohttp.ClientSession:
        if self._settings.ca_file and self._trust is None:
            self._trust = await asyncio.to_thread(self._read_certificates)
        if is_order not in self._sessions:
            timeout = aiohttp.ClientTimeout(
                total=self._settings.answer_seconds, sock_connect=self._settings.connect_seconds
            )
            # Servers cut connections that idle, and an order must not be lost to that: each has one of its own.
            connector = aiohttp.TCPConnector(force_close=is_order)
            self._sessions[is_order] = aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._sessions[is_order]

    def _read_certificates(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.ca_file)
        except OSError as error:
            text = f"The ca_file of {self.name} cannot be used: {error.strerror or 'it holds no certificates'}."
            raise Rejected(text, Reason.BAD_INPUT) from error

    def _fault(self, error: Exception) -> NightshiftError:
        """`UNREACHABLE` is said only where nothing was sent; after any other fault it may have been done."""
        if isinstance(error, aiohttp.InvalidURL):
            return Rejected(f"The address of {self.name} cannot be used.", Reason.BAD_INPUT)
        if isinstance(error, aiohttp.ClientHttpProxyError) and error.status == 407:
            return Rejected("The proxy refuses us.", Reason.NOT_ALLOWED)
        if isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
        ):
            return Unavailable(f"{self.name} cannot be reached ({type(error).__name__}).", Reason.UNREACHABLE)
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self.name} did not answer in time.", Reason.TIMEOUT)
        return Unavailable(f"The connection to {self.name} broke ({type(error).__name__}).", Reason.SERVER_ERROR)


async def read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body[:limit])
