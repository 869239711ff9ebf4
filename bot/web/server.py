"""The HTTP server: alert webhooks, admin API, health and metrics, with pages and chat webhooks mounted beside them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import generate_latest

from bot.metrics import REGISTRY
from bot.ports.http import Webhook
from bot.web.admin import AdminApi
from bot.web.changes import ChangeIntake
from bot.web.intake import AlertIntake, read_request
from bot.web.page_tests import PageTests
from bot.web.pages import Pages, mount_pages

log = structlog.get_logger(__name__)
MAX_FORM: Final = 1024 * 1024
MAX_CHAT_BODY: Final = 4 * 1024 * 1024
"""WhatsApp puts up to 3 MB of events into one call; connectors that need less look themselves."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Everything the server offers. `is_ready` says "" when store and engine are usable, else what is wrong."""

    intake: AlertIntake
    changes: ChangeIntake
    admin: AdminApi
    page_tests: PageTests
    pages: Pages
    webhooks: Sequence[Webhook]
    is_ready: Callable[[], Awaitable[str]]


def build_app(surface: Surface) -> web.Application:
    """Return the application, not yet listening."""
    app = web.Application(client_max_size=MAX_FORM, middlewares=[_calm_errors])
    mount_pages(app, surface.pages)
    app.router.add_post("/v1/alerts/{sender}", surface.intake.receive)
    app.router.add_post("/v1/changes", surface.changes.receive)
    app.add_routes([*surface.admin.routes(), *surface.page_tests.routes()])
    app.on_shutdown.append(surface.admin.runs.close)
    app.router.add_get("/healthz", _health)
    app.router.add_get("/readyz", _ready(surface.is_ready))
    app.router.add_get("/metrics", _metrics)
    for webhook in surface.webhooks:
        app.router.add_route(webhook.method, webhook.path, _mount(webhook))
    return app


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Start listening; return the runner and the port (chosen by the system where `port` is 0)."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, int(runner.addresses[0][1])


@web.middleware
async def _calm_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Nobody outside sees a trace; the log does."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("request_crashed", path=request.path)
        return web.Response(status=500, text="Nightshift made a mistake; its log says more.\n")


async def _health(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _ready(check: Callable[[], Awaitable[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def ready(_request: web.Request) -> web.Response:
        problem = await check()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")

    return ready


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": "text/plain; version=0.0.4"})


def _mount(webhook: Webhook) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        answer = await webhook.handle(await read_request(request, MAX_CHAT_BODY))
        return web.Response(
            status=answer.status, text=answer.body, content_type=answer.media_type, headers=dict(answer.headers)
        )

    return handle
