"""`POST /v1/alerts/<sender>`: bounded in size, the sender checked over the raw bytes, stored, and only then a 200."""

import time
from collections.abc import Mapping

import structlog
from aiohttp import web

from bot.errors import Refused, Unavailable
from bot.metrics import ALERTS, WEBHOOK_SECONDS
from bot.ports.alerts import AlertSource
from bot.ports.deliveries import DeliveryBox
from bot.ports.http import WebRequest

log = structlog.get_logger(__name__)


async def read_request(request: web.Request, limit: int) -> WebRequest:
    """Read a request whole. Raises `HTTPRequestEntityTooLarge` as soon as it is larger than `limit` bytes."""
    declared = request.content_length
    if declared is not None and declared > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=declared)
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=size)
        parts.append(chunk)
    return WebRequest(
        method=request.method,
        path=request.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=b"".join(parts),
        remote=request.remote or "",
    )


class AlertIntake:
    """Stores what authenticated senders deliver; everything else is counted and forgotten."""

    def __init__(self, box: DeliveryBox, sources: Mapping[str, AlertSource], *, limit: int) -> None:
        self._box = box
        self._sources = sources
        self._limit = limit

    async def receive(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        name = request.match_info["sender"]
        source = self._sources.get(name)
        if source is None:
            known = ", ".join(sorted(self._sources)) or "none"
            return web.Response(status=404, text=f'No sender "{name[:40]}". Known: {known}.\n')
        head = WebRequest(
            method=request.method,
            path=request.path,
            headers={key.lower(): value for key, value in request.headers.items()},
            body=b"",
        )
        try:
            source.verify(head)
            whole = await read_request(request, self._limit)
            source.verify(whole)
            number = await self._box.keep(name, whole.body)
        except Refused as refusal:
            ALERTS.labels(source=name, result="unauthorised").inc()
            return web.Response(status=401, text=f"{refusal}\n", headers={"WWW-Authenticate": "Bearer"})
        except Unavailable as error:
            ALERTS.labels(source=name, result="overload").inc()
            log.warning("alert_not_stored", sender=name, error=str(error))
            wait = str(round(error.retry_after or 5))
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": wait})
        WEBHOOK_SECONDS.observe(time.perf_counter() - started)
        return web.json_response({"stored": number})
