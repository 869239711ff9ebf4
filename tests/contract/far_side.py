"""A server in the test's own process that plays a CI system: it counts, refuses and lies as told."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

NOBODY = "http://127.0.0.1:9"
"""An address at which nobody listens."""


def make_sha(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


class FarSide(ABC):
    """`faults` answer before everything else, one call each; `seen` keeps method, path and headers of every call.

    `url` is where it is served.
    """

    def __init__(self) -> None:
        self.faults: list[Callable[[web.Request], web.StreamResponse | None]] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""
        self.late_faults: list[Callable[[], web.StreamResponse]] = []

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return what this server answers to."""

    @web.middleware
    async def _watch(self, request: web.Request, handler) -> web.StreamResponse:
        self.seen.append((request.method, request.rel_url.raw_path, {k.lower(): v for k, v in request.headers.items()}))
        if self.faults:
            fault = self.faults.pop(0)(request)
            if fault is not None:
                return fault
        answer = await handler(request)
        if self.late_faults and request.method == "POST":
            return self.late_faults.pop(0)()
        return answer

    def lose_answer(self) -> None:
        """Let the next order be carried out, and its answer be lost."""
        self.late_faults.append(lambda: web.Response(status=502))

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application(middlewares=[self._watch])
        app.add_routes(self.routes())
        server = TestServer(app)
        await server.start_server()
        self.url = f"http://127.0.0.1:{server.port}"
        try:
            yield self.url
        finally:
            await server.close()


def answer(status: int = 200, value: object = None, **headers: str) -> Callable[[web.Request], web.Response]:
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return lambda _request: web.Response(
        status=status, text=json.dumps(value), content_type="application/json", headers=named
    )
