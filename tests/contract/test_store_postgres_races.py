"""Eight processes on one PostgreSQL database press at once: each patch ends once, and is pushed once or never."""

import subprocess
import sys
import time

import pytest

from bot.store.database import SqlStore, migrate, open_engine
from bot.store.postgres import Member
from tests.postgres import MISSING, PostgresServer, find_programs
from tests.races import CLIENTS, StoredPhases, check_patches, finish, open_patches
from tests.worldkit import FixedClock

SOME = 40
MANY = 1000


@pytest.fixture(scope="module")
def server():
    programs = find_programs()
    if programs is None:
        pytest.skip(MISSING)
    server = PostgresServer(programs=programs)
    server.create()
    yield server
    server.remove()


def run_race(url: str, count: int, seed: int) -> None:
    engine = open_engine(url)
    migrate(engine)
    store = SqlStore(engine, FixedClock(), StoredPhases, Member(executor="first", lease_seconds=600))
    subjects = open_patches(store, count)
    argv = [sys.executable, "-m", "tests.races", url, str(count), str(seed)]
    clients = [
        subprocess.Popen([*argv, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(CLIENTS)
    ]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        began = time.perf_counter()
        presses = sum(int(said) for said, _ in [client.communicate("go\n", timeout=500) for client in clients])
        seconds = time.perf_counter() - began
        assert [client.returncode for client in clients] == [0] * CLIENTS
    finally:
        for client in clients:
            client.kill()
            client.wait()
    finish(store, subjects)
    ends = check_patches(store, subjects)
    engine.dispose()
    print(f"{presses} presses of {CLIENTS} processes on {count} patches in {seconds:.1f} s, seed {seed}: {dict(ends)}")
    assert all(ends[end] for end in ("executed", "rejected", "expired", "superseded")), ends
    assert sum(ends.values()) == count


def test_whatever_processes_press_at_once_each_patch_has_one_end(server):
    run_race(server.new_database(), SOME, 2)


@pytest.mark.long
def test_a_thousand_patches_of_eight_processes_have_one_end_each(server):
    run_race(server.new_database(), MANY, 21)
