"""The lease: beats while the event loop moves, takes over from the dead alone, ends a process that is thought dead."""

import asyncio
import threading
from collections.abc import Callable, Set
from itertools import count

import pytest

from bot.engine.lease import Keeper, Lengths
from bot.errors import Reason, Unavailable

LENGTHS = Lengths(lease=15.0, beat=5.0, stuck=30.0)
OWNERS = frozenset({"me", "live", "dead"})


class Table:
    """Leases in memory. `live` = None: another process reaps at the moment."""

    def __init__(self) -> None:
        self.beats = 0
        self.is_mine = True
        self.is_down = False
        self.live: frozenset[str] | None = frozenset({"me", "live"})
        self.ended = False

    def begin(self) -> None:
        self.beats = 1

    def beat(self) -> bool:
        if self.is_down:
            raise Unavailable("down", Reason.UNREACHABLE)
        self.beats += 1
        return self.is_mine

    def end(self) -> None:
        self.ended = True

    def reap(self) -> frozenset[str] | None:
        return self.live


class Rig:
    def __init__(self) -> None:
        self.table = Table()
        self.now = 1000.0
        self.taken: list[Set[str]] = []
        self.gave_up: list[str] = []
        self.keeper = Keeper(
            self.table, LENGTHS, self.take_over, give_up=self.gave_up.append, monotonic=lambda: self.now
        )
        self.keeper.begin()

    def take_over(self, find_dead: Callable[[Set[str]], Set[str]]) -> int:
        dead = find_dead(OWNERS)
        if dead:
            self.taken.append(dead)
        return len(dead)

    def rounds(self, count: int, *, loop_moves: bool = True, seconds: float = 5.0) -> None:
        for _ in range(count):
            self.now += seconds
            if loop_moves:
                self.keeper.mark_turn()
            if self.keeper.look():
                self.keeper.take_over()


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.rounds(3)
    assert rig.taken == [{"dead"}]
    rig.taken.clear()
    return rig


def test_nobody_is_reaped_in_the_first_lease_s_time():
    rig = Rig()
    rig.rounds(2)
    assert rig.table.beats == 3
    assert rig.taken == []


def test_the_dead_are_taken_over_each_round_again_because_it_may_have_failed(rig):
    rig.rounds(2)
    assert rig.taken == [{"dead"}, {"dead"}]


def test_one_process_reaps_at_a_time(rig):
    rig.table.live = None
    rig.rounds(2)
    assert rig.taken == []


def test_a_loop_that_stands_still_does_not_beat_and_ends_the_process(rig):
    beats = rig.table.beats
    rig.rounds(5, loop_moves=False)
    assert rig.table.beats == beats
    assert rig.gave_up == []
    rig.rounds(1, loop_moves=False)
    assert rig.gave_up == ["The event loop stood still for 30 s."]


def test_a_loop_that_was_slow_for_a_while_is_forgiven(rig):
    rig.rounds(5, loop_moves=False)
    rig.rounds(1)
    rig.rounds(5, loop_moves=False)
    assert rig.gave_up == []


def test_a_process_that_stood_still_asks_at_once_whether_it_is_still_alive(rig):
    rig.table.is_mine = False
    rig.rounds(1, loop_moves=False, seconds=60)
    assert rig.gave_up == ["This process stood still; the others have taken its work over."]
    assert rig.taken == []


def test_a_process_that_stood_still_alone_goes_on_and_lets_others_wake_up_first(rig):
    rig.rounds(1, loop_moves=False, seconds=3600)
    rig.rounds(2)
    assert rig.gave_up == []
    assert rig.taken == []
    rig.rounds(1)
    assert rig.taken == [{"dead"}]


def test_after_an_outage_everybody_gets_a_lease_s_time(rig):
    rig.table.is_down = True
    rig.rounds(5)
    rig.table.is_down = False
    rig.rounds(3)
    assert rig.taken == []
    rig.rounds(1)
    assert rig.taken == [{"dead"}]
    assert rig.gave_up == []


def test_a_take_over_that_sat_out_an_outage_finds_nobody_dead(rig):
    rig.now += 60
    rig.keeper.take_over()
    rig.rounds(1)
    rig.keeper.take_over()
    assert rig.taken == []
    rig.rounds(3)
    assert rig.taken == [{"dead"}]


def test_what_fails_while_taking_over_is_tried_again(rig):
    fails = [RuntimeError("no such workflow"), Unavailable("down", Reason.UNREACHABLE)]

    def fail(find_dead: Callable[[Set[str]], Set[str]]) -> int:
        raise fails.pop()

    keeper = Keeper(rig.table, LENGTHS, fail, give_up=rig.gave_up.append)
    keeper.take_over()
    keeper.take_over()
    assert (fails, rig.gave_up) == ([], [])


async def test_a_take_over_that_waits_for_the_database_keeps_no_beat_from_coming():
    """dbos pauses for seconds in the call that met an outage; a lease ran out meanwhile, and its process was ended."""
    table, waits, goes_on = Table(), threading.Event(), threading.Event()

    def take_over(find_dead: Callable[[Set[str]], Set[str]]) -> int:
        waits.set()
        goes_on.wait()
        return 0

    seconds = count()
    keeper = Keeper(
        table, Lengths(lease=20.0, beat=0.01, stuck=30.0), take_over, monotonic=lambda: float(next(seconds))
    )
    keeper.start()
    try:
        assert await asyncio.to_thread(waits.wait, 10)
        before = table.beats
        async with asyncio.timeout(10):
            while table.beats < before + 3:
                await asyncio.sleep(0.01)
    finally:
        goes_on.set()
        await keeper.close()


async def test_it_is_given_back(rig):
    rig.keeper.start()
    await rig.keeper.close()
    assert rig.table.ended
