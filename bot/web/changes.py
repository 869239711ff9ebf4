"""`POST /v1/changes`: what changed outside git, told by whoever may send alerts."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bot.domain.suspects.told_change import MAX_BODY, read_told
from bot.errors import Refused, Unavailable
from bot.ports.http import WebRequest
from bot.ports.work import Store
from bot.web.intake import read_request

RETRY_SECONDS: Final = 5


class ChangeIntake:
    """Stores changes of authenticated senders. `verify` raises `Refused` for a stranger."""

    def __init__(self, store: Store, verify: Callable[[WebRequest], None]) -> None:
        self._store = store
        self._verify = verify

    async def receive(self, request: web.Request) -> web.Response:
        asked = await read_request(request, MAX_BODY)
        try:
            self._verify(asked)
        except Refused as refusal:
            return web.Response(status=401, text=f"{refusal}\n", headers={"WWW-Authenticate": "Bearer"})
        try:
            stored = await asyncio.to_thread(self._record, asked.body)
        except Refused as refusal:
            return web.Response(status=400, text=f"{refusal}\n")
        except Unavailable as error:
            wait = str(round(error.retry_after or RETRY_SECONDS))
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": wait})
        return web.json_response({"stored": stored})

    def _record(self, body: bytes) -> int:
        with self._store.begin() as work:
            return sum(work.told_changes.add(told) for told in read_told(body, work.now))
