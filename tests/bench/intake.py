"""P1 and R8: how fast an alert is safe, beside bare SQLite in the same run, and what 10,000 identical ones cost."""

import asyncio
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from bot.demo.proof import find_milestones
from tests.bench.report import Row, exactly, note, quantile, show, within
from tests.bench.running import Bot, make_body, send
from tests.e2e.walk import make_ground, shop_service
from tests.playbooks.world import BROKEN_COUPONS, Step

RATE = 150
SECONDS = 5
ROUNDS = 3
STORM = 10_000
AT_ONCE = 64


def make_bot(folder: Path) -> Bot:
    ground = make_ground(folder / "ground", Step(subject="Read rates", files={"shop/coupons.py": BROKEN_COUPONS}))
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    service = shop_service(folder)
    bot = Bot(folder=folder, service=service, services=[service])
    bot.write_config()
    return bot


async def measure(folder: Path) -> list[Row]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        (folder / "steady").mkdir()
        (folder / "storm").mkdir()
        bot = await asyncio.to_thread(make_bot, folder / "steady")
        try:
            await bot.start_ready(session)
            rows = await _measure_steady(bot, session)
        finally:
            bot.stop()
        bot = await asyncio.to_thread(make_bot, folder / "storm")
        try:
            await bot.start_ready(session)
            return rows + await _measure_storm(bot, session)
        finally:
            bot.stop()


async def _measure_steady(bot: Bot, session: aiohttp.ClientSession) -> list[Row]:
    """Rounds of bare inserts and of deliveries at the same pace and of the same size."""
    began = datetime.now(UTC)
    bare, taken, cards = [], [], []
    await send(session, bot, make_body("shop", "SteadyErrorRate", began=began))
    await asyncio.sleep(8)  # the investigation of that incident is over
    for number in range(ROUNDS):
        body = make_body("shop", "SteadyErrorRate", began=began)
        bare.append(await asyncio.to_thread(_insert_steadily, bot.folder / f"bare-{number}.db", body))
        bodies = [
            make_body("shop", "SteadyErrorRate", began=began, instance=str(n % 20)) for n in range(RATE * SECONDS)
        ]
        deliveries = asyncio.create_task(send_steadily(bot, session, bodies))
        await asyncio.sleep(SECONDS / 2)
        cards.append(await _time_card(bot, session, number))
        taken.append(await deliveries)
    bare50, bare99 = (statistics.median(quantile(one, share) for one in bare) * 1000 for share in (0.5, 0.99))
    own50, own99 = (statistics.median(quantile(one, share) for one in taken) * 1000 for share in (0.5, 0.99))
    limit = max(10.0, 3 * bare99)
    own = f"webhook at {RATE}/s, request to 2xx"
    beside = f"alert to first card beside {RATE} deliveries/s, largest of {ROUNDS}"
    return [
        note(f"bare SQLite insert, synchronous=FULL, {RATE}/s: p50 / p99", f"{show(bare50)} / {show(bare99)} ms"),
        note(f"{own}: p50", f"{show(own50)} ms"),
        within("P1", f"{own}: p99 (limit: 3 × the bare insert's, or 10 ms)", own99, limit, "ms"),
        note("the same as a ratio to the bare insert's p99", f"{show(own99 / bare99)} ×"),
        within("P1", beside, max(cards), 1.0, "s"),
    ]


def _insert_steadily(path: Path, body: bytes) -> list[float]:
    """Insert as the inbox must: one row, one commit, on disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE delivery (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT, body BLOB)")
    statement = "INSERT INTO delivery (source, body) VALUES (?, ?)"
    times = time_steadily(lambda: connection.execute(statement, ("alertmanager", body)))
    connection.close()
    return times


def time_steadily(insert: Callable[[], object]) -> list[float]:
    """Insert RATE times a second, and return the seconds that each took."""
    times, start = [], time.perf_counter()
    for number in range(RATE * SECONDS):
        time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
        began = time.perf_counter()
        insert()
        times.append(time.perf_counter() - began)
    return times


async def send_steadily(bot: Bot, session: aiohttp.ClientSession, bodies: Sequence[bytes]) -> list[float]:
    """Send one every 1/RATE seconds, whether or not those before were answered."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, start + number / RATE - loop.time()))
            tasks.append(group.create_task(send(session, bot, body)))
    return [task.result() for task in tasks]


async def _time_card(bot: Bot, session: aiohttp.ClientSession, number: int) -> float:
    """Send another alert, and return the seconds until its card was posted."""
    sent_at = datetime.now(UTC)
    await send(session, bot, make_body("shop", f"OtherErrorRate{number}", began=sent_at))
    api = bot.api(session)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        newest = await api.newest_incident()
        milestones = find_milestones(await api.timeline(newest), sent_at) if newest else []
        found = [one.seconds for one in milestones if one.name == "first card"]
        if newest == f"INC-{number + 2}" and found:
            return found[0]
        await asyncio.sleep(0.2)
    raise AssertionError(f"no card in 20 s\n{bot.tail()}")


async def _measure_storm(bot: Bot, session: aiohttp.ClientSession) -> list[Row]:
    before = bot.front_use()
    body = make_body("shop", "StormErrorRate", began=datetime.now(UTC) - timedelta(seconds=30))
    left = iter(range(STORM))
    began = time.monotonic()

    async def sender() -> list[float]:
        return [await send(session, bot, body) for _ in left]

    times = [one for part in await asyncio.gather(*(sender() for _ in range(AT_ONCE))) for one in part]
    sent = time.monotonic() - began
    while (seen := _count_seen(bot)) < STORM and time.monotonic() - began < 90:
        await asyncio.sleep(0.1)
    taken = time.monotonic() - began
    await asyncio.sleep(5)  # a second investigation, were there one, would begin now
    ((incidents,),) = bot.query("SELECT COUNT(*) FROM incident")
    ((runs,),) = bot.query("SELECT COUNT(*) FROM timeline WHERE kind = 'triage_started'")
    after = bot.front_use()
    return [
        exactly("R8", f"{STORM:,} identical alerts: lost", len(times) - seen, 0),
        exactly("R8", "… incidents opened", incidents, 1),
        exactly("R8", "… investigations begun", runs, 1),
        note(f"… all answered 2xx, {AT_ONCE} at a time, after", f"{show(sent)} s ({show(STORM / sent)}/s)"),
        note("… slowest answer", f"{show(max(times) * 1000)} ms"),
        note("… all counted in their incident after", f"{show(taken)} s"),
        note("… memory of the front process: before / most", f"{show(before.memory)} / {show(after.peak)} MB"),
    ]


def _count_seen(bot: Bot) -> int:
    rows = bot.query("SELECT json_extract(body, '$.alerts_seen') FROM incident")
    return sum(count or 0 for (count,) in rows)
