"""The real HTTP surface over a world, listening on loopback."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from pydantic import SecretStr

from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.contacts import Answer
from bot.errors import Unavailable
from bot.ports.alerts import AlertSource
from bot.ports.deliveries import DeliveryBox
from bot.ports.http import WebAnswer, Webhook, WebRequest
from bot.render.links import Links
from bot.store.board import SqlBoard
from bot.store.inbox import Inbox
from bot.store.sessions import SqlSessions
from bot.web.admin import AdminApi
from bot.web.changes import ChangeIntake
from bot.web.intake import AlertIntake
from bot.web.page_tests import PageTests
from bot.web.pages import Pages
from bot.web.server import Surface, build_app, listen
from bot.web.sessions import Sessions
from connectors.alerts.alertmanager import Settings, Source
from tests.worldkit import World

TOKEN = "alert-token-of-this-test"
ADMIN = "admin-token-of-this-test"
LIMIT = 64 * 1024
BEARER = {"Authorization": f"Bearer {TOKEN}"}
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}


@dataclass(kw_only=True)
class Served:
    """A running server. `trouble` is what `/readyz` complains about."""

    world: World
    inbox: Inbox
    client: aiohttp.ClientSession
    port: int
    trouble: str = ""

    async def post(self, body: bytes, *, path: str = "/v1/alerts/alertmanager", **options) -> int:
        async with self.client.post(path, data=body, **options) as response:
            await response.read()
            return response.status

    async def stored(self) -> list[bytes]:
        return [item.body for item in await self.inbox.tail(0)]


@asynccontextmanager
async def serve(
    world: World, *, box: DeliveryBox | None = None, more: Mapping[str, AlertSource] | None = None
) -> AsyncIterator[Served]:
    """Serve a world until the block ends. `box` stands in for the inbox that intake writes to; `more` are senders."""
    inbox = Inbox(world.path / "inbox.db", world.clock, max_pending=1000)
    sessions = Sessions(store=SqlSessions(world.store), clock=world.clock)
    known = Source(Settings(token=SecretStr(TOKEN), username="am", password=SecretStr("pass")))
    sources = {"alertmanager": known, **(more or {})}
    served: Served | None = None

    async def is_ready() -> str:
        return served.trouble if served else ""

    async def chat_webhook(request: WebRequest) -> WebAnswer:
        if request.body == b"crash":
            raise ZeroDivisionError
        if request.body == b"later":
            raise Unavailable("later", reason=None)  # type: ignore[arg-type]  # only its type counts here
        return WebAnswer(status=202, body=f"{len(request.body)}")

    async def test_contacts(person: str) -> list[Answer]:
        return [Answer(contact=f"{person}'s push", ok=True, text="taken")]

    board = SqlBoard(world.store, world.clock)
    pages = Pages(
        board=board,
        shelf=board,
        inbox=StoreInbox(world.store, world.rules),
        sessions=sessions,
        roster=world.rules.roster,
        clock=world.clock,
        allowed_hosts=frozenset({"127.0.0.1"}),
        public_url=None,
        show_patch=Composer(world.store, world.rules, Links()).show_patch,
        show_run=Composer(world.store, world.rules, Links()).show_run,
    )
    surface = Surface(
        intake=AlertIntake(box or inbox, sources, limit=LIMIT),
        changes=ChangeIntake(world.store, sources["alertmanager"].verify),
        admin=AdminApi(
            world.store, inbox, sessions, world.rules.roster, token=ADMIN, base_url="http://nightshift.example/"
        ),
        page_tests=PageTests(world.rules.roster, test_contacts, token=ADMIN),
        pages=pages,
        webhooks=[Webhook(method="POST", path="/v1/chat/test", handle=chat_webhook)],
        is_ready=is_ready,
    )
    runner, port = await listen(build_app(surface), "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            served = Served(world=world, inbox=inbox, client=client, port=port)
            yield served
    finally:
        await runner.cleanup()
        inbox.close()
