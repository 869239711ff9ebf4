"""When the engine need not look for work: nobody committed for a while, and no delay is over."""

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.engine.stillness import LONGEST, SETTLED, Stillness


class Watched:
    """A store's file, somebody else who writes to it, and a clock in the test's hands."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000.0
        self.writer = sqlite3.connect(folder / "store.db", isolation_level=None)
        self.writer.execute("PRAGMA journal_mode=WAL")
        self.writer.execute("CREATE TABLE workflow_status (status TEXT, delay_until_epoch_ms INTEGER)")
        self.stillness = Stillness(str(folder / "store.db"), lambda: self.now)

    def promise(self, seconds: float, status: str = "DELAYED") -> None:
        self.writer.execute("INSERT INTO workflow_status VALUES (?, ?)", (status, (time.time() + seconds) * 1000))

    def is_still_after(self, seconds: float) -> bool:
        self.now += seconds
        return self.stillness.is_still()


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.stillness.close()
    watched.writer.close()


def test_a_store_is_still_when_nobody_committed_for_a_while(watched):
    assert not watched.is_still_after(0)
    assert not watched.is_still_after(SETTLED - 0.1)
    assert watched.is_still_after(0.1)


def test_every_commit_of_another_connection_ends_it(watched):
    assert not watched.is_still_after(0)
    for _ in range(3):
        assert watched.is_still_after(SETTLED)
        watched.promise(60)
        assert not watched.is_still_after(0)


def test_a_transaction_that_changes_nothing_does_not(watched):
    watched.is_still_after(0)
    assert watched.is_still_after(SETTLED)
    watched.writer.execute("BEGIN IMMEDIATE")
    watched.writer.execute("UPDATE workflow_status SET status = 'ENQUEUED' WHERE status = 'DELAYED'")
    watched.writer.execute("COMMIT")
    assert watched.is_still_after(0)


def test_it_looks_all_the_same_after_the_longest_time(watched):
    watched.is_still_after(0)
    assert watched.is_still_after(LONGEST)
    assert not watched.is_still_after(0.1)
    assert watched.is_still_after(SETTLED)


@pytest.mark.parametrize(
    ("seconds", "status", "is_due"), [(-1, "DELAYED", True), (60, "DELAYED", False), (-1, "SUCCESS", False)]
)
def test_a_delay_that_is_over_is_due(watched, seconds, status, is_due):
    assert not watched.stillness.is_due()
    watched.promise(seconds, status)
    assert watched.stillness.is_due() is is_due


class Watchword:
    """A condition that says when a thread has begun to wait on it."""

    def __init__(self, moved: threading.Condition) -> None:
        self._moved = moved
        self.waits = threading.Semaphore(0)

    def __enter__(self) -> bool:
        return self._moved.__enter__()

    def __exit__(self, *failure: object) -> None:
        self._moved.__exit__(*failure)  # type: ignore[arg-type] # as it came

    def notify_all(self) -> None:
        self._moved.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        self.waits.release()
        return self._moved.wait_for(predicate, timeout)


@pytest.fixture
def resting(watched, monkeypatch):
    """Two threads that rest, as the engine's do while nothing happens."""
    word = Watchword(threading.Condition())
    monkeypatch.setattr(watched.stillness, "_moved", word)
    watched.is_still_after(0)
    assert watched.is_still_after(SETTLED)
    with ThreadPoolExecutor(2) as threads:
        rests: list[Future[bool]] = [threads.submit(watched.stillness.rest) for _ in range(2)]
        assert all(word.waits.acquire(timeout=5) for _ in rests)
        yield rests
        watched.stillness.end_rest()


def test_those_who_rest_go_on_when_one_look_finds_a_commit(watched, resting):
    assert watched.is_still_after(1)
    assert not any(rest.done() for rest in resting)
    watched.promise(60)
    assert not watched.is_still_after(0)
    assert [rest.result(timeout=5) for rest in resting] == [False, False]


def test_nobody_rests_longer_than_the_engine_lives(watched, resting):
    watched.stillness.end_rest()
    assert [rest.result(timeout=5) for rest in resting] == [True, True]
    assert watched.stillness.rest()


def test_nobody_rests_where_the_store_moves(watched):
    assert watched.is_still_after(0) is watched.stillness.rest() is False
