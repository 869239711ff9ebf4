"""The client of GitHub's REST surface: what it sends where, hostile answers, limits, and who it says it is."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from bot.domain.ci import CIState
from bot.errors import ConfigError, NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.github import Connector, Settings
from connectors.ci.github.text import read_repository_name
from tests.contract.github_world import DESCRIPTION, NAME, GitHubWorld, open_world
from tests.forge.actions import FAILING
from tests.forge.clock import Clock
from tests.forge.faults import Answer
from tests.forge.github_app import AppDesk
from tests.forge.openapi import Description
from tests.forge.server import serve, serve_forge

RUNS = ".*/actions/runs"
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
SHA = "3484a3fb816e0859fd6e1cea078d76385ff50625"


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    async with open_world(tmp_path) as world:
        yield world


async def ask(connector: Connector) -> NightshiftError:
    """Return what a question about a commit is answered with, where that is an error."""
    with pytest.raises((Unavailable, Rejected)) as caught:
        await connector.ci.status(SHA)
    assert TOKEN not in str(caught.value)
    return caught.value


# Hostile answers -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        "<html><script>alert(1)</script>",
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"workflow_runs": 7}',
        '{"workflow_runs": {"a": 1}}',
        '{"workflow_runs": [',
        "[" * 200_000,
        b"\xff\xfe",
    ],
    ids=lambda body: str(body)[:20],
)
async def test_what_is_no_listing_is_no_verdict(github: GitHubWorld, body: str | bytes):
    github.forge.faults.answers.append(Answer(status=200, body=body, path=RUNS))
    assert isinstance(await ask(github.connect()), Unavailable)


async def test_an_answer_without_end_is_given_up(github: GitHubWorld):
    github.forge.faults.answers.append(Answer(status=200, body=b" " * (17 * 1024 * 1024), path=RUNS))
    error = await ask(github.connect())
    assert (type(error), error.reason) == (Rejected, Reason.TOO_LARGE)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 7},
        {"status": None},
        {"status": "done"},
        {"conclusion": None},
        {"conclusion": ["success"]},
        {"conclusion": "brilliant"},
        {"conclusion": True},
        {"id": "../../x"},
        {"id": -1},
    ],
    ids=str,
)
async def test_a_run_of_wrong_types_is_never_green(github: GitHubWorld, changes: Mapping[str, Any]):
    request = github.commit("pass")
    github.forge.clock.advance(1)
    run = {"id": 1, "head_sha": request.sha, "status": "completed", "conclusion": "failure", **changes}
    body = json.dumps({"total_count": 2, "workflow_runs": [run, "text", None, {"head_sha": "a" * 40}]})
    github.forge.faults.answers.append(Answer(status=200, body=body, path=RUNS, times=9))
    github.forge.faults.answers.append(Answer(status=404, path=".*/jobs", times=9))
    try:
        run = await github.connect().ci.start(request)
    except Rejected:
        return
    assert run.state is not CIState.PASSED


async def test_a_log_is_bounded_and_plain(tmp_path: Path):
    log = "x" * 3_000_000 + "\x1b[31mred\x1b[0m \u202eexpected 2\r\n"
    async with open_world(tmp_path, plan=lambda *_: [replace(FAILING, log=log)]) as world:
        request, provider = world.commit("x"), world.connect().ci
        world.forge.clock.advance(1)
        run = await provider.start(request)
        assert run.log_tail.endswith("red expected 2\n")
        assert len(run.log_tail) <= 2000
        assert len(await provider.log(request.sha)) < 270_000


async def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path):
    log = "".join(f"line {number:05} of the log\n" for number in range(9_000))
    async with open_world(tmp_path, plan=lambda *_: [replace(FAILING, log=log)]) as world:
        request, provider = world.commit("x"), world.connect().ci
        world.forge.clock.advance(1)
        await provider.start(request)
        _, *lines = (await provider.log(request.sha)).splitlines()
        assert len(lines) > 2_000
        assert {len(line) for line in lines if line} == {len("line 00000 of the log")}


# The token stays here ------------------------------------------------------------------------------------------------
async def test_the_log_store_is_not_shown_the_token(github: GitHubWorld):
    request, provider = github.commit("fail"), github.connect().ci
    github.forge.clock.advance(1)
    assert "expected 2" in (await provider.start(request)).log_tail
    assert github.forge.store_asked == [""]


@pytest.mark.parametrize("way", ["redirect", "next page"])
async def test_nobody_else_is_shown_the_token(github: GitHubWorld, way: str):
    shown: list[str] = []

    async def take(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization", ""))
        return web.json_response({"workflow_runs": []})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", take)
    async with serve(app) as elsewhere:
        link = {"Link": f'<{elsewhere}/x>; rel="next"'}
        answer = (
            Answer(status=302, headers={"Location": f"{elsewhere}/x"}, path=RUNS)
            if way == "redirect"
            else Answer(status=200, body='{"workflow_runs": []}', headers=link, path=RUNS)
        )
        github.forge.faults.answers.append(answer)
        assert "sends us elsewhere" in str(await ask(github.connect()))
    assert shown == []


async def test_an_order_is_never_redirected(github: GitHubWorld):
    headers = {"Location": f"{github.forge.api_url}/x"}
    github.forge.faults.answers.append(Answer(status=307, headers=headers, method="POST", path=".*"))
    with pytest.raises(Rejected, match="moved that repository"):
        await github.connect().forge.propose(github.propose(github.commit("pass")))


async def test_redirects_and_pages_in_circles_end(github: GitHubWorld):
    here = f"{github.forge.api_url}/repos/{NAME}/actions/runs"
    github.forge.faults.answers.append(Answer(status=301, headers={"Location": here}, path=RUNS, times=99))
    assert "circles" in str(await ask(github.connect()))
    link = {"Link": f'<{here}>; rel="next"'}
    body = '{"workflow_runs": []}'
    github.forge.faults.answers = [Answer(status=200, body=body, headers=link, path=RUNS, times=99)]
    assert "more than 10 pages" in str(await ask(github.connect()))


async def test_a_log_store_in_circles_ends(github: GitHubWorld):
    request, provider = github.commit("fail"), github.connect().ci
    github.forge.clock.advance(1)
    place = f"{github.forge.api_url}/repos/{NAME}/actions/jobs/1/logs"
    github.forge.faults.answers.append(Answer(status=302, headers={"Location": place}, path=".*/logs", times=99))
    with pytest.raises(Unavailable, match="circles"):
        await provider.start(request)


@pytest.mark.parametrize("place", ["", "file:///etc/passwd", "//", "gopher://x", "http://[", "javascript:x"])
async def test_a_log_store_of_no_address_is_not_asked(github: GitHubWorld, place: str):
    request, provider = github.commit("fail"), github.connect().ci
    github.forge.clock.advance(1)
    github.forge.faults.answers.append(Answer(status=302, headers={"Location": place}, path=".*/logs"))
    with pytest.raises(Unavailable, match="no log store"):
        await provider.start(request)


# Limits --------------------------------------------------------------------------------------------------------------
async def test_what_has_not_changed_costs_no_rate_limit(github: GitHubWorld):
    request, connector = github.commit("slow"), github.connect()
    await connector.ci.start(request)
    github.forge.clock.advance(1)
    await connector.ci.status(request.sha)
    before = github.forge.faults.quota
    for _ in range(5):
        await connector.ci.status(request.sha)
    assert github.forge.faults.quota == before
    assert connector.client.remaining == before
    assert connector.client.unchanged >= 15


async def test_with_the_rate_limit_used_up_no_call_leaves_before_its_end(github: GitHubWorld):
    connector = github.connect()
    github.forge.faults.quota = 0
    error = await ask(connector)
    assert error.reason is Reason.RATE_LIMITED
    assert isinstance(error, Unavailable)
    assert 50 < (error.retry_after or 0) <= 61
    calls = connector.client.calls
    assert (await ask(connector)).reason is Reason.RATE_LIMITED
    assert connector.client.calls == calls
    github.now += 62
    github.forge.faults.quota = 100
    assert await connector.ci.status(SHA) is None


@pytest.mark.parametrize(
    ("status", "headers", "said", "wait"),
    [
        (403, {"Retry-After": "30"}, "You have exceeded a secondary rate limit", 30),
        (403, {}, "You have exceeded a secondary rate limit. Please wait", 60),
        (429, {}, "", 60),
        (429, {"Retry-After": "999999999"}, "", 3600),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999999"}, "", 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, "", 1),
    ],
)
async def test_a_secondary_limit_is_obeyed(
    github: GitHubWorld, *, status: int, headers: Mapping[str, str], said: str, wait: float
):
    body = json.dumps({"message": said})
    github.forge.faults.answers.append(Answer(status=status, body=body, headers=headers, path=RUNS))
    error = await ask(github.connect())
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, wait)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, Rejected, Reason.REVOKED),
        (403, Rejected, Reason.NOT_ALLOWED),
        (404, Rejected, Reason.NOT_FOUND),
        (422, Rejected, Reason.BAD_INPUT),
        (500, Unavailable, Reason.SERVER_ERROR),
        (503, Unavailable, Reason.SERVER_ERROR),
        (0, Unavailable, Reason.SERVER_ERROR),
    ],
)
async def test_one_place_decides_whether_trying_again_helps(
    github: GitHubWorld, *, status: int, kind: type[NightshiftError], reason: Reason
):
    github.forge.faults.answers.append(Answer(status=status, body="<html>no</html>", path=RUNS, times=2))
    error = await ask(github.connect())
    assert (type(error), error.reason) == (kind, reason)


async def test_nobody_at_the_address_is_unreachable(github: GitHubWorld):
    assert (await ask(github.connect(url="http://127.0.0.1:9"))).reason is Reason.UNREACHABLE
    health = await github.connect(url="http://127.0.0.1:9").ci.check()
    assert not health.ok
    assert "octo/shop: GitHub cannot be reached" in health.text


async def test_every_call_goes_through_the_proxy(github: GitHubWorld):
    asked: list[str] = []

    async def forward(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.url.host} {request.path}")
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    async with serve(app) as proxy:
        connector = github.connect(url="http://api.github.test", proxy=proxy)
        assert (await connector.ci.check()).ok
    assert asked == [f"GET api.github.test /repos/{NAME}/actions/runs"]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_read_are_said(github: GitHubWorld, tmp_path: Path, content: str | None):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    error = await ask(github.connect(ca_file=str(file)))
    assert isinstance(error, Rejected)
    assert "ca_file" in str(error)


async def test_a_wrong_token_is_said_by_the_check(github: GitHubWorld):
    for part in (github.connect(token="ghp_wrong").ci, github.connect(token="ghp_wrong").forge):
        health = await part.check()
        assert not health.ok
        assert "NIGHTSHIFT_GITHUB_TOKEN" in health.text
        assert "ghp_wrong" not in health.text


# A GitHub App --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
async def app(tmp_path: Path, key: rsa.RSAPrivateKey) -> AsyncIterator[tuple[GitHubWorld, AppDesk]]:
    (tmp_path / "app.pem").write_bytes(pem(key))
    clock = Clock()
    desk = AppDesk(app_id="4711", installation_id=42, key=key.public_key(), clock=clock)
    description = Description.read(DESCRIPTION) if DESCRIPTION.is_file() else None
    async with serve_forge(tmp_path / "forge", clock=clock, desk=desk, description=description) as forge:
        shop = forge.host(NAME)
        shop.origin.commit("start", {"README.md": "shop\n"})
        settings = {"token": None, "app_id": 4711, "installation_id": 42}
        settings["app_private_key_file"] = str(tmp_path / "app.pem")
        world = GitHubWorld(forge=forge, shop=shop, settings=settings)
        yield world, desk
        for connector in world.opened:
            await connector.close()
        assert forge.spec_faults == []


async def test_an_app_gets_one_token_and_keeps_it(app: tuple[GitHubWorld, AppDesk]):
    world, desk = app
    connector = world.connect()
    assert (await connector.ci.check()).ok
    assert (await connector.forge.check()).ok
    assert len(desk.given) == 1
    (token,) = desk.given
    assert {asked.authorization for asked in world.forge.asked[1:]} == {f"Bearer {token}"}


async def test_an_app_s_token_is_renewed_before_it_ends(app: tuple[GitHubWorld, AppDesk]):
    world, desk = app
    desk.lifetime = 200.0  # less than is left when a token counts as old
    connector = world.connect()
    assert (await connector.ci.check()).ok
    assert (await connector.ci.check()).ok
    assert len(desk.given) == 2


async def test_a_token_that_github_took_back_is_replaced(app: tuple[GitHubWorld, AppDesk]):
    world, desk = app
    connector = world.connect()
    assert await connector.ci.status(SHA) is None
    desk.revoke()
    with pytest.raises(Unavailable, match="asked for a new one"):
        await connector.ci.status(SHA)
    assert await connector.ci.status(SHA) is None
    assert len(desk.given) == 2


async def test_an_app_that_github_does_not_know_is_refused(app: tuple[GitHubWorld, AppDesk]):
    world, _ = app
    for changes in ({"app_id": "12"}, {"installation_id": 43}):
        health = await world.connect(**changes).ci.check()
        assert not health.ok


@pytest.mark.parametrize(
    "body", ["{}", "[]", '{"token": "a\\nb", "expires_at": "2030-01-01T00:00:00Z"}', '{"token": 1}']
)
async def test_what_is_no_token_is_not_used(app: tuple[GitHubWorld, AppDesk], body: str):
    world, _ = app
    world.forge.faults.answers.append(Answer(status=201, body=body, path=".*/access_tokens"))
    with pytest.raises(Unavailable, match="without a token"):
        await world.connect().ci.status(SHA)


def test_a_key_that_cannot_be_used_is_a_problem_of_the_configuration(tmp_path: Path):
    file = tmp_path / "app.pem"
    settings = {"app_id": "1", "installation_id": 1, "app_private_key_file": str(file)}
    for content, words in (
        (None, "cannot be read"),
        (b"secret text", "is no private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
    ):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match=words) as caught:
            Connector(Settings.model_validate(settings), [])
        assert "secret" not in str(caught.value)


# Settings and addresses ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "set token"),
        ({"token": ""}, "set token"),
        ({"token": "x", "app_id": "1"}, "not both"),
        ({"app_id": "1"}, "needs installation_id and app_private_key_file too"),
        ({"token": "a b"}, "letters, digits and signs"),
        ({"token": "x\n"}, "letters, digits and signs"),
        ({"token": "x", "url": "api.github.com"}, "address"),
        ({"token": "x", "url": "https://user@host"}, "address"),
        ({"token": "x", "url": "ftp://host"}, "address"),
        ({"token": "x", "poll_seconds": -1}, "greater than or equal"),
        ({"token": "x", "tokn": "y"}, "Extra inputs"),
        ({"token": "x", "merge_method": "force"}, "merge"),
    ],
)
def test_settings_that_cannot_work_say_what_to_write(values: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate(values)


def test_secrets_do_not_show_in_settings():
    settings = Settings.model_validate({"token": TOKEN, "webhook_secret": "hush-hush"})
    assert TOKEN not in repr(settings)
    assert "hush-hush" not in repr(settings)


async def test_without_a_webhook_secret_there_are_no_hooks():
    assert Connector(Settings.model_validate({"token": "x"}), []).hooks is None
    assert Connector(Settings.model_validate({"token": "x", "webhook_secret": "y"}), []).hooks is not None


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/octo/shop",
        "https://github.com/octo/shop.git",
        "https://HOST:8443/octo/shop/",
        "ssh://git@github.com/octo/shop.git",
        "git@github.com:octo/shop.git",
    ],
)
def test_a_repository_is_named_by_its_address(address: str):
    assert read_repository_name(address) == NAME


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/srv/shop.git",
        "https://github.com/octo",
        "https://github.com/a/b/c",
        "https://host/../x",
        "https://host/a/..",
        "file:///a/b",
        "git@host:a/b:c",
        "https://host/a%2Fb/c",
        "ext::sh -c id",
        "https://[/a/b",
    ],
)
def test_any_other_address_is_refused(address: str):
    with pytest.raises(Rejected):
        read_repository_name(address)
