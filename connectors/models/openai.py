"""Any server that speaks OpenAI's chat completions over HTTP: SGLang first. Configuration name: "openai"."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiohttp
from pydantic import SecretStr

from bot.errors import LimitReached, Reason, Rejected, Unavailable
from bot.ports.model import Completion, OnDelta
from connectors.models.openai_count import Counter
from connectors.models.openai_errors import find_error, load_json, make_error, read_refusal
from connectors.models.openai_stream import Answer, EventReader, spoke_nonsense

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_WHOLE: Final = 2 * 1024 * 1024
"""The longest answer that is not streamed: parsed all at once, JSON takes up to thirty times its bytes."""
MAX_REFUSAL: Final = 64 * 1024
PATH: Final = "/chat/completions"
READY_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`url` is the server's base, with or without "/v1". Seconds: to connect, to the first word, between words."""

    url: str
    api_key: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    connect_seconds: float = 3.0
    first_seconds: float = 120.0
    idle_seconds: float = 60.0


class Slow(Unavailable):
    """The answer was still coming when the time for it was over."""


class Client:
    """`bot.ports.model.ModelClient` over one connection pool; close it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = endpoint(settings.url)
        self._ssl = trust(settings.ca_file)
        self._session: aiohttp.ClientSession | None = None
        self._counter = Counter(
            url=self._url.removesuffix(PATH) + "/tokenize",
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **self._authorization()},
            proxy=settings.proxy or None,
            trust=self._ssl,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def complete(self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float) -> Completion:
        """See the port. Tries once."""
        return await self.attempt(request, on_delta=on_delta, deadline=deadline, request_id=uuid4().hex)

    async def attempt(
        self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float, request_id: str
    ) -> Completion:
        """Send one request under an id of its own. Raises `Slow` where words came, and the time was up."""
        answer, alarm = Answer(on_delta), Alarm(deadline, self._settings.first_seconds)
        try:
            async with alarm.timeout, self._post(request, request_id) as response:
                return await self._read(response, answer, alarm)
        except aiohttp.ConnectionTimeoutError as error:
            raise Unavailable("The model server cannot be reached (no connection)", Reason.UNREACHABLE) from error
        except TimeoutError as error:
            if alarm.is_over() and answer.has_begun:
                raise Slow("The model's answer was not finished in time", Reason.TIMEOUT) from error
            raise _silent() from error
        except aiohttp.InvalidURL as error:
            raise Rejected("NIGHTSHIFT_MODEL_URL is not an address", Reason.BAD_INPUT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = f"The model server cannot be reached or broke off ({type(error).__name__})"
            raise Unavailable(text, Reason.UNREACHABLE) from error

    async def count_tokens(self, request: bytes) -> int | None:
        """`bot.ports.model.TokenCounter`, as far as the server tells."""
        return await self._counter.count(self._open(), request)

    async def is_stopping(self) -> bool:
        """Say whether sglang was told to stop. It says so here alone: while anything runs it takes what is new too, and
        so would never come to an end. False for whoever does not say."""
        url = self._url.removesuffix("/v1" + PATH) + "/ready"
        try:
            async with (
                asyncio.timeout(READY_SECONDS),
                self._open().get(
                    url,
                    headers=self._authorization(),
                    proxy=self._settings.proxy or None,
                    ssl=self._ssl,
                    allow_redirects=False,
                ) as response,
            ):
                return response.status == 503
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return False

    def _authorization(self) -> dict[str, str]:
        key = self._settings.api_key
        return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}

    @asynccontextmanager
    async def _post(self, request: bytes, request_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, and close the connection whatever happens before the answer's end: that stops the work there."""
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id, "Accept-Encoding": "identity"}
        headers |= self._authorization()
        response = await self._open().post(
            self._url,
            data=request,
            headers=headers,
            proxy=self._settings.proxy or None,
            ssl=self._ssl,
            allow_redirects=False,
        )
        try:
            yield response
        finally:
            response.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_seconds)
            self._session = aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse, answer: Answer, alarm: "Alarm") -> Completion:
        if response.status != 200:
            body = await self._read_some(response, MAX_REFUSAL, alarm)
            raise read_refusal(response.status, body, _headers(response), datetime.now(UTC))
        if response.content_type == "text/event-stream":
            return await self._read_stream(response, answer, alarm)
        body = await self._read_some(response, MAX_WHOLE, alarm)
        try:
            whole = load_json(body)
        except ValueError as error:
            raise spoke_nonsense("an answer that is not JSON") from error
        failed = find_error(whole)
        if failed is not None:
            raise make_error(failed)
        if not isinstance(whole, dict):
            raise spoke_nonsense("an answer that is no object")
        answer.take_whole(whole)
        return answer.close()

    async def _read_stream(self, response: aiohttp.ClientResponse, answer: Answer, alarm: "Alarm") -> Completion:
        """Read to `[DONE]` or to the end; the first event may be the refusal of the whole request."""
        reader, size, wait = EventReader(), 0, self._settings.first_seconds
        while True:
            chunk = await response.content.readany()
            size += len(chunk)
            if size > MAX_BYTES:
                raise LimitReached("The model's answer has no measure", Reason.TOO_LARGE)
            for data in reader.feed(chunk) if chunk else reader.end():
                wait = self._settings.idle_seconds
                if answer.take(data):
                    return answer.close()
            if not chunk:
                return answer.close()
            alarm.wind(wait)

    async def _read_some(self, response: aiohttp.ClientResponse, limit: int, alarm: "Alarm") -> bytes:
        """Read a body up to a limit; more than that counts as nonsense only where it is needed whole."""
        parts, size = [], 0
        while size < limit and (chunk := await response.content.readany()):
            alarm.wind(self._settings.first_seconds)
            parts.append(chunk)
            size += len(chunk)
        return b"".join(parts)[:limit]


class Alarm:
    """Rings when nothing came for so many seconds, or when the time for the whole answer is up: one timer for both."""

    def __init__(self, deadline: float, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline
        self.timeout = asyncio.timeout_at(min(deadline, self._clock() + seconds))

    def wind(self, seconds: float) -> None:
        """Something came; now it waits for `seconds` again."""
        self.timeout.reschedule(min(self._deadline, self._clock() + seconds))

    def is_over(self) -> bool:
        """Say whether the whole time is up."""
        return self._clock() >= self._deadline


def endpoint(base: str) -> str:
    """Return the address of the one call. Raises `Rejected` where the base is no http address."""
    try:
        parts = urlsplit(base.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Rejected("NIGHTSHIFT_MODEL_URL is not an address", Reason.BAD_INPUT) from error
    if parts.scheme not in {"http", "https"} or not host or parts.username:
        what = "NIGHTSHIFT_MODEL_URL must be http://HOST or https://HOST; a key goes into NIGHTSHIFT_MODEL_API_KEY"
        raise Rejected(what, Reason.BAD_INPUT)
    path = parts.path.rstrip("/").removesuffix(PATH)
    path = path if path.endswith("/v1") else f"{path}/v1"
    return urlunsplit((parts.scheme, parts.netloc, path + PATH, "", ""))


def trust(ca_file: str) -> ssl.SSLContext | bool:
    """Return what a connection trusts: the machine's certificates, or those of a file. Raises `Rejected`."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else True
    except OSError as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    return response.headers


def _silent() -> Unavailable:
    return Unavailable("The model server does not answer", Reason.TIMEOUT)


Connector = Client
