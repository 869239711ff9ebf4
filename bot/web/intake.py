"""`POST /v1/alerts/<sender>`: bounded in size, the sender checked over the raw bytes, stored, and only then a 200."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog
from aiohttp import web

from bot.errors import Refused, Unavailable
from bot.metrics import ALERTS, WEBHOOK_SECONDS
from bot.ports.alerts import AlertSource
from bot.ports.deliveries import DeliveryBox
from bot.ports.http import WebRequest

log = structlog.get_logger(__name__)
KEPT: Final = 64 * 1024
"""How much is kept of a delivery that cannot be taken whole."""


async def read_request(request: web.Request, limit: int) -> WebRequest:
    """Read a request whole. Raises `HTTPRequestEntityTooLarge` as soon as it is larger than `limit` bytes."""
    body, fault = await _read_body(request, limit)
    if fault is not None:
        raise fault
    return _describe(request, body)


def _describe(request: web.Request, body: bytes) -> WebRequest:
    return WebRequest(
        method=request.method,
        path=request.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        remote=request.remote or "",
        query=dict(request.query),
    )


async def _read_body(request: web.Request, limit: int) -> tuple[bytes, web.HTTPException | None]:
    """Return the body, or else its beginning and why it cannot be read whole."""
    declared = request.content_length
    stop = limit if declared is None or declared <= limit else min(limit, KEPT)
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in request.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > stop:
                fault = web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=declared or size)
                return b"".join(parts)[:KEPT], fault
    except web.RequestPayloadError as error:
        return b"".join(parts)[:KEPT], web.HTTPBadRequest(text=f"The body cannot be decoded: {error}\n")
    except ConnectionError:
        raise web.HTTPBadRequest(text="The connection ended within the body.\n") from None
    return b"".join(parts), None


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
        try:
            source.verify(replace(_describe(request, b""), is_whole=False))
            body, fault = await _read_body(request, self._limit)
            source.verify(_describe(request, body))  # a part of a body fits no signature: then it may be anybody's
            number = await self._box.keep(name, body)
        except Refused as refusal:
            ALERTS.labels(source=name, result="unauthorised").inc()
            return web.Response(status=401, text=f"{refusal}\n", headers={"WWW-Authenticate": "Bearer"})
        except Unavailable as error:
            ALERTS.labels(source=name, result="overload").inc()
            log.warning("alert_not_stored", sender=name, error=str(error))
            wait = str(round(error.retry_after or 5))
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": wait})
        if fault is not None:
            # No sender tries a 4xx again: the beginning is kept, becomes a dead letter, and pages.
            ALERTS.labels(source=name, result="refused").inc()
            raise fault
        WEBHOOK_SECONDS.observe(time.perf_counter() - started)
        return web.json_response({"stored": number})
