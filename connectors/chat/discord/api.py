"""Discord's HTTP interface through its SDK: one place that makes the client and translates its errors."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from discord.errors import DiscordServerError, Forbidden, HTTPException, LoginFailure, NotFound, RateLimited
from discord.http import HTTPClient, Ratelimit, Route

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.chat.discord.bucket import LONGEST_WAIT, Bucket
from connectors.chat.discord.settings import Settings

T = TypeVar("T")
_TOO_MANY, _FAULT = 429, 500
_CLOSED: Final = RuntimeError
"""What a session says that was closed under a call."""
_ERRORS: Final = (HTTPException, LoginFailure, RateLimited, OSError, aiohttp.ClientError, TimeoutError, _CLOSED)


class Api(HTTPClient):
    """The SDK's client, which tries once and may speak to another address."""

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("discord").setLevel(logging.WARNING)  # below that it logs what people write, and tokens
        super().__init__(asyncio.get_running_loop(), http_trace=_watch())
        self.max_ratelimit_timeout = LONGEST_WAIT
        self._settings = settings
        self._opening = asyncio.Lock()
        self._me: str | None = None

    async def open(self) -> str:
        """Sign in where that was not done yet; return the bot's own id."""
        async with self._opening:
            if self._me is None:
                self.connector = aiohttp.TCPConnector(limit=0, ssl=_trust(self._settings.ca_file))
                try:
                    me = await self._once(self.static_login(self._settings.token.get_secret_value()))
                except NightshiftError:
                    await self.close()
                    raise
                self._me = str(me["id"])
            return self._me

    async def call(self, route: Route, **given: Any) -> Any:  # noqa: ANN401 -- what Discord answers
        """Call once. Raises `Unavailable` or `Rejected`."""
        await self.open()
        return await self._once(self.request(route, **given))

    async def request(self, route: Route, **given: Any) -> Any:  # noqa: ANN401 -- the signature of the SDK
        route.url = self._settings.url + route.url.removeprefix(Route.BASE)
        self.proxy = self._find_proxy(route.url)
        return await super().request(route, **given)

    def get_ratelimit(self, key: str) -> Ratelimit:
        known = self._buckets.get(key)
        if known is None:
            known = self._buckets[key] = Bucket(self.max_ratelimit_timeout)
            self._try_clear_expired_ratelimits()
        return known

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        self.proxy = self._find_proxy(url)
        return await super().ws_connect(url, compress=compress)

    async def _once(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._settings.answer_seconds):
                answer = await work
        except _ERRORS as error:
            raise translate(error) from error
        if isinstance(answer, str) and answer:
            raise Unavailable("What answers is not Discord; is a proxy in between?", Reason.SERVER_ERROR)
        return answer

    def _find_proxy(self, url: str) -> str | None:
        if self._settings.proxy:
            return self._settings.proxy
        parts = urlsplit(url)
        if proxy_bypass(parts.hostname or ""):
            return None
        return getproxies().get({"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme))


def translate(error: Exception) -> NightshiftError:
    """Return what an error of the SDK means; its text never holds the token."""
    if isinstance(error, RateLimited):
        return Unavailable(f"Discord asks to wait {error.retry_after:g} s.", Reason.RATE_LIMITED, error.retry_after)
    if isinstance(error, LoginFailure):
        return Rejected("Discord does not accept the token; make a new one for the bot.", Reason.REVOKED)
    if isinstance(error, HTTPException):
        return _translate_answer(error)
    if isinstance(error, TimeoutError):
        return Unavailable("Discord did not answer in time.", Reason.TIMEOUT)
    return Unavailable(f"Discord cannot be reached: {type(error).__name__}", Reason.UNREACHABLE)


def code_of(error: NightshiftError) -> int:
    """Return Discord's own number of an error, 0 where it gave none."""
    cause = error.__cause__
    return cause.code if isinstance(cause, HTTPException) else 0


def _translate_answer(error: HTTPException) -> NightshiftError:
    text = error.text[:200]
    if isinstance(error, DiscordServerError):
        return Unavailable(f"Discord failed: {text}", Reason.SERVER_ERROR)
    if error.status == 401:
        return Rejected("Discord does not accept the token; make a new one for the bot.", Reason.REVOKED)
    if isinstance(error, Forbidden):
        return Rejected(f"Discord does not let the bot do that: {text}", Reason.NOT_ALLOWED)
    reason = Reason.NOT_FOUND if isinstance(error, NotFound) else Reason.BAD_INPUT
    return Rejected(f"Discord refused: {text}", reason)


def _watch() -> aiohttp.TraceConfig:
    """End a call at once where the SDK would wait and try again by itself."""

    async def look(_session: object, _context: object, end: aiohttp.TraceRequestEndParams) -> None:
        status = end.response.status
        if status == _TOO_MANY:
            end.response.close()
            seconds = _read_seconds(end.response.headers.get("Retry-After", ""))
            raise Unavailable(f"Discord asks to wait {seconds or 1:g} s.", Reason.RATE_LIMITED, seconds)
        if status >= _FAULT:
            end.response.close()
            raise Unavailable(f"Discord failed: {status}", Reason.SERVER_ERROR)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(look)
    return trace


def _read_seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _trust(ca_file: str) -> ssl.SSLContext | bool:
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else True
    except (OSError, ssl.SSLError) as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error
