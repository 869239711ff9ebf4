"""GitHub's webhooks twice, late and in every order, through the real intake, drainer and store."""

import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest

from bot.domain.incident import IncidentState
from bot.engine.drainer import Drainer
from connectors.ci.github.hooks import GitHubHooks
from tests.served import Served, serve
from tests.worldkit import NOW, World, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

SHA, FIXED = "a" * 40, "b" * 40
PLACE = {"full_name": "octo/shop", "default_branch": "main"}


def run(conclusion: str | None, *, attempt: int = 1, action: str = "completed", sha: str = SHA, **changes) -> bytes:
    """Return a delivery about a run; each attempt starts ten minutes after the one before."""
    started = NOW + timedelta(minutes=10 * attempt)
    told = {
        "id": 7,
        "name": "CI",
        "head_branch": "main",
        "head_sha": sha,
        "event": "push",
        "run_attempt": attempt,
        "conclusion": conclusion,
        "run_started_at": started.isoformat(),
        "updated_at": (started + timedelta(minutes=5)).isoformat(),
        "head_repository": {"full_name": "octo/shop"},
        **changes,
    }
    return json.dumps({"action": action, "workflow_run": told, "repository": PLACE}).encode()


def check(conclusion: str) -> bytes:
    told = {"id": 9, "name": "tests", "head_sha": SHA, "status": "completed", "conclusion": conclusion}
    return json.dumps({"action": "completed", "check_run": told, "repository": PLACE}).encode()


PUSH = json.dumps({"ref": "refs/heads/main", "after": SHA, "head_commit": {"id": SHA}, "repository": PLACE}).encode()
RED, GREEN_AGAIN = run("failure"), run("success", attempt=2)
FAILED_CHECK = check("failure")


class Sender:
    """Signs deliveries as GitHub does, sends them over HTTP, and lets the drainer take them in."""

    def __init__(self, world: World, served: Served, hooks: GitHubHooks, told: list[str]) -> None:
        self.world, self.told = world, told
        self._served = served
        sources = {"github": hooks}
        self._drainer = Drainer(served.inbox, world.store, sources, world.rules, sweep=60, on_commits=told.extend)

    async def send(self, *deliveries: bytes) -> None:
        """Send them one after the other; what is sent together is taken in together."""
        for body in deliveries:
            signature = "sha256=" + hmac.new(b"hush", body, "sha256").hexdigest()
            headers = {"X-Hub-Signature-256": signature}
            assert await self._served.post(body, path="/v1/alerts/github", headers=headers) == 200
        while await self._drainer.drain():
            pass

    def seen(self) -> list[tuple[str, IncidentState, int, int]]:
        return [(item.id, item.state, item.firing, item.round) for item in self.world.incidents()]

    def pages(self) -> int:
        return sum(len(self.world.texts("paged", item.id)) for item in self.world.incidents())


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[Sender]:
    world, told = make_world(tmp_path), []
    hooks = GitHubHooks("hush", lambda _: None)
    async with serve(world, more={"github": hooks}) as served:
        yield Sender(world, served, hooks, told)


async def test_every_delivery_twice_is_every_delivery_once(github: Sender):
    for body in (PUSH, run(None, action="requested"), FAILED_CHECK, RED):
        await github.send(body)
        await github.send(body, body)
    assert github.seen() == [("INC-1", IncidentState.TRIGGERED, 1, 1)]
    assert github.pages() == 1
    assert github.told.count(SHA) == 3 * 3, "every delivery but the push wakes who waits for its commit"
    for _ in range(2):
        await github.send(GREEN_AGAIN)
    assert github.seen() == [("INC-1", IncidentState.RESOLVED, 0, 1)]


@pytest.mark.parametrize("hours", [0.1, 1, 24 * 365])
async def test_a_delivery_sent_again_after_the_incident_is_over_opens_and_pages_nothing(github: Sender, hours: float):
    await github.send(RED)
    await github.send(GREEN_AGAIN)
    before, pages = github.seen(), github.pages()
    github.world.forward(hours=hours)
    await github.send(RED, PUSH, FAILED_CHECK, GREEN_AGAIN)
    await github.send(RED)
    assert github.seen() == before
    assert github.pages() == pages


async def test_so_it_is_when_a_person_closed_it(github: Sender):
    await github.send(RED)
    assert github.world.press("resolve:INC-1").ok
    github.world.forward(hours=1)
    await github.send(RED, RED)
    assert github.seen() == [("INC-1", IncidentState.RESOLVED, 1, 1)]


async def test_a_green_run_that_is_told_before_its_red_attempt_leaves_nothing_open(github: Sender):
    await github.send(GREEN_AGAIN)
    github.world.forward(minutes=45)
    await github.send(RED)
    assert github.seen() == []
    await github.send(run("failure", attempt=3))
    assert github.seen() == [("INC-1", IncidentState.TRIGGERED, 1, 1)], "the next failure is news"


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_whatever_their_order_the_newest_run_counts(github: Sender, order: tuple[int, ...], together: bool):
    news = [RED, GREEN_AGAIN, run("failure", attempt=3, sha=FIXED)]
    if together:
        await github.send(*(news[place] for place in order))
    else:
        for place in order:
            await github.send(news[place])
    (newest, *older) = github.world.incidents()
    assert older == []
    assert (newest.state, newest.firing) == (IncidentState.TRIGGERED, 1)
    await github.send(*news)
    assert github.seen() == [(newest.id, newest.state, 1, newest.round)]
    await github.send(run("success", attempt=4))
    assert [(state, firing) for _, state, firing, _ in github.seen()] == [(IncidentState.RESOLVED, 0)]


async def test_the_next_failure_long_after_is_an_incident_of_its_own(github: Sender):
    await github.send(RED, GREEN_AGAIN)
    github.world.forward(hours=2)
    await github.send(run("failure", attempt=12, sha=FIXED))
    assert [item[:2] for item in github.seen()] == [
        ("INC-2", IncidentState.TRIGGERED),
        ("INC-1", IncidentState.RESOLVED),
    ]


async def test_an_old_failure_of_one_workflow_does_not_join_the_incident_of_another(github: Sender):
    await github.send(RED, GREEN_AGAIN)
    github.world.forward(hours=2)
    await github.send(run("failure", attempt=12, name="Nightly"))
    await github.send(RED)
    assert github.world.incident("INC-2").firing == 1
    await github.send(run("success", attempt=13, name="Nightly"))
    assert github.world.incident("INC-2").state is IncidentState.RESOLVED


async def test_an_incident_that_opens_again_tells_of_the_run_that_failed_now(github: Sender):
    await github.send(RED, GREEN_AGAIN)
    await github.send(run("failure", attempt=3, sha=FIXED, html_url="https://github.com/octo/shop/actions/runs/8"))
    incident = github.world.incident()
    assert (incident.round, incident.labels["sha"]) == (2, FIXED)
    assert incident.source_url == "https://github.com/octo/shop/actions/runs/8"
