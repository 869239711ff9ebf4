"""One request to GitHub: connected, sent once, counted, and every fault on the way turned into an error of ours."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import aiohttp

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.github.refusals import read_count, read_refusal
from connectors.ci.github.settings import Settings

API_VERSION: Final = "2022-11-28"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_REFUSAL: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """`token` goes along as the bearer; without one nothing of ours does."""

    method: str
    url: str
    token: str = ""
    etag: str = ""
    body: Mapping[str, Any] | None = field(default=None)

    def headers(self) -> Mapping[str, str]:
        common = {"User-Agent": "nightshift", "Accept-Encoding": "identity"}
        if not self.token:
            return common
        own = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": API_VERSION,
        }
        return {**common, **own, **({"If-None-Match": self.etag} if self.etag else {})}


class Transport:
    """Sends requests, each once. `calls` counts those that left, `unchanged` the answers that cost no rate limit,
    `remaining` is what GitHub says is left of it (None before the first answer)."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._trust: ssl.SSLContext | bool = True
        self._session: aiohttp.ClientSession | None = None
        self._closed_until = 0.0
        self.calls = 0
        self.unchanged = 0
        self.remaining: int | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def ask(self, request: Request) -> "_Call":
        """Return the answer as a context: `async with transport.ask(request) as answer`."""
        return _Call(self, request)

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        """Raises what aiohttp raises, and `Unavailable` while GitHub wants to be left alone."""
        wait = self._closed_until - self._clock()
        if wait > 0:
            raise Unavailable("GitHub asked for a pause.", Reason.RATE_LIMITED, wait)
        session = await self._open()
        self.calls += 1
        # aiohttp sends a GET or PUT again where a kept connection turns out to be dead, a POST never.
        answer = await session.request(
            request.method,
            request.url,
            headers=request.headers(),
            json=request.body,
            proxy=self._settings.proxy or None,
            ssl=self._trust,
            allow_redirects=False,
        )
        if request.token:
            self.unchanged += answer.status == 304
            left = read_count(answer.headers.get("X-RateLimit-Remaining", ""))
            self.remaining = self.remaining if left is None else left
        return answer

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            if self._settings.ca_file:
                self._trust = await asyncio.to_thread(_read_certificates, self._settings.ca_file)
            timeout = aiohttp.ClientTimeout(
                total=self._settings.answer_seconds, sock_connect=self._settings.connect_seconds
            )
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def refusal(self, answer: aiohttp.ClientResponse) -> NightshiftError:
        """Return the error that an answer stands for, and keep quiet as long as it asks for."""
        body = (await read_some(answer, MAX_REFUSAL)).decode("utf-8", "replace")
        error = read_refusal(answer.status, body, answer.headers, datetime.now(UTC))
        if isinstance(error, Unavailable) and error.reason is Reason.RATE_LIMITED:
            self._closed_until = self._clock() + (error.retry_after or 0.0)
        return error


def _read_certificates(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        text = f"connections.github.ca_file cannot be used: {error.strerror or 'it holds no certificates'}."
        raise Rejected(text, Reason.BAD_INPUT) from error


class _Call:
    """One request; whatever goes wrong on the way, the reading of its answer included, becomes an error of ours."""

    def __init__(self, transport: Transport, request: Request) -> None:
        self._transport = transport
        self._request = request
        self._answer: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            self._answer = await self._transport.send(self._request)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _fault(error) from error
        return self._answer

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            self._answer.release() if self._answer.content.at_eof() else self._answer.close()
        if isinstance(error, aiohttp.ClientError | OSError):
            raise _fault(error) from error


def _fault(error: Exception) -> NightshiftError:
    """`UNREACHABLE` is said only where nothing was sent; after any other fault GitHub may have done what was asked."""
    if isinstance(error, aiohttp.InvalidURL):
        return Rejected("NIGHTSHIFT_GITHUB_URL is not an address.", Reason.BAD_INPUT)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ssl.SSLError):
        return Unavailable(f"GitHub cannot be reached ({type(error).__name__}).", Reason.UNREACHABLE)
    if isinstance(error, TimeoutError):
        return Unavailable("GitHub did not answer in time.", Reason.TIMEOUT)
    return Unavailable(f"The connection to GitHub broke ({type(error).__name__}).", Reason.SERVER_ERROR)


async def read_json(answer: aiohttp.ClientResponse) -> Any:  # noqa: ANN401 -- JSON that was not checked yet
    """Raises `Unavailable` for what is no JSON, and `Rejected` for an answer without measure."""
    body = await read_some(answer, MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise Rejected("GitHub's answer has no measure.", Reason.TOO_LARGE)
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise Unavailable("GitHub answered something that is not JSON.", Reason.SERVER_ERROR) from error


async def read_some(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)
