"""When the engine need not look for work: nobody committed for a while, and no delay is over."""

import sqlite3
import time
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
