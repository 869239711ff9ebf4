"""P1 on PostgreSQL: how fast an alert is safe, beside bare inserts into the same server in the same run."""

import asyncio
import statistics
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psycopg

from bot.store.postgres import libpq_url
from tests import postgres
from tests.bench.intake import RATE, SECONDS, make_bot, send_steadily, time_steadily
from tests.bench.report import Row, note, quantile, show, within
from tests.bench.running import make_body, send

ROUNDS = 2


async def measure(folder: Path) -> list[Row]:
    programs = postgres.find_programs()
    if programs is None:
        return [note("webhook on PostgreSQL", f"not measured: {postgres.MISSING}")]
    postgres._OPTIONS.update(fsync="on", full_page_writes="on")  # here a commit must cost what it costs
    server = postgres.PostgresServer(programs=programs)
    try:
        await asyncio.to_thread(server.create)
        return await _measure(folder, server)
    finally:
        await asyncio.to_thread(server.remove)


async def _measure(folder: Path, server: postgres.PostgresServer) -> list[Row]:
    bot = await asyncio.to_thread(make_bot, folder)
    bot.database_url = server.new_database()
    bare, taken = [], []
    async with aiohttp.ClientSession() as session:
        try:
            await bot.start_ready(session)
            began = datetime.now(UTC)
            bodies = [
                make_body("shop", "SteadyErrorRate", began=began, instance=str(n % 20)) for n in range(RATE * SECONDS)
            ]
            await send(session, bot, bodies[0])
            await asyncio.sleep(8)  # the investigation of that incident is over
            other = server.new_database()
            for _ in range(ROUNDS):
                bare.append(await asyncio.to_thread(_insert_steadily, other, bodies[0]))
                taken.append(await send_steadily(bot, session, bodies))
        finally:
            bot.stop()
    bare50, bare99 = (statistics.median(quantile(one, share) for one in bare) * 1000 for share in (0.5, 0.99))
    own50, own99 = (statistics.median(quantile(one, share) for one in taken) * 1000 for share in (0.5, 0.99))
    own = f"webhook at {RATE}/s on PostgreSQL, request to 2xx"
    return [
        note(f"bare PostgreSQL insert, fsync on, {RATE}/s: p50 / p99", f"{show(bare50)} / {show(bare99)} ms"),
        note(f"{own}: p50", f"{show(own50)} ms"),
        within("P1", f"{own}: p99 (limit: 3 × the bare insert's, or 10 ms)", own99, max(10.0, 3 * bare99), "ms"),
        note("the same as a ratio to the bare insert's p99", f"{show(own99 / bare99)} ×"),
    ]


def _insert_steadily(url: str, body: bytes) -> list[float]:
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (id BIGSERIAL PRIMARY KEY, source TEXT, body BYTEA)")
        statement = "INSERT INTO bare (source, body) VALUES (%s, %s)"
        return time_steadily(lambda: connection.execute(statement, ("alertmanager", body)))
