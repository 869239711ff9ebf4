"""MCP: real servers made with the SDK, over a program's streams and over HTTP, and servers that mean harm."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.bootstrap.tool_servers import make_shelf
from bot.domain.runs.far_tool import ToolPolicy
from bot.domain.runs.profile import AgentProfile
from bot.errors import NightshiftError, Reason, Refused, Rejected, Unavailable
from bot.ports.desk import MCPWanted
from bot.settings import Settings as AllSettings

pytest.importorskip("mcp", reason="the extra mcp is not installed")

import uvicorn
from pydantic import SecretStr

from connectors.tools.mcp import Connector, Settings
from tests.contract.mcp_server import build
from tests.proxy import TINYPROXY, make_authority, run_proxy

HERE = Path(__file__).parent
POLICY = ToolPolicy(tools=("orders", "surroundings", "graph", "counts", "fails", "drop"))
HOSTILE = str(HERE / "mcp_hostile.py")


def hostile(way: str, seconds: float = 10.0) -> Connector:
    return Connector("shop", Settings(command=(sys.executable, "-S", "-E", HOSTILE, way), seconds=seconds))


class Token:
    """Lets nobody in without the token; notes what was asked for."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer open sesame":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)


class Site:
    """A real server on loopback in a thread of its own, behind TLS."""

    def __init__(self, folder: Path) -> None:
        self.authority = make_authority(folder)
        app = Token(build().streamable_http_app())
        own = str(folder / "server.pem")
        config = uvicorn.Config(app, port=0, log_config=None, ssl_certfile=own, ssl_keyfile=own, ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}/mcp"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.stop()


def reach(site: Site, **changes: object) -> Connector:
    given = {"url": site.url, "token": SecretStr("open sesame"), "ca_file": str(site.authority.ca_file)} | changes
    return Connector("shop", Settings(**given))


class TestOverHTTP:
    async def test_tools_are_told_with_their_hints(self, site):
        listed = {each.name: each for each in await reach(site).list_tools()}
        assert sorted(listed) == sorted(POLICY.names)
        assert (listed["orders"].about, listed["orders"].reads_only) == ("Newest orders of a city.", True)
        assert '"city"' in listed["orders"].schema
        assert (listed["drop"].reads_only, listed["drop"].destroys) == (False, True)

    @pytest.mark.parametrize(
        ("tool", "arguments", "text"),
        [
            ("orders", '{"city": "Rome"}', "Rome 0\nRome 1"),
            ("graph", "{}", "the graph of today"),
            ("counts", "{}", '{\n  "orders": 3\n}'),
        ],
    )
    async def test_texts_are_answers(self, site, tool, arguments, text):
        assert (await reach(site).call(tool, arguments, POLICY)).text == text

    async def test_what_is_no_text_is_named_and_left_out(self, site):
        assert (await reach(site).call("graph", "{}", POLICY)).left_out == ("image (image/png, 68 bytes)",)

    async def test_a_tool_that_fails_says_so(self, site):
        answer = await reach(site).call("fails", "{}", POLICY)
        assert answer.is_fault
        assert answer.text == "Error executing tool fails"

    async def test_wrong_arguments_are_the_tool_s_to_refuse(self, site):
        answer = await reach(site).call("orders", '{"limit": "many"}', POLICY)
        assert answer.is_fault
        assert "city" in answer.text

    async def test_what_changes_something_is_never_called(self, site):
        with pytest.raises(Refused, match="changes something"):
            await reach(site).call("drop", '{"name": "orders"}', POLICY)

    async def test_a_wrong_token_is_final(self, site):
        with pytest.raises(Rejected, match="status 401: look at its token"):
            await reach(site, token=SecretStr("wrong")).list_tools()

    @pytest.mark.parametrize("wrong", [{"ca_file": "/nowhere/ca.pem"}, {"proxy": "socks9://x"}])
    async def test_a_way_that_is_no_way_is_final(self, site, wrong):
        with pytest.raises(Rejected, match="shop: its proxy or ca_file cannot be used"):
            await reach(site, **wrong).list_tools()

    async def test_an_authority_that_is_not_named_is_not_trusted(self, site):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await reach(site, ca_file="").list_tools()

    @pytest.mark.skipif(not TINYPROXY, reason="no tinyproxy here")
    async def test_a_proxy_is_used_where_one_is_named(self, site, tmp_path):
        async with run_proxy(tmp_path) as proxy:
            answer = await reach(site, proxy=proxy.url).call("orders", '{"city": "Rome"}', POLICY)
            assert answer.text == "Rome 0\nRome 1"
            assert proxy.asked_for()[0] == f"CONNECT {site.url.split('/')[2]}"

    async def test_proxies_of_the_environment_are_not(self, site, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        assert await reach(site).list_tools()

    async def test_nobody_there_may_be_tried_again(self):
        with pytest.raises(Unavailable) as caught:
            await Connector("shop", Settings(url="http://127.0.0.1:9/mcp")).list_tools()
        assert caught.value.reason is Reason.UNREACHABLE


async def test_a_configured_server_is_asked_for_a_run_and_called_for_it(site):
    way = {"url": site.url, "token": "open sesame", "ca_file": str(site.authority.ca_file)}
    settings = AllSettings(mcp={"shop": way | {"tools": ["orders", "drop", "nothing"]}})
    shelf = make_shelf(settings, lambda text: text.replace("Rome", "[redacted]"))
    assert shelf is not None
    found = await shelf.list_for(AgentProfile())
    assert [tool.name for tool in found.tools] == ["mcp__shop__orders"]
    assert [text.partition(":")[0] for text in found.missing] == ["mcp__shop__drop", "mcp__shop__nothing"]
    wanted = MCPWanted(server="shop", tool="orders", arguments='{"city": "Rome"}')
    assert (await shelf.call(wanted, found.tools)).text == "[redacted] 0\n[redacted] 1"


class Liar(BaseHTTPRequestHandler):
    """Answers each message with the class's `reply`: status, headers, body; a body without end where it says so."""

    reply: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    endless = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, headers, body = self.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
            while self.endless:
                self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_args: object) -> None: ...


@pytest.fixture
def liar() -> Iterator[type[Liar]]:
    kind = type("OneLiar", (Liar,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}/mcp"
    yield kind
    server.shutdown()
    server.server_close()


JSON = {"Content-Type": "application/json"}
NOTE = b'data: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n'
EVENTS = {"Content-Type": "text/event-stream"}


@pytest.mark.parametrize(
    ("reply", "endless", "error", "words"),
    [
        ((500, {}, b"hunter2"), False, Unavailable, "status 500"),
        ((429, {}, b""), False, Unavailable, "status 429"),
        ((403, {}, b""), False, Rejected, "status 403"),
        ((404, JSON, b"{}"), False, Rejected, "status 404"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), False, NightshiftError, "shop"),
        ((200, JSON, b"nonsense"), False, Rejected, "shop"),
        ((200, JSON, b"[" * 100_000), False, Rejected, "shop"),
        ((200, {"Content-Type": "text/html"}, b"<html>"), False, Rejected, "shop"),
        ((200, JSON | {"Content-Encoding": "gzip"}, b"\x1f\x8b"), False, Rejected, "packed"),
        ((200, JSON, b"x" * 100_000), True, Rejected, "4 MiB at once"),
        ((200, EVENTS, b"data: " + b"x" * 100_000), True, Rejected, "MiB"),
        ((200, EVENTS, NOTE * 200), True, Rejected, "500 messages"),
        ((200, EVENTS, b": quiet\n\n" * 10_000), True, Rejected, "4 MiB at once"),
    ],
)
async def test_a_server_that_answers_nothing_of_the_kind(liar, reply, endless, error, words):
    liar.reply, liar.endless = reply, endless
    with pytest.raises(error, match=words) as caught:
        await Connector("shop", Settings(url=liar.url, seconds=5)).list_tools()
    assert caught.value.reason is not Reason.TIMEOUT
    assert "hunter2" not in str(caught.value)


class TestAProgram:
    async def test_it_has_an_environment_of_its_own_with_the_variables_that_are_named(self, monkeypatch):
        monkeypatch.setenv("SHOP_KEY", "for the shop")
        monkeypatch.setenv("OTHER_KEY", "for nobody")
        argv = (sys.executable, str(HERE / "mcp_server.py"))
        program = Connector("shop", Settings(command=argv, env=("SHOP_KEY", "NOT_SET")))
        seen = (await program.call("surroundings", "{}", POLICY)).text
        assert "SHOP_KEY=for the shop" in seen
        assert {each.partition("=")[0] for each in seen.split() if "=" in each} == {"LANG", "PATH", "SHOP_KEY"}

    @pytest.mark.parametrize(
        ("way", "error", "words"),
        [
            ("large", Rejected, "a line of more than 4 MiB"),
            ("talks", Rejected, "said more than 8 MiB"),
            ("chatters", Rejected, "sent more than 500 messages"),
            ("gone", Refused, "has no tool orders any more: it is gone"),
            ("turned", Refused, "changes something"),
            ("dies", Unavailable, "ended before it answered: hunter2 is wrong"),
            ("nonsense", Rejected, "MCP does not know"),
            ("refuses", Rejected, "refused: not.*today"),
            ("pages", Refused, "gone"),
        ],
    )
    async def test_one_that_means_harm_is_told_of_and_ended(self, way, error, words):
        with pytest.raises(error, match=words) as caught:
            await hostile(way).call("orders", "{}", POLICY)
        assert "\x1b" not in str(caught.value)

    async def test_one_that_hangs_has_its_time(self):
        with pytest.raises(Unavailable, match=r"did not answer in 0\.4 s"):
            await hostile("hangs", seconds=0.4).call("orders", "{}", POLICY)

    @pytest.mark.parametrize("way", ["garbage", "changes", "fine"])
    async def test_what_it_says_beside_its_answer_does_not_matter(self, way):
        assert (await hostile(way).call("orders", "{}", POLICY)).text == "fine"

    async def test_it_may_ask_us_for_nothing(self):
        assert '"code"' in (await hostile("asks").call("orders", "{}", POLICY)).text

    async def test_a_long_text_is_cut_and_says_so(self):
        text = (await hostile("long").call("orders", "{}", POLICY)).text
        assert text.endswith("… the rest, 475,712 characters, was left out")

    async def test_one_that_cannot_be_started_is_final(self):
        with pytest.raises(Rejected, match="cannot be started"):
            await Connector("shop", Settings(command=("/nowhere/at/all",))).list_tools()

    async def test_whoever_stops_waiting_leaves_no_process(self):
        connector = hostile("hangs")
        task = asyncio.create_task(connector.call("orders", "{}", POLICY))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [each for each in asyncio.all_tasks() if each is not asyncio.current_task()] == []
