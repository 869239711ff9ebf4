"""Eight processes on one PostgreSQL database press at once: each patch ends once, and is pushed once or never."""

import pytest

from bot.store.database import SqlStore, migrate, open_engine
from bot.store.postgres import Member
from tests.postgres import serve_postgres
from tests.races import CLIENTS, StoredPhases, check_patches, finish, open_patches, race_processes, say_race
from tests.worldkit import FixedClock

SOME = 16
MANY = 1000


@pytest.fixture(scope="module")
def server():
    with serve_postgres() as server:
        yield server


def run_race(url: str, count: int, seed: int) -> None:
    engine = open_engine(url)
    migrate(engine)
    store = SqlStore(engine, FixedClock(), StoredPhases, Member(executor="first", lease_seconds=600))
    subjects = open_patches(store, count)
    raced = race_processes(url, subjects, seed=seed)
    finish(store, subjects)
    ends = check_patches(store, subjects)
    engine.dispose()
    print(f"{say_race(raced)} of {CLIENTS} processes on {count} patches, seed {seed}: {dict(ends)}")
    wanted = ("executed", "rejected", "expired", "superseded") if count == MANY else ("executed", "expired")
    assert all(ends[end] for end in wanted), ends
    assert sum(ends.values()) == count


def test_whatever_processes_press_at_once_each_patch_has_one_end(server):
    run_race(server.new_database(), SOME, 2)


@pytest.mark.long
def test_a_thousand_patches_of_eight_processes_have_one_end_each(server):
    run_race(server.new_database(), MANY, 21)
