"""The one HTTP client of all CI systems and forges: what surely did not leave, kept connections, pages, logs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from bot.errors import NotSent, Reason, Rejected, Unavailable
from connectors.ci.http_client import HttpClient
from connectors.ci.http_settings import HttpSettings
from connectors.ci.http_transport import Sent, Transport
from tests.contract.far_side import NOBODY, FarSide, answer

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def reach(url: str, credentials=None, **settings: object):
    client = HttpClient(Transport("The CI", HttpSettings(url=url, **settings), credentials or {}))
    try:
        yield client
    finally:
        await client.close()


@dataclass
class Wire:
    """A server below HTTP: `play` gets each connection; `requests` are the first lines of what came over them."""

    play: Callable[["Wire", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    requests: list[str] = field(default_factory=list)
    connections: int = 0

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head.splitlines()[0])
        length = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        await reader.readexactly(int(length[0].split(":")[1]) if length else 0)

    @asynccontextmanager
    async def serve(self):
        async def accept(reader, writer):
            self.connections += 1
            try:
                await self.play(self, reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def hang_up_after_one(wire: Wire, reader, writer) -> None:
    """Promise to keep the connection, answer once, and cut it when the next request comes."""
    await wire.read(reader)
    writer.write(JSON)
    await writer.drain()
    await wire.read(reader)
    writer.transport.abort()


async def cut(wire: Wire, reader, writer) -> None:
    await wire.read(reader)
    writer.transport.abort()


async def refuse_tunnel(_wire: Wire, reader, writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 No way\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def talk_plainly(_wire: Wire, reader, writer) -> None:
    await reader.read(100)
    writer.write(b"I speak no TLS\r\n")
    await writer.drain()


# What surely did not leave -------------------------------------------------------------------------------------------
async def expect(kind: type[Unavailable], url: str, credentials=None, **settings: object) -> Unavailable:
    async with reach(url, credentials, **settings) as client:
        with pytest.raises(Unavailable) as caught:
            await client.order("POST", "/orders", Sent(json={}))
    assert type(caught.value) is kind
    return caught.value


async def test_an_order_to_nobody_was_not_sent():
    assert (await expect(NotSent, NOBODY)).reason is Reason.UNREACHABLE
    await expect(NotSent, "http://no-such-host.invalid")
    await expect(NotSent, "http://10.255.255.1:9", proxy=NOBODY)


async def test_an_order_that_the_proxy_did_not_let_through_was_not_sent():
    async with Wire(refuse_tunnel).serve() as proxy:
        await expect(NotSent, "https://ci.example.com", proxy=proxy)


async def test_an_order_to_whom_nobody_trusts_was_not_sent():
    async with Wire(talk_plainly).serve() as url:
        await expect(NotSent, url.replace("http:", "https:"))


async def test_an_order_without_credentials_was_not_sent():
    async def sign_in():
        raise Unavailable("no token now", Reason.TIMEOUT, 3.0)

    error = await expect(NotSent, NOBODY, sign_in)
    assert (error.reason, error.retry_after) == (Reason.TIMEOUT, 3.0)


async def test_after_a_cut_connection_nobody_knows_whether_an_order_was_carried_out():
    async with (wire := Wire(cut)).serve() as url:
        await expect(Unavailable, url)
    assert wire.requests == ["POST /orders HTTP/1.1"], "and it is not sent again"


async def test_after_a_silence_nobody_knows_either():
    async def be_silent(wire: Wire, reader, _writer) -> None:
        await wire.read(reader)
        await reader.read()

    async with Wire(be_silent).serve() as url:
        assert (await expect(Unavailable, url, answer_seconds=0.1)).reason is Reason.TIMEOUT


class Far(FarSide):
    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []

    def routes(self):
        return [web.get("/things", self.list), web.post("/orders", self.take), web.get("/log", self.log)]

    async def list(self, request):
        self.queries.append(request.query_string)
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.json_response([{"id": 1}, "no object"], headers={"ETag": '"1"', "X-RateLimit-Remaining": "7"})

    async def take(self, _request):
        return web.json_response({})

    async def log(self, _request):
        return web.Response(text="secret=abc\nsecond line\n")


@pytest.fixture
async def far():
    far = Far()
    async with far.serve() as far.url:
        yield far


async def test_an_order_that_was_turned_away_for_now_may_be_sent_again(far):
    far.faults = [answer(429, {}, Retry_After="0")]
    async with reach(far.url) as client:
        with pytest.raises(NotSent):
            await client.order("POST", "/orders")
        assert (await client.order("POST", "/orders")).status == 200


async def test_a_pause_holds_up_orders_and_questions_and_only_orders_are_not_sent(far):
    far.faults = [answer(429, {}, Retry_After="30")]
    async with reach(far.url) as client:
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await client.get("/things")
            assert type(caught.value) is Unavailable
        with pytest.raises(NotSent):
            await client.order("POST", "/orders")
    assert len(far.seen) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 408])
async def test_a_server_that_failed_may_have_carried_it_out(far, status):
    far.faults = [answer(status, {})]
    await expect(Unavailable, far.url)


# Connections ---------------------------------------------------------------------------------------------------------
async def test_questions_share_a_connection_and_an_order_has_its_own():
    async def keep_answering(wire: Wire, reader, writer) -> None:
        while True:
            await wire.read(reader)
            writer.write(JSON)
            await writer.drain()

    async with (wire := Wire(keep_answering)).serve() as url, reach(url) as client:
        for _ in range(3):
            await client.get("/things")
        assert wire.connections == 1
        await client.order("POST", "/orders")
        await client.order("POST", "/orders")
        assert wire.connections == 3


async def test_a_question_over_a_kept_connection_that_is_dead_is_asked_once_more():
    async with (wire := Wire(hang_up_after_one)).serve() as url, reach(url) as client:
        for _ in range(3):
            assert (await client.get("/things")).value == {}
    assert wire.connections == 3


async def test_a_question_that_is_cut_every_time_is_given_up():
    async with (wire := Wire(cut)).serve() as url, reach(url) as client:
        with pytest.raises(Unavailable, match="broke") as caught:
            await client.get("/things")
    assert caught.value.reason is Reason.SERVER_ERROR
    assert len(wire.requests) == 2


# Answers -------------------------------------------------------------------------------------------------------------
async def test_what_has_not_changed_is_remembered(far):
    async with reach(far.url) as client:
        first, second = [await client.list("/things") for _ in range(2)]
        assert first == second == [{"id": 1}]
        assert (client.calls, client.unchanged, client.remaining) == (2, 1, 7)


async def test_an_answer_that_sets_a_cookie_is_not_remembered(far):
    def with_cookie(_request):
        found = web.json_response([], headers={"ETag": '"1"'})
        found.set_cookie("session", "abc")
        return found

    far.faults = [with_cookie]
    async with reach(far.url) as client:
        await client.get("/things")
        assert (await client.get("/things")).value == [{"id": 1}, "no object"]


@pytest.mark.parametrize("link", [{"X-Next-Page": "2"}, {"Link": '<{url}/things?page=2>; rel="next"'}])
async def test_both_ways_to_name_the_next_page_are_followed(far, link):
    headers = {name: text.format(url=far.url) for name, text in link.items()}
    far.faults = [lambda _r: web.json_response([{"id": 0}], headers=headers)]
    async with reach(far.url) as client:
        assert await client.list("/things", {"sha": "a b"}) == [{"id": 0}, {"id": 1}]
    assert far.queries == ["sha=a b&page=2" if "X-Next-Page" in link else "page=2"]


async def test_pages_without_end_are_given_up(far):
    far.faults = [lambda _r: web.json_response([], headers={"X-Next-Page": "2"})] * 11
    async with reach(far.url) as client:
        with pytest.raises(Rejected, match="more than 10 pages of things"):
            await client.list("/things")


async def test_half_a_line_of_a_log_is_not_kept(far):
    async with reach(far.url) as client:
        assert await client.tail("/log", keep=18) == b"second line\n"


async def test_a_store_is_shown_no_credentials(far):
    async with (other := Far()).serve() as store, reach(far.url, {"Authorization": "Bearer x"}) as client:
        far.faults = [answer(302, None, Location=f"{store}/log")]
        assert b"second line" in await client.tail("/log", keep=100, is_stored=True)
        far.faults = [answer(302, None, Location=f"{store}/log")]
        with pytest.raises(Rejected):
            await client.tail("/log", keep=100)
    assert [headers.get("authorization") for _, _, headers in other.seen] == [None]
