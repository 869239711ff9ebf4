"""The real bot beside a forge in the test's hands: patches that wait, people who press, and what GitHub has seen."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from bot.bootstrap.commands.audit import check_audit
from bot.demo.browser import Browser, PageError
from bot.domain.patches.patch import parse_patch
from bot.settings import load_settings
from tests.contract.github_world import DESCRIPTION, NAME
from tests.e2e.kill_lane import Lane
from tests.e2e.walk import HANGS, LOOK, Walk, new_session
from tests.forge.actions import Workflow
from tests.forge.openapi import Description
from tests.forge.repository import Hosted
from tests.forge.server import serve_forge
from tests.forge.state import Forge
from tests.playbooks.world import run_git

SECRET = "secret-of-the-webhook"
EVENTS = {"push": "push", "pull_request": "pull_request", "dispatch": "workflow_dispatch"}
QUESTIONS = "'order_unanswered', 'order_again', 'order_look'"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How approved patches go to GitHub: what begins CI, whether webhooks are sent, and other lines of the service and
    of the connection. With webhooks the bot asks so seldom that only they can bring a verdict in time."""

    trigger: str = "push"
    hooked: bool = False
    poll_seconds: float = 0.05
    service: str = ""
    connection: str = ""

    def service_lines(self) -> str:
        job = 'ci_job = "ci.yml"\n' if self.trigger == "dispatch" else ""
        return f'ci = "github"\nforge = "github"\ntrigger = "{self.trigger}"\n{job}{self.service}'

    def tables(self, forge: Forge) -> str:
        hooks = (
            f'webhook_secret = "{SECRET}"\npoll_seconds = 120' if self.hooked else f"poll_seconds = {self.poll_seconds}"
        )
        return (
            f'[git.tokens]\n"127.0.0.1" = "{forge.token}"\n'
            f'[connections.github]\nurl = "{forge.api_url}"\ntoken = "{forge.token}"\n{hooks}\n{self.connection}'
        )

    def workflows(self) -> Sequence[Workflow]:
        """One that the bot waits for, and with a dispatch another one that every push begins."""
        wanted = Workflow(on=frozenset({EVENTS[self.trigger]}))
        beside = Workflow(file="lint.yml", name="Lint", on=frozenset({"push"}), id=161336)
        deploy = Workflow(file="ship.yml", name="Ship", on=frozenset({"workflow_dispatch"}), id=161337)
        return (wanted, beside, deploy) if self.trigger == "dispatch" else (wanted, deploy)


@asynccontextmanager
async def serve_hub(folder: Path, way: Way, source: Path) -> AsyncIterator[tuple[Forge, Hosted]]:
    """Serve a forge that hosts what another repository holds; every call is held to GitHub's description."""
    description = Description.read(DESCRIPTION) if DESCRIPTION.is_file() else None
    async with serve_forge(folder, workflows=way.workflows(), description=description) as forge:
        shop = forge.host(NAME)
        shop.origin.in_bare("fetch", "-q", str(source), "refs/heads/main:refs/heads/main")
        forge.notice_pushes()
        forge.runner.runs.clear()
        yield forge, shop
        assert forge.spec_faults == []
        assert not any(forge.store_asked), "the log store was shown a token"


def go_over(forge: Forge, shop: Hosted, way: Way, walk: Walk) -> Walk:
    """Return the walk with its service on the forge."""
    if way.hooked:
        forge.hook_url, forge.hook_secret = f"{walk.url}/v1/alerts/github", SECRET
    service = replace(walk.service, repository=forge.url_of(shop))
    return replace(walk, service=service, service_lines=way.service_lines(), tables=way.tables(forge))


@dataclass(kw_only=True)
class Hub:
    """A bot with patches that wait for their approval, and the forge that they go to. `deaths` counts its kills."""

    forge: Forge
    shop: Hosted
    way: Way
    lane: Lane
    at_once: int = 2
    deaths: int = 0
    pressed_at: dict[str, float] = field(default_factory=dict)

    @property
    def walk(self) -> Walk:
        return self.lane.walk

    async def run(self, faults: Sequence[str] = (), seconds: float = HANGS) -> None:
        """Let Ana approve everything, answer what is asked, and kill the bot at one point after the other."""
        deadline = time.monotonic() + seconds
        waiting = [*faults]
        self.walk.start(waiting.pop(0) if waiting else "")
        async with new_session() as session:
            browser: Browser | None = None
            while waiting or not await asyncio.to_thread(self._is_over):
                assert time.monotonic() < deadline, f"{waiting} {self.lane.states()}\n{self.walk.tail()}"
                if self.walk.is_dead():
                    self.deaths += 1
                    self.walk.start(waiting.pop(0) if waiting else "")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, PageError, OSError):
                    browser = browser or await self.lane.sign_in(session)
                    await self._act(browser)
                await asyncio.sleep(LOOK)

    def _is_over(self) -> bool:
        states = set(self.lane.states().values())
        promised = "SELECT COUNT(*) FROM effect WHERE state = 'intended'"
        return not states & {"pending", "approved"} and self.walk.query(promised) == [(0,)]

    async def _act(self, browser: Browser) -> None:
        states = await asyncio.to_thread(self.lane.states)
        for incident, key in await asyncio.to_thread(self._questions):
            has_run = any(run.inputs.get("nightshift_key") == key for run in self.forge.runner.runs)
            await self._press(browser, incident, "It runs" if has_run else "Start it again")
        pending = [incident for incident, state in states.items() if state == "pending"]
        if pending and sum(state == "approved" for state in states.values()) < self.at_once:
            await self._press(browser, pending[0], "Approve")

    async def _press(self, browser: Browser, incident: str, label: str) -> None:
        button = await browser.find(f"/incidents/{incident}", label)
        if button is not None:
            self.pressed_at.setdefault(incident, time.monotonic())
            await browser.press(button)

    def _questions(self) -> list[tuple[str, str]]:
        """Return (incident, key) of each order that people are asked about now."""
        rows = self.walk.query(
            f"SELECT incident, data, kind FROM timeline WHERE kind IN ({QUESTIONS}) ORDER BY incident, seq"
        )
        last = {(incident, json.loads(data)["key"]): kind for incident, data, kind in rows}
        return [question for question, kind in last.items() if kind == "order_unanswered"]

    def runs(self, event: str = "") -> list[str]:
        """Return the commits of runs of nightshift's branches that were begun by what the service says."""
        wanted = event or EVENTS[self.way.trigger]
        made = [run for run in self.forge.runner.runs if run.event == wanted and run.branch.startswith("nightshift/")]
        return [run.sha for run in made]

    def check(self) -> None:
        """Assert that each approval was one commit of the bytes that were shown, one run, one change, one verdict."""
        branches = self.shop.origin.branches()
        pushed = {name: sha for name, sha in branches.items() if name != "main"}
        states = self.lane.states()
        assert set(states.values()) == {"executed"}, Counter(states.values())
        assert {name.split("/")[1] for name in pushed} == set(states)
        assert len(pushed) == len(states)
        assert sorted(self.runs()) == sorted(pushed.values()), "exactly one run for each approval"
        pulls = [pull.branch for pull in self.shop.pulls]
        assert sorted(pulls) == sorted(pushed), "exactly one pull request for each approval"
        for name, sha in pushed.items():
            check_change(self.walk, self.shop, name, sha)
        told = self.walk.query("SELECT incident FROM timeline WHERE kind LIKE 'ci_passed' ORDER BY incident")
        assert sorted(told) == sorted((incident,) for incident in states), "one verdict each"
        assert not self.walk.query("SELECT 1 FROM timeline WHERE kind IN ('push_refused', 'change_refused')")
        assert self.walk.repeated_posts("console") <= self.deaths
        check_secrecy(self.walk, self.forge)
        report = check_audit(load_settings(self.walk.folder / "nightshift.toml"), [])
        assert report.ok, report.text


def check_change(walk: Walk, shop: Hosted, branch: str, sha: str) -> None:
    """S5: the commit holds the bytes that were shown, and the pull request bears the seal of its approval."""
    incident = branch.split("/")[1]
    [(patch, body)] = walk.query(f"SELECT patch, body FROM draft WHERE incident = '{incident}'")
    base = shop.show(sha, "%P")
    assert f'"{base}"' in body, "the commit stands on the base that was approved"
    diff = run_git(shop.origin.bare, "diff", "--full-index", base, sha)
    assert parse_patch(diff).text == patch
    (seal,) = shop.show(sha, "%(trailers:key=Nightshift-Approval,valueonly)").split()
    assert seal.startswith("sha256:")
    (pull,) = [pull for pull in shop.pulls if pull.branch == branch]
    assert f"Nightshift-Approval: {seal}" in pull.body
    assert incident in pull.body
    assert pull.target == "main"


def check_secrecy(walk: Walk, forge: Forge) -> None:
    """S3: what git and the REST surface are signed in with is in no log and in no row."""
    files = [walk.folder / "console.txt", *walk.state.glob("*.db*"), *walk.state.glob("log/*")]
    for path in files:
        held = path.read_bytes()
        assert forge.token.encode() not in held, path
        assert SECRET.encode() not in held, path


@asynccontextmanager
async def open_hub(folder: Path, way: Way, patches: int, **options: float) -> AsyncIterator[Hub]:
    """Open a forge and a bot that waits to be started, with so many patches to approve."""
    lane = Lane(folder=folder / "bot", kills=0, seed="0", seconds=0)
    async with serve_hub(folder / "hub", way, lane.walk.repository) as (forge, shop):
        lane.walk = replace(go_over(forge, shop, way, lane.walk), **options)
        await asyncio.to_thread(lane.write_incidents, patches)
        hub = Hub(forge=forge, shop=shop, way=way, lane=lane)
        try:
            yield hub
        finally:
            lane.walk.stop()
