"""GitHub's webhooks: who sent them, which commits they are about, and which workflow is red on the default branch."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from bot.domain.alert import AlertStatus
from bot.domain.playbook import choose_playbook, parse_playbook
from bot.errors import Reason, Refused
from bot.ports.http import WebRequest
from connectors.ci.github.hooks import GitHubHooks
from tests.contract.github_world import open_world
from tests.forge.server import serve

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "github"
PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks" / "ci-failure.md"
SECRET = "it is a secret"
SHA = "3484a3fb816e0859fd6e1cea078d76385ff50625"


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def request_of(body: bytes, signature: str | None = None, *, is_whole: bool = True) -> WebRequest:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return WebRequest(method="POST", path="/v1/alerts/github", headers=headers, body=body, is_whole=is_whole)


def completed(conclusion: str = "failure", repository: dict[str, Any] | None = None, **changes: object) -> bytes:
    place = {"full_name": "octo/shop", "default_branch": "main", **(repository or {})}
    run = {
        "id": 289782451,
        "name": "CI",
        "head_branch": "main",
        "head_sha": SHA,
        "event": "push",
        "status": "completed",
        "conclusion": conclusion,
        "display_title": "Round half up",
        "html_url": "https://github.com/octo/shop/actions/runs/289782451",
        "run_started_at": "2026-11-20T12:00:00Z",
        "updated_at": "2026-11-20T12:05:00Z",
        "head_repository": {"full_name": "octo/shop"},
        **changes,
    }
    return json.dumps({"action": "completed", "workflow_run": run, "repository": place}).encode()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def hooks(told: list[str]) -> GitHubHooks:
    return GitHubHooks(SECRET, told.extend)


# Who sent it ---------------------------------------------------------------------------------------------------------
def test_github_s_own_example_of_a_signature_is_known():
    body, shown = b"Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    GitHubHooks("It's a Secret to Everybody", print).verify(request_of(body, shown))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda _: "",
        lambda right: right.upper(),
        lambda right: right.removeprefix("sha256="),
        lambda right: right.replace("sha256", "sha1"),
        lambda right: right[:-1],
        lambda right: right + "0",
        lambda right: right + "\n",
        lambda right: f" {right}",
        lambda right: f"{right},{right}",
        lambda right: right[:-1] + "é",
        lambda _: sign(b"another body"),
        lambda _: sign(b"{}", "another secret"),
        lambda _: sign(b"{}", ""),
    ],
)
def test_anybody_else_is_refused(hooks: GitHubHooks, spoil: Callable[[str], str | None]):
    with pytest.raises(Refused) as caught:
        hooks.verify(request_of(b"{}", spoil(sign(b"{}"))))
    assert caught.value.reason is Reason.BAD_SIGNATURE
    assert sign(b"{}")[10:] not in str(caught.value)


def test_before_the_body_is_read_only_the_form_can_be_looked_at(hooks: GitHubHooks):
    hooks.verify(request_of(b"", "sha256=" + "0" * 64, is_whole=False))
    with pytest.raises(Refused):
        hooks.verify(request_of(b"", "Bearer x", is_whole=False))
    with pytest.raises(Refused):
        hooks.verify(request_of(b"", "sha256=" + "0" * 64))


# What it says --------------------------------------------------------------------------------------------------------
def test_a_red_run_on_the_default_branch_is_an_alert(hooks: GitHubHooks, told: list[str]):
    group = hooks.parse(completed())
    (alert,) = group.alerts
    assert (group.source, group.group_key, group.commits) == ("github", "octo/shop@main", (SHA,))
    assert told == [SHA]
    assert alert.status is AlertStatus.FIRING
    assert alert.labels == {
        "alertname": "CIFailed",
        "repository": "octo/shop",
        "branch": "main",
        "workflow": "CI",
        "sha": SHA,
    }
    assert alert.summary == "CI failed on main of octo/shop"
    assert alert.annotations["description"] == "Round half up"
    assert (alert.starts_at, alert.ends_at) == (datetime(2026, 11, 20, 12, 0, tzinfo=UTC), None)
    assert alert.source_url == "https://github.com/octo/shop/actions/runs/289782451"


def test_the_playbook_for_red_checks_is_meant_for_it(hooks: GitHubHooks):
    playbook = parse_playbook(PLAYBOOK.read_text(encoding="utf-8"))
    (alert,) = hooks.parse(completed()).alerts
    assert choose_playbook([playbook], alert.labels) is playbook


def test_the_next_green_run_of_the_same_workflow_resolves_it(hooks: GitHubHooks):
    red, green = (hooks.parse(body).alerts[0] for body in (completed(), completed("success", head_sha="a" * 40)))
    assert green.status is AlertStatus.RESOLVED
    assert green.ends_at == datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
    assert red.fingerprint == green.fingerprint
    there = {"full_name": "octo/x"}
    others = [completed(name="Nightly"), completed(repository=there, head_repository=there)]
    assert red.fingerprint not in {hooks.parse(body).alerts[0].fingerprint for body in others}


@pytest.mark.parametrize(
    "changes",
    [
        {"conclusion": "cancelled"},
        {"conclusion": "skipped"},
        {"conclusion": "action_required"},
        {"conclusion": None},
        {"conclusion": ["failure"]},
        {"head_branch": "feature"},
        {"head_branch": None},
        {"head_branch": "nightshift/INC-1/0123456789ab"},
        {"head_branch": "nightshift/x", "repository": {"default_branch": "nightshift/x"}},
        {"event": "pull_request"},
        {"event": "pull_request_target"},
        {"head_repository": {"full_name": "eve/shop"}},
        {"head_repository": None},
        {"repository": {"full_name": ""}},
        {"repository": {"full_name": 7}},
    ],
    ids=str,
)
def test_nothing_else_fires_but_is_still_news_of_its_commit(hooks: GitHubHooks, changes: dict[str, Any]):
    group = hooks.parse(completed(**changes))
    assert group.alerts == ()
    assert group.commits == (SHA,)


def test_a_run_that_only_begins_is_news_but_no_alert(hooks: GitHubHooks):
    group = hooks.parse(completed().replace(b'"action": "completed"', b'"action": "requested"'))
    assert (group.alerts, group.commits) == ((), (SHA,))


@pytest.mark.parametrize(
    ("event", "commits"),
    [
        ({"check_run": {"head_sha": SHA}}, (SHA,)),
        ({"check_suite": {"head_sha": SHA}}, (SHA,)),
        ({"workflow_job": {"head_sha": SHA}}, (SHA,)),
        ({"pull_request": {"head": {"sha": SHA}}}, (SHA,)),
        ({"state": "success", "context": "jenkins", "sha": SHA}, (SHA,)),
        ({"zen": "Speak like a human.", "hook_id": 1}, ()),
        ({"sha": SHA}, ()),
        ({"check_run": {"head_sha": "main"}}, ()),
        ({"check_run": [SHA], "workflow_run": 5, "repository": None}, ()),
        ({}, ()),
    ],
)
def test_an_event_names_the_commits_that_it_is_about(hooks: GitHubHooks, event: dict[str, Any], commits: tuple[str]):
    group = hooks.parse(json.dumps(event).encode())
    assert (group.commits, group.alerts) == (commits, ())


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no object"),
        (b"[" * 100_000, "not JSON"),
        (b"payload=%7B%7D", "content type application/json"),
        (completed(run_started_at="yesterday"), "workflow_run.run_started_at"),
        (completed("success", updated_at="2026-11-20T12:05:00"), "workflow_run.updated_at"),
    ],
    ids=["empty", "bytes", "list", "deep", "form", "time", "time without zone"],
)
def test_what_cannot_be_read_is_refused_with_its_place(hooks: GitHubHooks, body: bytes, place: str):
    with pytest.raises(Refused, match=place) as caught:
        hooks.parse(body)
    assert caught.value.reason is Reason.BAD_INPUT


def test_hostile_names_are_one_plain_line(hooks: GitHubHooks):
    text = "a\x1b[2J\u202e\nb" + "x" * 10_000
    (alert,) = hooks.parse(completed(name=text, display_title=text, html_url="javascript:alert(1)")).alerts
    for shown in (alert.labels["workflow"], alert.summary, alert.annotations["description"]):
        assert shown.isprintable()
        assert len(shown) <= 400
    assert alert.source_url == ""


def test_a_wrong_byte_is_read_or_refused(hooks: GitHubHooks):
    chance, whole = Random(6), completed()
    read = 0
    for _ in range(500):
        changed = bytearray(whole)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            read += bool(hooks.parse(bytes(changed)).commits)
        except Refused:
            continue
    assert read > 100


# Against GitHub's own payloads ---------------------------------------------------------------------------------------
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_every_sample_is_read(hooks: GitHubHooks):
    with_commits = {"workflow_run", "workflow_job", "check_run", "check_suite", "status", "pull_request"}
    seen = 0
    for path in sorted(SAMPLES.rglob("*.json")):
        group = hooks.parse(path.read_bytes())
        assert group.commits or path.relative_to(SAMPLES).parts[0] not in with_commits, path
        seen += 1
    assert seen > 40


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_a_finished_sample_that_failed_on_the_default_branch_fires(hooks: GitHubHooks):
    event = json.loads((SAMPLES / "workflow_run" / "completed.payload.json").read_bytes())
    event["workflow_run"].update(conclusion="failure", head_branch=event["repository"]["default_branch"], event="push")
    (alert,) = hooks.parse(json.dumps(event).encode()).alerts
    assert alert.status is AlertStatus.FIRING
    assert alert.labels["repository"] == event["repository"]["full_name"]


# Sent by the forge ---------------------------------------------------------------------------------------------------
@asynccontextmanager
async def listen(hooks: GitHubHooks, taken: list[bytes]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        hooks.verify(WebRequest(method="POST", path=request.path, headers=headers, body=body))
        taken.append(body)
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/alerts/github", take)
    async with serve(app) as address:
        yield f"{address}/v1/alerts/github"


async def test_what_the_forge_sends_is_signed_and_says_the_same_when_it_is_sent_twice(
    hooks: GitHubHooks, tmp_path: Path
):
    taken: list[bytes] = []
    async with open_world(tmp_path) as world, listen(hooks, taken) as url:
        world.forge.hook_url, world.forge.hook_secret = url, SECRET
        world.shop.origin.commit("break it", {"outcome": "fail"})
        world.forge.notice_pushes()
        sha = world.shop.head("main")
        async with asyncio.timeout(10):
            while not (fired := [body for body in taken if hooks.parse(body).alerts]):
                await asyncio.sleep(0.02)
            sent = len(taken)
            world.forge.redeliver()
            while len(taken) < 2 * sent:
                await asyncio.sleep(0.02)
        groups = [hooks.parse(body) for body in taken if hooks.parse(body).alerts]
        assert len(groups) == 2
        assert groups[0] == groups[1] == hooks.parse(fired[0])
        assert groups[0].commits == (sha,)
        assert all(sha in hooks.parse(body).commits for body in taken if b'"workflow_run"' in body)
