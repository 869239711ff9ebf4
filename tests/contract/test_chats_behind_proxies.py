"""The four chats from within a site: a real proxy with a user, an authority of its own, quiet lines that are cut."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
from bot.errors import Unavailable
from bot.ports.http import Webhook, WebRequest
from bot.settings import Settings
from connectors.chat.discord import gateway
from connectors.chat.slack import api
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
    monkeypatch.setattr(api, "PING_SECONDS", 0.6)
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
        return self._offer()

    async def try_to_post(self, key: str) -> None:
        """Post as the dispatcher does: again after a fault."""
        for _ in range(5):
            with suppress(Unavailable):
                await self.post(key)
                return
            await asyncio.sleep(0.1)
        pytest.fail("it cannot be posted")

    def _offer(self) -> Callable[[], Any]:
        press = self.chat.offer("ack", "ana")
        assert press is not None
        return press

    async def press(self) -> None:
        await self._offer()()

    @property
    def lines(self) -> int:
        """How often the bot began to listen."""
        return sum(path.endswith(("/socket", "/gateway", "/getUpdates")) for path in self.served.paths)

    def listens(self) -> bool:
        return not isinstance(self.chat, DiscordChat) or bool(self.chat.world.sockets)

    async def presses(self, count: int) -> list[str]:
        """Return what was pressed once there are so many presses. The same event twice is one, as in the store."""
        await until(lambda: len({event.event for event in self.inbox.events}) >= count)
        once = {event.event: event for event in self.inbox.events}
        return [press.button for press in once.values() if isinstance(press, Press)]


@asynccontextmanager
async def open_site(kind: str, trust: Authority, *, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[Site]:
    """Serve a chat on `host`, and let the bot's own channel listen to it with more settings."""
    chat: Chat = KINDS[kind]()
    inbox = RecordingInbox()
    name = "[::1]" if host == "::1" else "localhost"
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve(chat.app(), trust.server, host=host, name=name))
        own = {"kind": kind, **chat.table(served.url), "ca_file": str(trust.ca_file), **more}
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
        open_site(kind, authority, proxy=proxy.url) as site,
    ):
        await (await site.post())()
        assert await site.presses(1) == [ACK.id]
        assert set(site.served.callers) == {OUTSIDE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bypass", ["", "localhost"])
async def test_the_proxy_of_the_environment_counts_but_for_what_goes_past_it(
    kind: str, bypass: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_proxy(tmp_path) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", bypass)
        async with open_site(kind, authority) as site:
            await (await site.post())()
            assert await site.presses(1) == [ACK.id]
            assert set(site.served.callers) == {"127.0.0.1" if bypass else OUTSIDE}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_has_only_an_ipv6_address_is_reached_straight_and_through_the_proxy(
    kind: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_proxy(tmp_path, outside="") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "::1")
        async with open_site(kind, authority, host="::1") as site:
            await (await site.post())()
            assert await site.presses(1) == [ACK.id]
            assert not [line for line in proxy.asked_for() if "::1" in line]
        monkeypatch.delenv("NO_PROXY")
        async with open_site(kind, authority, host="::1") as site:
            await (await site.post())()
            assert await site.presses(1) == [ACK.id]
            assert [line for line in proxy.asked_for() if re.match(r"CONNECT \[?::1\]?:", line)]


@pytest.mark.parametrize("kind", SOCKETS)
async def test_what_happens_while_the_proxy_cuts_a_quiet_line_arrives_once(
    kind: str, tmp_path: Path, authority: Authority
) -> None:
    more = {"poll_seconds": 5} if kind == "telegram" else {}
    async with (
        run_proxy(tmp_path, idle=1) as proxy,
        open_site(kind, authority, proxy=proxy.url, **more) as site,
    ):
        press = await site.post()
        lines = site.lines
        await asyncio.sleep(1.5)
        await press()
        await until(lambda: site.lines > lines)
        await site.press()
        assert await site.presses(2) == [ACK.id] * 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_slow_line_that_breaks_loses_nothing(kind: str, tmp_path: Path, authority: Authority) -> None:
    async with (
        run_proxy(tmp_path) as proxy,
        lay_line(proxy.port, delay=0.05) as line,
        open_site(kind, authority, proxy=line.url) as site,
    ):
        await (await site.post("k1"))()
        assert await site.presses(1) == [ACK.id]
        line.cut()
        await site.try_to_post("k2")
        await site.press()
        assert await site.presses(2) == [ACK.id] * 2


LOOK = """
import asyncio, json, pathlib, sys
from bot.bootstrap.doctor.outside import check_chat
from bot.settings import load_settings
found = asyncio.run(check_chat(load_settings(pathlib.Path(sys.argv[1]))))
print(json.dumps({one.name: one.is_ok for one in found}))
"""


async def test_the_doctor_reaches_every_chat_by_the_variables_of_the_environment(
    tmp_path: Path, authority: Authority
) -> None:
    chats = [kind() for kind in KINDS.values()]
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(run_proxy(tmp_path))
        servers = [await stack.enter_async_context(serve(chat.app(), authority.server)) for chat in chats]
        tables = write_channels({one.url: chat for one, chat in zip(servers, chats, strict=True)})
        accounts = ", ".join(f'{chat.name} = "{chat.accounts["ana"]}"' for chat in chats)
        people = f'[people.ana]\nname = "Ana"\nrole = "admin"\naccounts = {{ {accounts} }}\n'
        (tmp_path / "nightshift.toml").write_text(f'[server]\nstate_dir = "{tmp_path}/state"\n{people}{tables}')
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", LOOK, tmp_path / "nightshift.toml"),
            env={"PATH": os.environ["PATH"], "HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.ca_file)},
            stdout=subprocess.PIPE,
        )
        said = (await process.communicate())[0].decode()
        assert json.loads(said) == {f"chat {chat.name}": True for chat in chats}
        assert [set(one.callers) for one in servers] == [{OUTSIDE}] * 4


@pytest.mark.long
@pytest.mark.parametrize("kind", SOCKETS)
async def test_a_line_that_died_without_a_word_is_given_up(kind: str, tmp_path: Path, authority: Authority) -> None:
    """Discord's SDK waits a minute for a sign of life, Telegram's for the end of the question."""
    more = {"poll_seconds": 5, "answer_seconds": 5} if kind == "telegram" else {}
    async with (
        run_proxy(tmp_path) as proxy,
        lay_line(proxy.port) as line,
        open_site(kind, authority, proxy=line.url, **more) as site,
    ):
        await (await site.post())()
        assert await site.presses(1) == [ACK.id]
        line.die()
        lines = site.lines
        await until(lambda: site.lines > lines, seconds=130)
        await until(site.listens)
        await site.press()
        assert await site.presses(2) == [ACK.id] * 2
