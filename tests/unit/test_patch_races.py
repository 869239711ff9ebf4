"""Eight clients of one process on SQLite press at once: each patch ends once, and is pushed and run once or never."""

import pytest

from tests.races import CLIENTS, StoredPhases, check_patches, finish, open_patches, race, say_race
from tests.worldkit import FixedClock, make_store

SOME = 80
MANY = 1000


def run_race(path, count: int, seed: int) -> None:
    store = make_store(path, FixedClock())
    store._phases = StoredPhases
    subjects = open_patches(store, count)
    raced = race(store.engine, subjects, seed=seed)
    finish(store, subjects)
    ends = check_patches(store, subjects)
    print(f"{say_race(raced)} of {CLIENTS} clients on {count} patches, seed {seed}: {dict(ends)}")
    wanted = ("executed", "rejected", "expired", "superseded") if count == MANY else ("executed", "expired")
    assert all(ends[end] for end in wanted), ends
    assert sum(ends.values()) == count


def test_whatever_is_pressed_at_once_each_patch_has_one_end(tmp_path):
    run_race(tmp_path, SOME, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12])
def test_a_thousand_patches_have_one_end_each(tmp_path, seed):
    run_race(tmp_path, MANY, seed)
