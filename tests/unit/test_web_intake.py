"""`POST /v1/alerts/<sender>`: a 200 means stored; hostile requests are never a 5xx, strangers leave nothing behind."""

import asyncio
import base64
import gzip
import hmac
import io
import json

import aiohttp
import pytest

from bot.engine.drainer import Drainer
from bot.errors import Reason, Unavailable
from bot.metrics import REGISTRY
from connectors.alerts.alertmanager import Settings, Source
from connectors.ci.github.hooks import GitHubHooks
from tests.served import BEARER, LIMIT, TOKEN, Served, serve
from tests.worldkit import alert, body, make_world, quiet  # noqa: F401 -- `quiet` is a fixture


@pytest.fixture
async def served(tmp_path):
    async with serve(make_world(tmp_path)) as served:
        yield served


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


async def raw(served: Served, request: bytes) -> bytes:
    """Send bytes as they are and return what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request)
    try:
        async with asyncio.timeout(5):
            await writer.drain()
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def head(*lines: str) -> bytes:
    first = ("POST /v1/alerts/alertmanager HTTP/1.1", "Host: 127.0.0.1", "Connection: close")
    return "\r\n".join((*first, *lines, "", "")).encode("latin-1")


AUTHORISED = f"Authorization: Bearer {TOKEN}"


class TestStored:
    @pytest.mark.parametrize("headers", [BEARER, {"Authorization": f"bearer  {TOKEN} "}, basic("am:pass")])
    async def test_an_authenticated_delivery_is_stored_as_it_came(self, served, headers):
        delivery = body(alert())
        async with served.client.post("/v1/alerts/alertmanager", data=delivery, headers=headers) as response:
            assert response.status == 200
            assert await response.json() == {"stored": 1}
        assert await served.stored() == [delivery]

    async def test_it_is_answered_only_once_it_is_on_disk(self, tmp_path):
        class Slow:
            def __init__(self) -> None:
                self.go = asyncio.Event()

            async def keep(self, source, content):
                await self.go.wait()
                return 7

        box = Slow()
        async with serve(make_world(tmp_path), box=box) as served:
            asking = asyncio.create_task(served.post(b"{}", headers=BEARER))
            await asyncio.sleep(0.02)
            assert not asking.done()
            box.go.set()
            assert await asking == 200

    async def test_it_is_measured(self, served):
        before = REGISTRY.get_sample_value("nightshift_webhook_seconds_count") or 0
        await served.post(b"{}", headers=BEARER)
        assert REGISTRY.get_sample_value("nightshift_webhook_seconds_count") == before + 1

    async def test_large_deliveries_up_to_the_limit_are_taken(self, served):
        assert await served.post(b" " * LIMIT, headers=BEARER) == 200


class TestStrangers:
    async def test_are_refused_and_leave_nothing_behind(self, served):
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Basic !!!!"},
            {"Authorization": "Negotiate abc"},
            basic("am:wrong"),
            basic(f"am:{TOKEN}"),
            basic("am"),
            {"X-Authorization": f"Bearer {TOKEN}"},
        ):
            async with served.client.post("/v1/alerts/alertmanager", data=body(alert()), headers=headers) as response:
                assert response.status == 401, headers
                assert response.headers["WWW-Authenticate"]
                assert TOKEN not in await response.text()
        assert not await served.stored()

    async def test_are_counted(self, served):
        labels = {"source": "alertmanager", "result": "unauthorised"}
        before = REGISTRY.get_sample_value("nightshift_alert_deliveries_total", labels) or 0
        await served.post(b"x")
        assert REGISTRY.get_sample_value("nightshift_alert_deliveries_total", labels) == before + 1

    async def test_are_refused_before_their_body_is_read(self, served):
        answer = await raw(served, head("Content-Length: 999999999"))
        assert answer.startswith(b"HTTP/1.1 401")

    async def test_bytes_that_are_no_text_in_a_header_are_refused(self, served):
        answer = await raw(served, head("Authorization: Bearer \xff\xfe", "Content-Length: 0"))
        assert answer.startswith(b"HTTP/1.1 401")

    async def test_an_unknown_sender_is_named_and_the_known_ones_too(self, served):
        async with served.client.post("/v1/alerts/nagios", data=b"x", headers=BEARER) as response:
            assert response.status == 404
            assert await response.text() == 'No sender "nagios". Known: alertmanager.\n'

    async def test_another_host_name_is_refused(self, served):
        assert await served.post(b"{}", headers={**BEARER, "Host": "evil.example"}) == 421

    async def test_another_method_is_refused(self, served):
        async with served.client.get("/v1/alerts/alertmanager", headers=BEARER) as response:
            assert response.status == 405


class TestSignedBodies:
    """A sender that signs its bodies is known only once the whole body is read."""

    @pytest.fixture
    async def served(self, tmp_path):
        async with serve(make_world(tmp_path), more={"github": GitHubHooks("hush", lambda _: None)}) as served:
            yield served

    async def post(self, served: Served, content: bytes, signed: bytes) -> int:
        signature = "sha256=" + hmac.new(b"hush", signed, "sha256").hexdigest()
        return await served.post(content, path="/v1/alerts/github", headers={"X-Hub-Signature-256": signature})

    async def test_what_its_signature_covers_is_stored(self, served):
        assert await self.post(served, b"{}", b"{}") == 200
        assert await served.stored() == [b"{}"]

    async def test_anything_else_leaves_nothing_behind(self, served):
        for content in (b"", b"{ }", b"x" * LIMIT, b"x" * (LIMIT + 1), b"x" * (LIMIT * 3)):
            assert await self.post(served, content, b"{}") == 401
        assert not await served.stored()

    async def test_a_signature_of_no_form_is_refused_before_the_body_is_read(self, served):
        lines = ("POST /v1/alerts/github HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 999999999")
        request = "\r\n".join((*lines, "X-Hub-Signature-256: none", "", "")).encode()
        assert (await raw(served, request)).startswith(b"HTTP/1.1 401")


class TestHostileRequests:
    async def test_a_body_that_says_it_is_too_large_is_refused_and_its_beginning_kept(self, served):
        assert await served.post(b"x" * (LIMIT + 1), headers=BEARER) == 413
        (kept,) = await served.stored()
        assert set(kept) == {ord("x")}
        assert len(kept) <= LIMIT

    async def test_so_is_one_that_never_says_how_large_it_is(self, served):
        async def endless():
            for _ in range(LIMIT // 1024 + 8):
                yield b"y" * 1024

        async with served.client.post("/v1/alerts/alertmanager", data=endless(), headers=BEARER) as response:
            assert response.status == 413
        assert len(await served.stored()) == 1

    async def test_a_small_body_that_unpacks_to_a_huge_one_is_too_large(self, served):
        bomb = gzip.compress(b"0" * (LIMIT * 50))
        assert len(bomb) < LIMIT
        assert await served.post(bomb, headers={**BEARER, "Content-Encoding": "gzip"}) == 413

    async def test_a_broken_request_is_never_a_5xx(self, served):
        for request in (
            head(AUTHORISED, "Content-Encoding: gzip", "Content-Length: 4") + b"junk",
            head(AUTHORISED, "Transfer-Encoding: chunked") + b"zz\r\nnonsense\r\n",
            head(AUTHORISED, "Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n",
            head(AUTHORISED, "Content-Length: -1"),
            head(AUTHORISED, "Content-Length: 5", "Content-Length: 6") + b"hello",
            head(AUTHORISED, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            head(AUTHORISED, "X: " + "a" * 100_000, "Content-Length: 0"),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"POST /v1/alerts/%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"POST /v1/alerts/../alerts/alertmanager HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            b"POST /v1/alerts/alertmanager HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\nConnection: close\r\n\r\n",
        ):
            answer = await raw(served, request)
            assert not answer or answer.split()[1].startswith(b"4"), (request[:200], answer)
            assert b"Traceback" not in answer
            assert await served.post(b"{}", headers=BEARER) == 200, "the next one is served"

    async def test_a_sender_that_hangs_up_half_way_leaves_nothing_behind(self, served):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head(AUTHORISED, "Content-Length: 1000") + b"half")
        await writer.drain()
        writer.close()
        await reader.read()
        assert await served.post(b"{}", headers=BEARER) == 200
        assert await served.stored() == [b"{}"]


JUNK = [
    b"",
    b"junk",
    b"null",
    b"[]",
    b'"alerts"',
    b"{}",
    b'{"alerts": []}',
    b'{"alerts": null}',
    b'{"alerts": [{}]}',
    b'{"alerts": [null]}',
    b'{"alerts": [{"status": "burning", "labels": {}, "startsAt": "2026-03-04T03:10:05Z"}]}',
    b'{"alerts": [{"status": "firing", "labels": {"a": 1}, "startsAt": "2026-03-04T03:10:05Z"}]}',
    b'{"alerts": [{"status": "firing", "labels": {}, "startsAt": "yesterday"}]}',
    b'{"alerts": NaN}',
    b'{"truncatedAlerts": ' + b"9" * 5000 + b"}",
    b'{"a":' * 5000,
    b"[" * 20_000,
    b"\xff\xfe\x00{",
    b"\xef\xbb\xbf{}",
    b'{"alerts": [{"labels": {"a": "\\ud800"}}]}',
    gzip.compress(b"{}"),
]


async def test_authenticated_junk_is_stored_and_each_becomes_a_dead_letter(served):
    for junk in JUNK:
        assert await served.post(junk, headers=BEARER) == 200
    sources = {"alertmanager": Source(Settings())}
    drainer = Drainer(served.inbox, served.world.store, sources, served.world.rules, sweep=60)
    while await drainer.drain():
        pass
    letters = await served.inbox.dead_letters()
    assert [letter.body for letter in reversed(letters)] == JUNK
    assert all(letter.error for letter in letters)
    assert [item.id for item in served.world.incidents()] == ["INC-1"]
    assert served.world.texts("paged") == ["Paged Ada Lovelace"]


async def test_the_last_of_equal_keys_counts(served):
    twice = body(alert()).replace(b'"groupKey"', b'"groupKey": "first", "groupKey"')
    group = Source(Settings()).parse(twice)
    assert group.group_key == json.loads(twice)["groupKey"]


class TestOverload:
    @pytest.mark.parametrize(("hint", "header"), [(5.0, "5"), (None, "5"), (0.2, "0")])
    async def test_what_cannot_be_stored_is_a_503_so_that_the_sender_tries_again(self, tmp_path, hint, header):
        class Full:
            async def keep(self, source, content):
                raise Unavailable("disk is full", Reason.OVERLOADED, hint)

        async with (
            serve(make_world(tmp_path), box=Full()) as served,
            served.client.post("/v1/alerts/alertmanager", data=b"{}", headers=BEARER) as response,
        ):
            assert response.status == 503
            assert int(response.headers["Retry-After"]) in {int(header), 1}

    async def test_an_inbox_that_was_closed_is_a_503(self, served):
        served.inbox.close()
        assert await served.post(b"{}", headers=BEARER) == 503


class TestTheRestOfTheServer:
    async def test_health_and_readiness(self, served):
        for path in ("/healthz", "/readyz"):
            async with served.client.get(path) as response:
                assert response.status == 200
        served.trouble = "The store did not answer"
        async with served.client.get("/readyz") as response:
            assert (response.status, await response.text()) == (503, "The store did not answer\n")

    async def test_metrics_are_in_the_format_of_prometheus(self, served):
        async with served.client.get("/metrics") as response:
            assert response.status == 200
            assert "nightshift_webhook_seconds_bucket" in await response.text()

    async def test_chat_webhooks_are_bounded_and_their_mistakes_stay_inside(self, served):
        for content, status in (
            (b"hello", 202),
            (b"x" * 3_000_000, 202),
            (b"x" * (4 * 1024 * 1024 + 1), 413),
            (b"crash", 500),
        ):
            async with served.client.post("/v1/chat/test", data=io.BytesIO(content)) as response:
                assert response.status == status
                assert "ZeroDivisionError" not in await response.text()


async def test_many_senders_at_once_are_all_stored(served):
    async def send(number: int) -> int:
        return await served.post(b"%d" % number, headers=BEARER)

    assert set(await asyncio.gather(*(send(n) for n in range(100)))) == {200}
    assert sorted(map(int, await served.stored())) == list(range(100))


async def test_the_client_library_agrees_about_the_limit(served):
    """A sender that waits for the answer before it sends the body is served too."""
    async with served.client.post(
        "/v1/alerts/alertmanager", data=b"{}", headers=BEARER, expect100=True, timeout=aiohttp.ClientTimeout(total=5)
    ) as response:
        assert response.status == 200
