"""A bot with many approved patches on their way, killed at random times between the press and the verdict.

The incidents and their patches are written into its store beforehand; pushing, CI and messages are the real ones.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from bot.bootstrap.commands.audit import check_audit
from bot.bootstrap.rules import load_rules
from bot.bootstrap.state import store_url
from bot.demo.browser import Browser, PageError
from bot.domain.draft import Draft, DraftState, Risk
from bot.domain.incident import RunState
from bot.domain.patches.patch import parse_patch
from bot.domain.service import LogPlace, Service
from bot.services.drafting import ask_approval
from bot.services.intake import receive_alerts
from bot.services.triage import finish_triage
from bot.settings import load_settings
from bot.store.database import SqlStore, migrate, open_engine
from tests.e2e.walk import LOOK, Walk, new_session
from tests.patches.hostile import add
from tests.patches.repository import BareRepository
from tests.worldkit import alert, group, verified

AT_ONCE = 3
EARLY = 0.3
LONGEST_LIFE = 2.0


class NoPhases:
    """The written incidents were investigated already: nothing is to be started for them."""

    def enqueue(self, phase: str, key: str, args: Mapping[str, str], *, delay: timedelta | None = None) -> None:
        pass


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


def make_walk(folder: Path) -> tuple[Walk, str]:
    """Return a bot in `folder` with a repository of its own, and the commit that the patches stand on."""
    folder.mkdir(parents=True)
    far = BareRepository(folder / "shop.git")
    base = far.commit({b"app.py": ("100644", b"x = 1\n")})
    (folder / "app.log").touch()
    service = Service(
        name="shop",
        repository=far.folder.as_uri(),
        logs=(LogPlace(kind="file", path=str(folder / "app.log")),),
        run=("python", "-S", "app.py", "{port}"),
        checks={"tests": ("python", "-S", "-c", "pass")},
    )
    return Walk(folder=folder, service=service), base


@dataclass(kw_only=True)
class Lane:
    """One bot and its kills. `seconds` bounds it: what is not killed by then is not killed any more."""

    folder: Path
    kills: int
    seed: str
    seconds: float
    done: int = 0
    pressed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self.walk, self.base = make_walk(self.folder)
        self._started_at = self._kill_at = 0.0
        self._is_ready = False
        self._start_takes = 1.5

    def write_incidents(self, count: int) -> None:
        """Write what the night has brought so far: an incident with a patch that waits, `count` times."""
        self.walk.write_config()
        settings = load_settings(self.folder / "nightshift.toml")
        rules = load_rules(settings)
        self.walk.state.mkdir(mode=0o700, exist_ok=True)
        engine = open_engine(store_url(settings))
        migrate(engine)
        store = SqlStore(engine, Now(), lambda _: NoPhases())
        alerts = [alert(f"Alert{n}", service="shop") for n in range(count)]
        with store.begin() as work:
            incidents = receive_alerts(work, [group(one, key=f"key-{n}") for n, one in enumerate(alerts)], rules)
        for number, incident in enumerate(incidents):
            with store.begin() as work:
                ask_approval(work, work.incidents.get(incident), self._draft(incident, number), rules)
                finish_triage(work, incident, state=RunState.WAITING)
        engine.dispose()

    def _draft(self, incident: str, number: int) -> Draft:
        return Draft(
            incident=incident,
            patch=parse_patch(add(b"notes/%d.md" % number, b"mended")),
            base=self.base,
            branch="main",
            title=f"Mend {incident}",
            culprit=None,
            author="nightshift",
            verified=verified(),
            risk=Risk(),
            state=DraftState.PROPOSED,
            created_at=datetime.now(UTC),
        )

    async def run(self) -> None:
        """Start, press, kill, start again; then let what is under way end in peace."""
        deadline = time.monotonic() + self.seconds
        self._start()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(new_session())
            people = asyncio.create_task(self._press_all(session))
            try:
                while self.done < self.kills and time.monotonic() < deadline:
                    await asyncio.sleep(LOOK)
                    assert not people.done() or people.exception() is None, people.exception()
                    if not self._is_ready and await self._answers(session):
                        self._note_ready()
                    if time.monotonic() >= self._kill_at and await asyncio.to_thread(self.under_way):
                        self.walk.kill()
                        self.done += 1
                        self._start()
                    elif self.walk.is_dead():
                        raise AssertionError(f"the bot ended by itself\n{self.walk.tail()}")
            finally:
                people.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await people
        await self._settle(120)

    def _start(self) -> None:
        """Some are killed while they start, the others at some time after that."""
        self.walk.start()
        self._started_at, self._is_ready = time.monotonic(), False
        early = self._chance.uniform(0.05, self._start_takes)
        self._kill_at = self._started_at + (early if self._chance.random() < EARLY else 60.0)

    def _note_ready(self) -> None:
        now = time.monotonic()
        self._is_ready, self._start_takes = True, now - self._started_at
        self._kill_at = min(self._kill_at, now + self._chance.uniform(0.0, LONGEST_LIFE))

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.walk.url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _settle(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.under_way() or self.walk.query("SELECT COUNT(*) FROM effect WHERE state = 'intended'")[0][0]:
            assert time.monotonic() < deadline, f"not over after {seconds:.0f} s\n{self.walk.tail()}"
            await asyncio.sleep(0.2)

    def states(self) -> dict[str, str]:
        return dict(self.walk.query("SELECT incident, state FROM approval ORDER BY requested_at, incident"))

    def under_way(self) -> list[str]:
        return [incident for incident, state in self.states().items() if state == "approved"]

    async def _press_all(self, session: aiohttp.ClientSession) -> None:
        """Approve one patch after the other, so that some are always between the press and the verdict."""
        browser: Browser | None = None
        while True:
            states = await asyncio.to_thread(self.states)
            waiting = [incident for incident, state in states.items() if state == "pending"]
            if waiting and sum(state == "approved" for state in states.values()) < AT_ONCE:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, PageError, OSError):
                    browser = browser or await self.sign_in(session)
                    await self._approve(browser, waiting[0])
            await asyncio.sleep(LOOK)

    async def sign_in(self, session: aiohttp.ClientSession) -> Browser:
        headers = {"Authorization": f"Bearer {self.walk.admin_token()}"}
        url = f"{self.walk.url}/v1/signin-links"
        async with session.post(url, json={"person": "ana"}, headers=headers) as answer:
            link = (await answer.json())["url"]
        browser = Browser(session, self.walk.url)
        await browser.sign_in(link)
        return browser

    async def _approve(self, browser: Browser, incident: str) -> None:
        button = await browser.find(f"/incidents/{incident}", "Approve")
        if button is not None:
            self.pressed.add(incident)
            await browser.press(button)

    def check(self) -> None:
        """Assert that nothing was lost or doubled."""
        states = self.states()
        executed = {incident for incident, state in states.items() if state == "executed"}
        assert executed
        assert executed <= self.pressed
        assert set(states.values()) <= {"executed", "pending"}, Counter(states.values())
        self._check_trail(executed)
        self._check_branches(executed)
        runs = self.walk.state / "ci" / "runs"
        assert len(list(runs.iterdir())) == len(executed), "exactly one CI run for each push"
        for channel in ("console", "web"):
            assert self.walk.repeated_posts(channel) <= self.done, f"{channel}: a post was repeated twice in a crash"
        report = check_audit(load_settings(self.folder / "nightshift.toml"), [])
        assert report.ok, report.text

    def _check_trail(self, executed: set[str]) -> None:
        wanted = dict.fromkeys(("approved", "pushed", "ci_passed"), 1)
        for incident in executed:
            sql = f"SELECT kind, COUNT(*) FROM timeline WHERE incident = '{incident}' GROUP BY kind"
            counts = dict(self.walk.query(sql))
            assert {kind: counts.get(kind) for kind in wanted} == wanted, (incident, counts)
            assert not {"push_refused", "rejected", "expired", "superseded"} & set(counts), (incident, counts)

    def _check_branches(self, executed: set[str]) -> None:
        far = self.walk.repository
        out = _git(far, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/nightshift/")
        branches = dict(line.split(" ") for line in out.splitlines())
        assert {name.split("/")[3] for name in branches} == executed
        assert len(branches) == len(executed)
        patches = dict(self.walk.query("SELECT incident, patch FROM draft"))
        for name, sha in branches.items():
            assert _git(far, "rev-list", f"{self.base}..{sha}").split() == [sha]
            diff = _git(far, "diff", "--full-index", self.base, sha)
            assert parse_patch(diff.encode()).text == patches[name.split("/")[3]]

    def say(self) -> str:
        return json.dumps({"kills": self.done, **Counter(self.states().values())})


def _git(folder: Path, *args: str) -> str:
    return BareRepository.read(_Opened(folder), *args)


class _Opened(BareRepository):
    """A repository that is there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
