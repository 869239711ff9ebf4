"""From a press to its verdict: acknowledged, pushed, told; and how many clients may press at once."""

import asyncio
import hashlib
import random
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from bot.domain.ci import CIRequest, CIRun, CIState
from bot.engine.commit_news import CommitNews
from bot.engine.handlers import Handlers, Tools
from bot.ports.workspace import CommitPlan
from bot.store.database import SqlStore, migrate, open_engine
from bot.store.postgres import Member
from tests import postgres
from tests.bench.github import measure_github
from tests.bench.report import Row, exactly, note, quantile, show, within
from tests.bench.running import Bot
from tests.e2e.kill_lane import Lane
from tests.patches.repository import BareRepository
from tests.races import Raced, StoredPhases, Subject, check_patches, finish, open_patches, race, race_processes
from tests.worldkit import BASE, FixedClock, World, diff, make_world

PRESSES = 40
VERDICTS = 24
PATCHES = 1000
SHARED_PATCHES = 300  # every unit of work of eight processes waits for one lock; make test-long takes 1,000
LOOK = 0.005
PATIENCE = 60.0
POLL = 0.5


async def measure(folder: Path) -> list[Row]:
    return [row for part in PARTS for row in await part(folder)]


async def measure_presses(folder: Path) -> list[Row]:
    """Press Approve on the pages of a real bot, one patch after the other, and watch the bare repository."""
    lane = Lane(folder=folder / "presses", kills=0, seed="0", seconds=0)
    service = lane.walk.service
    lane.walk = Bot(folder=lane.folder, service=service, services=[service])  # with every limit at its default
    await asyncio.to_thread(lane.write_incidents, PRESSES)
    answered, pushed, told = [], [], []
    async with AsyncExitStack() as stack:
        stack.callback(lane.walk.stop)
        cookies = aiohttp.CookieJar(unsafe=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=cookies))
        lane.walk.start()
        await lane.walk.wait_ready(session)
        browser = await lane.sign_in(session)
        for incident in sorted(lane.states()):
            deadline = time.monotonic() + PATIENCE
            while (button := await browser.find(f"/incidents/{incident}", "Approve")) is None:
                assert time.monotonic() < deadline, lane.walk.tail()
                await asyncio.sleep(0.1)
            began = time.perf_counter()
            press = asyncio.create_task(browser.press(button))
            press.add_done_callback(lambda _, began=began: answered.append(time.perf_counter() - began))
            branches = lane.walk.repository / "refs" / "heads" / "nightshift" / incident
            pushed.append(await _wait(partial(_holds_any, branches), began))
            told.append(await _wait(partial(_is_executed, lane, incident), began))
            await press
    by_hand = await asyncio.to_thread(_push_by_hand, folder / "by-hand")
    ratio = statistics.median(pushed) / statistics.median(by_hand)
    return [
        within("P1", f"press → acknowledged, p99 of {PRESSES}", quantile(answered, 0.99), 1.0, "s"),
        note("press → acknowledged: p50 / p99", _p50_p99(answered)),
        note("press → the branch is on the remote: p50 / p99", _p50_p99(pushed)),
        note("the same commit and push by hand, with git: p50 / p99", _p50_p99(by_hand)),
        note("press → pushed, as a ratio to the push by hand, p50", f"{show(ratio)} ×"),
        note("press → verdict stored, with the sandboxed local CI: p50 / p99", _p50_p99(told)),
    ]


def _holds_any(branches: Path) -> bool:
    return branches.exists() and any(branches.iterdir())


def _is_executed(lane: Lane, incident: str) -> bool:
    return lane.states()[incident] == "executed"


async def _wait(is_so: Callable[[], bool], began: float) -> float:
    while not is_so():
        assert time.perf_counter() - began < PATIENCE
        await asyncio.sleep(LOOK)
    return time.perf_counter() - began


def _push_by_hand(folder: Path) -> list[float]:
    """Clone, apply, commit, push: what an engineer's script would do."""
    far = BareRepository(folder / "far.git")
    far.commit({b"app.py": ("100644", b"x = 1\n")})
    work = folder / "work"
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    times = []
    for number in range(15):
        began = time.perf_counter()
        subprocess.run(["git", "clone", "-q", far.folder, work / str(number)], check=True)
        (work / str(number) / "notes.md").write_text(f"{number}\n")
        subprocess.run(["git", "add", "-A"], cwd=work / str(number), check=True)
        subprocess.run(["git", *identity, "commit", "-q", "-m", "Mend it"], cwd=work / str(number), check=True)
        ref = f"HEAD:refs/heads/mend-{number}"
        subprocess.run(["git", "push", "-q", "origin", ref], cwd=work / str(number), check=True)
        times.append(time.perf_counter() - began)
    return times


def _p50_p99(values: Sequence[float]) -> str:
    return f"{show(statistics.median(values))} / {show(quantile(values, 0.99))} s"


class TimedCI:
    """A CI that ends each run after a while, and tells a webhook's news of it where there is one."""

    def __init__(self, news: CommitNews | None) -> None:
        self._news = news
        self._chance = random.Random(5)
        self._ended = set[str]()
        self.ended_at: dict[str, float] = {}
        self.asked = 0

    async def start(self, request: CIRequest) -> CIRun:
        asyncio.get_running_loop().call_later(self._chance.uniform(0.2, 1.5), self._end, request.sha)
        return CIRun(id="1", sha=request.sha, state=CIState.QUEUED)

    def _end(self, sha: str) -> None:
        self._ended.add(sha)
        self.ended_at[sha] = time.perf_counter()
        if self._news is not None:
            self._news.tell([sha])

    async def status(self, sha: str) -> CIRun | None:
        self.asked += 1
        return CIRun(id="1", sha=sha, state=CIState.PASSED if sha in self._ended else CIState.RUNNING)

    async def log(self, sha: str) -> str:
        return ""


class NoGit:
    """A remote that takes every push at once: what is measured begins behind it."""

    def __init__(self) -> None:
        self.pushed = dict[str, str]()

    async def open(self, url: str, folder: Path) -> None:
        return None

    async def commit(self, checkout: None, plan: CommitPlan) -> str:
        return hashlib.sha1(plan.message.encode()).hexdigest()

    async def remote_sha(self, url: str, branch: str) -> str | None:
        return self.pushed.get(branch)

    async def push(self, checkout: None, url: str, sha: str, branch: str) -> None:
        self.pushed[branch] = sha


async def measure_verdicts(folder: Path) -> list[Row]:
    polled, asked = await _measure_verdicts(folder / "polled", POLL, has_news=False)
    heard, asked_less = await _measure_verdicts(folder / "heard", 30.0, has_news=True)
    return [
        within("", f"CI ends → verdict stored, polling every {POLL} s: p99", quantile(polled, 0.99), POLL + 0.25, "s"),
        note("CI ends → verdict stored, polling: p50 / p99", _p50_p99(polled)),
        within("", "CI ends → verdict stored, told by a webhook: p99", quantile(heard, 0.99), 0.25, "s"),
        note("CI ends → verdict stored, told by a webhook: p50 / p99", _p50_p99(heard)),
        note("calls to CI for each verdict: polling / told", f"{asked:.1f} / {asked_less:.1f}"),
    ]


async def _measure_verdicts(folder: Path, poll: float, *, has_news: bool) -> tuple[list[float], float]:
    news = CommitNews()
    ci = TimedCI(news if has_news else None)
    waits = []
    for number in range(VERDICTS):
        place = folder / str(number)
        place.mkdir(parents=True)
        world = make_world(place, opened=True)
        digest = _approve(world, number)
        tools = Tools(
            investigator=None,
            workspaces=NoGit(),
            ci={"local": ci},
            news=news,
            folder=place,
            redact=lambda text: text,
            poll_seconds=poll,
        )
        phases = {phase.name: phase for phase in Handlers(world.store, world.rules, tools).phases()}
        await phases["execute"].run({"incident": "INC-1", "digest": digest})
        (follow,) = world.phases.of("follow")
        await phases["follow"].run(follow.args)
        sha = next(reversed(ci.ended_at))
        waits.append(time.perf_counter() - ci.ended_at[sha])
        assert "ci_passed" in world.kinds()
        world.store.engine.dispose()
    return waits, ci.asked / VERDICTS


def _approve(world: World, number: int) -> str:
    approval = world.propose(diff(after=f"b{number}"))
    assert world.press(f"approve:INC-1:{approval.digest[:12]}").ok
    assert approval.base == BASE
    return approval.digest


async def measure_races(folder: Path) -> list[Row]:
    rows = await asyncio.to_thread(_race_on_sqlite, folder)
    return [*rows, *await asyncio.to_thread(_race_on_postgres)]


def _race_on_sqlite(folder: Path) -> list[Row]:
    engine = open_engine(f"sqlite:///{folder / 'races.db'}")
    migrate(engine)
    store = SqlStore(engine, FixedClock(), StoredPhases)
    rows = _judge("SQLite, 8 clients of one process", store, PATCHES, lambda subjects: race(engine, subjects, seed=1))
    engine.dispose()
    bare = _commit_barely(folder / "bare.db")
    return [*rows, note("a bare commit of one row on the same disk, synchronous=FULL: p50 / p99", _p50_p99(bare))]


def _race_on_postgres() -> list[Row]:
    programs = postgres.find_programs()
    if programs is None:
        return [note("presses at once on PostgreSQL", f"not measured: {postgres.MISSING}")]
    server = postgres.PostgresServer(programs=programs)
    server.create()
    try:
        url = server.new_database()
        engine = open_engine(url)
        migrate(engine)
        store = SqlStore(engine, FixedClock(), StoredPhases, Member(executor="bench", lease_seconds=600))
        rows = _judge(
            "PostgreSQL, 8 processes", store, SHARED_PATCHES, lambda subjects: race_processes(url, subjects, seed=1)
        )
        engine.dispose()
        return rows
    finally:
        server.remove()


def _judge(where: str, store: SqlStore, count: int, run: Callable[[list[Subject]], Raced]) -> list[Row]:
    subjects = open_patches(store, count)
    raced = run(subjects)
    finish(store, subjects)
    ends = check_patches(store, subjects)
    executed = ends["executed"] + ends["failed after CI"]
    return [
        note(f"{where}: {len(raced.waits):,} presses, per second", show(len(raced.waits) / raced.seconds)),
        note(f"{where}: a press, p50 / p99", _p50_p99(raced.waits)),
        note(f"{where}: pushed / turned down / ran out", f"{executed} / {ends['rejected']} / {ends['expired']}"),
        exactly("R2", f"{where}: patches with one end, one push and one CI run or none", sum(ends.values()), count),
    ]


def _commit_barely(path: Path) -> list[float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bare (event TEXT, body TEXT)")
    times = []
    for number in range(500):
        began = time.perf_counter()
        connection.execute("INSERT INTO bare VALUES (?, ?)", (str(number), "x" * 1000))
        times.append(time.perf_counter() - began)
    connection.close()
    return times


PARTS: Final[Sequence[Callable[[Path], Awaitable[list[Row]]]]] = (
    measure_presses,
    measure_verdicts,
    measure_github,
    measure_races,
)
"""What is measured, one after the other."""
