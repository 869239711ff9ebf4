"""The real engine on a still store, which it asks for nothing and misses nothing that comes, and in an outage."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Set
from datetime import timedelta

import pytest
from dbos._sys_db import SystemDatabase

from bot.engine import stillness
from bot.engine.phases import Engine, Phase
from bot.store.database import migrate, open_engine, open_session

POLL = 0.03


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(POLL)


async def test_what_comes_to_a_still_engine_runs_at_once_or_when_its_delay_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(stillness, "SETTLED", 0.4)
    database = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(database)
    engine = Engine(database, poll_seconds=POLL)
    ran: list[str] = []
    asked: list[str] = []

    async def run(args: Mapping[str, str]) -> None:
        ran.append(args["name"])

    async def fail(_args: Mapping[str, str], reason: str) -> None:
        pytest.fail(reason)

    def enqueue(name: str, delay: timedelta | None = None) -> None:
        with open_session(database) as session:
            engine.phases_of(session).enqueue("watch", name, {"name": name}, delay=delay)

    await engine.launch(Phase(name="watch", run=run, failed=fail))
    inner = SystemDatabase.start_queued_workflows

    def count(*args: object, **options: object) -> object:
        asked.append("work")
        return inner(*args, **options)  # type: ignore[arg-type] # handed on as they come

    monkeypatch.setattr(SystemDatabase, "start_queued_workflows", count)
    try:
        enqueue("first")
        await until(lambda: ran == ["first"])
        await asyncio.sleep(0.8)
        asked.clear()
        await asyncio.sleep(10 * POLL)
        assert not asked, "a still store is left alone"
        enqueue("second")
        enqueue("third", timedelta(seconds=1.5))
        await until(lambda: ran == ["first", "second"])
        await until(lambda: ran == ["first", "second", "third"])
    finally:
        await engine.close(1)
        database.dispose()


async def test_an_engine_ends_though_a_take_over_sits_out_an_outage(tmp_path):
    """dbos sits an outage out in the call that met it; a stop that waited for that hung until the database was back."""
    database = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(database)
    engine = Engine(database, poll_seconds=POLL)
    await engine.launch()
    met, is_over = threading.Event(), threading.Event()

    def outage(_owners: Set[str]) -> Set[str]:
        met.set()
        is_over.wait()
        return set()

    taking_over = threading.Thread(target=engine.take_over, args=(outage,))
    taking_over.start()
    try:
        assert await asyncio.to_thread(met.wait, 10)
        async with asyncio.timeout(30):
            await engine.close(0.1)
    finally:
        is_over.set()
        taking_over.join()
        database.dispose()
