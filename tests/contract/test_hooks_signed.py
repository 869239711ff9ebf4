"""`connectors.hooks.signed` against a real server: what arrives, who can prove it, and how refusals are read."""

import hashlib
import hmac

import pytest
from aiohttp import web
from pydantic import ValidationError

from bot.errors import Rejected, Unavailable
from connectors.hooks.signed import Connector, Settings, sign
from tests.worldkit import FixedClock

SECRET = "a-secret-of-some-length"
BODY = '{"state":"größe"}'.encode()


@pytest.fixture
async def receiver():
    """An address that keeps what it is told, and answers what it is told to answer."""
    app, got, answers = web.Application(), [], []

    async def receive(request):
        got.append((dict(request.headers), await request.read()))
        return answers.pop(0) if answers else web.Response(status=204)

    app.router.add_post("/told", receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield {"got": got, "answers": answers, "url": f"http://127.0.0.1:{runner.addresses[0][1]}/told"}
    await runner.cleanup()


@pytest.fixture
async def hook(receiver):
    made = Connector(Settings(url=receiver["url"], secret=SECRET), FixedClock())
    yield made
    await made.close()


async def test_what_arrives_is_the_body_with_its_id_its_time_and_a_signature_that_anyone_can_check(hook, receiver):
    await hook.tell("hook:a:INC-1:1:7", BODY)
    headers, body = receiver["got"][0]
    assert (body, headers["X-Nightshift-Delivery"]) == (BODY, "hook:a:INC-1:1:7")
    stamp = headers["X-Nightshift-Timestamp"]
    assert stamp == str(int(FixedClock().now().timestamp()))
    wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert headers["X-Nightshift-Signature"] == f"v1={wanted}"


def test_every_part_is_covered_by_the_signature():
    right = sign(b"k", "1", b"x")
    assert len({right, sign(b"l", "1", b"x"), sign(b"k", "2", b"x"), sign(b"k", "1", b"y")}) == 4


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_what_may_pass_is_told_again(hook, receiver, status):
    receiver["answers"].append(web.Response(status=status, headers={"Retry-After": "7"}))
    with pytest.raises(Unavailable) as caught:
        await hook.tell("e", BODY)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410])
async def test_a_refusal_or_another_address_is_final(hook, receiver, status):
    receiver["answers"].append(web.Response(status=status, headers={"Location": receiver["url"]}))
    with pytest.raises(Rejected):
        await hook.tell("e", BODY)
    assert len(receiver["got"]) == 1


async def test_nobody_there_is_told_again():
    hook = Connector(Settings(url="http://127.0.0.1:9/", secret=SECRET))
    with pytest.raises(Unavailable):
        await hook.tell("e", BODY)
    await hook.close()


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "http://u:p@x", "http://x/#y", "http://x/ y"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValidationError):
        Settings(url=url, secret=SECRET)


def test_a_short_secret_is_refused():
    with pytest.raises(ValidationError):
        Settings(url="http://x", secret="short")
