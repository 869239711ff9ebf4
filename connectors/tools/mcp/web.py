"""A server behind HTTP: one address, our own proxy and authorities alone, and an end to what it may send."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from bot.errors import Reason, Rejected
from connectors.tools.mcp.bounds import MAX_MESSAGE, Meter

_EVENT: Final = re.compile(rb"[\r\n](?:data|event|id):")
"""Where an event may begin; text in JSON has no line ends of that kind."""


class _Counted(httpx2.AsyncByteStream):
    """The body of an answer, until it is too much."""

    def __init__(self, stream: httpx2.AsyncByteStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for block in self._stream:
            size += len(block)
            if size > MAX_MESSAGE:
                self._meter.fault = f"sent more than {MAX_MESSAGE // 1024**2} MiB at once"
            if not self._meter.add(len(block), len(_EVENT.findall(block))):
                raise httpx2.ReadError(self._meter.fault)
            yield block

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx2.AsyncBaseTransport):
    """Counts what comes, refuses what is packed (it may unpack to anything), and keeps what went wrong."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.status = 0
        self.error: Exception | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.HTTPError as error:
            self.error = error
            raise
        if request.method == "POST":  # what a session begins with may be refused: the newest answer counts
            self.error = None
            self.status = response.status_code if response.status_code >= 400 else 0
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            self._meter.fault = "sent something packed, which was not asked for"
            await response.aclose()
            raise httpx2.ReadError(self._meter.fault)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, self._meter)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Web:
    """How a server is reached. Raises `Rejected` where the proxy or the authorities cannot be used."""

    def __init__(self, name: str, *, proxy: str, ca_file: str, meter: Meter) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
            inner = httpx2.AsyncHTTPTransport(verify=context, proxy=proxy or None, trust_env=False)
        except (OSError, ValueError, httpx2.InvalidURL) as error:
            what = f"{name}: its proxy or ca_file cannot be used ({type(error).__name__})"
            raise Rejected(what, Reason.BAD_INPUT) from error
        self._bounded = _Bounded(inner, meter)

    @asynccontextmanager
    async def open(self, token: str, seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with httpx2.AsyncClient(
            transport=self._bounded, headers=headers, timeout=seconds, trust_env=False, follow_redirects=False
        ) as client:
            yield client

    @property
    def status(self) -> int:
        """The status of the newest answer, from 400 on; else 0."""
        return self._bounded.status

    @property
    def error(self) -> Exception | None:
        """Why the server could not be reached."""
        return self._bounded.error
