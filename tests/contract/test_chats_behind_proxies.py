"""The four chats from within a site: a real proxy with a user, an authority of its own, quiet lines that are cut."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.bootstrap import front
from bot.bootstrap.chat import make_channels
from bot.domain.chat import Press
from bot.engine.dispatcher import Channel
from bot.ports.http import Webhook, WebRequest
from bot.settings import Settings
from connectors.chat.discord import gateway
from tests.contract.chat_suite import ACK, RecordingInbox, card
from tests.e2e.chats import Chat, DiscordChat, SlackChat, TelegramChat, WhatsAppChat, write_channels
from tests.proxy import OUTSIDE, TINYPROXY, Authority, Served, lay_line, make_authority, run_proxy, serve

KINDS = {"slack": SlackChat, "discord": DiscordChat, "telegram": TelegramChat, "whatsapp": WhatsAppChat}
SOCKETS = ("slack", "discord", "telegram")
"""Those that hold a connection open to hear of presses."""
pytestmark = pytest.mark.skipif(not TINYPROXY, reason="no tinyproxy here")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(gateway, "PAUSE", 0.05)
    monkeypatch.setattr(front, "RESTART_SECONDS", 0.2)


async def until(claim: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.01)


@dataclass(kw_only=True)
class Site:
    """A chat, the connector that serves it, and everything that was pressed there."""

    chat: Chat
    channel: Channel
    inbox: RecordingInbox
    served: Served

    async def post(self, key: str = "k1") -> Callable[[], Any]:
        """Post a page and return how to press its button."""
        page = card(slot=f"page:{key}", rings=("ana",), in_thread=False)
        await self.channel.connector.post(self.channel.name, page, key, None)
        await until(self.listens)  # before its session begins, Discord keeps nothing for it
        press = self.chat.offer("ack", "ana")
        assert press is not None
        return press

    def listens(self) -> bool:
        return not isinstance(self.chat, DiscordChat) or bool(self.chat.world.sockets)

    async def buttons(self, count: int) -> list[str]:
        return [press.button for press in await self.inbox.wait(count) if isinstance(press, Press)]


@asynccontextmanager
async def open_site(kind: str, *, host: str = "127.0.0.1", trust: Authority | None = None, **more: Any) -> AsyncIterator[Site]:
    """Serve a chat on `host`, and let the bot's own channel listen to it with more settings."""
    chat: Chat = KINDS[kind]()
    inbox = RecordingInbox()
    name = "[::1]" if host == "::1" else "localhost"
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve(chat.app(), trust and trust.server, host=host, name=name))
        own = {"kind": kind, **chat.table(served.url), **more}
        people = {"ana": {"name": "Ana", "role": "admin", "accounts": {kind: chat.accounts["ana"]}}}
        (channel,) = make_channels(Settings.model_validate({"channels": {kind: own}, "people": people}), None)
        hooks = await stack.enter_async_context(serve(_mount(channel.connector.webhooks(inbox)), name="127.0.0.1"))
        chat.will_call(hooks.url)
        listening = asyncio.create_task(front._listen_to(channel, inbox))
        stack.push_async_callback(asyncio.gather, listening, return_exceptions=True)
        stack.callback(listening.cancel)
        yield Site(chat=chat, channel=channel, inbox=inbox, served=served)
    assert chat.violations == []


def _mount(hooks: Any) -> web.Application:
    app = web.Application()
    for hook in hooks:
        app.router.add_route(hook.method, hook.path, partial(_take, hook))
    return app


async def _take(hook: Webhook, request: web.Request) -> web.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = await hook.handle(
        WebRequest(method=request.method, path=request.path, headers=headers, body=await request.read())
    )
    return web.Response(status=answer.status, text=answer.body)


@pytest.mark.parametrize("kind", KINDS)
async def test_everything_goes_through_the_proxy_that_asks_who_is_there(
    kind: str, tmp_path: Path, authority: Authority
) -> None:
    async with (
        run_proxy(tmp_path) as proxy,
        open_site(kind, trust=authority, proxy=proxy.url, ca_file=str(authority.ca_file)) as site,
    ):
        await (await site.post())()
        assert await site.buttons(1) == [ACK.id]
        assert set(site.served.callers) == {OUTSIDE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bypass", ["", "localhost"])
async def test_the_proxy_of_the_environment_counts_but_for_what_goes_past_it(
    kind: str, bypass: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_proxy(tmp_path) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", bypass)
        async with open_site(kind, trust=authority, ca_file=str(authority.ca_file)) as site:
            await (await site.post())()
            assert await site.buttons(1) == [ACK.id]
            assert set(site.served.callers) == {"127.0.0.1" if bypass else OUTSIDE}
