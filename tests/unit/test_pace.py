"""Turns: as many at once as a window takes, then one by one, and later rather than refused."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from bot.errors import Reason, Unavailable
from connectors.chat import pace
from connectors.chat.pace import Credit, Pace, insist


class Watch:
    """A time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: watch.now))
    monkeypatch.setattr(pace, "asyncio", SimpleNamespace(sleep=watch.sleep))
    return watch


async def take(own: Pace, spare: int = 0) -> None:
    async with own.turn(spare=spare):
        pass


async def test_what_a_window_holds_goes_at_once_and_the_rest_when_it_is_due(watch: Watch) -> None:
    own, times = Pace((2, 2.0)), []
    for _ in range(6):
        await take(own)
        times.append(watch.now - 100)
    assert times == [0, 0, 2, 2, 4, 4]


async def test_every_window_counts(watch: Watch) -> None:
    own, times = Pace((1, 1.0), (3, 9.0)), []
    for _ in range(3):
        await take(own)
        times.append(watch.now - 100)
    assert times == [0, 1, 2]
    with pytest.raises(Unavailable):
        await take(own)


async def test_a_call_counts_from_its_end(watch: Watch) -> None:
    own = Pace((1, 1.0))
    async with own.turn():
        watch.now += 30
    await take(own)
    assert watch.now == 131


async def test_a_long_wait_is_the_dispatchers_and_takes_no_turn(watch: Watch) -> None:
    own = Pace((1, 60.0))
    await take(own)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await take(own)
        assert (caught.value.reason, caught.value.retry_after) == (Reason.RATE_LIMITED, 60.0)
    watch.now += 60
    await take(own)


async def test_some_turns_are_left_to_what_is_more_urgent(watch: Watch) -> None:
    own = Pace((20, 60.0))
    for _ in range(17):
        await take(own, 3)
    with pytest.raises(Unavailable):
        await take(own, 3)
    for _ in range(3):
        await take(own)
    assert watch.now == 100


async def test_credit_is_used_at_once_and_paid_back_one_by_one(watch: Watch) -> None:
    own = Credit(10, 6.0)
    for _ in range(7):
        await take(own, 3)
    with pytest.raises(Unavailable) as caught:
        await take(own, 3)
    assert caught.value.retry_after == 6.0
    watch.now += 6
    await take(own, 3)
    for _ in range(3):
        await take(own)
    with pytest.raises(Unavailable):
        await take(own)
    watch.now += 60
    for _ in range(10):
        await take(own)
    assert watch.now == 166


def failing(*errors: Unavailable) -> Callable[[], object]:
    left = list(errors)

    async def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


async def test_an_answer_waits_for_its_turn_and_is_given(watch: Watch) -> None:
    act = failing(Unavailable("429", Reason.RATE_LIMITED, 6.0), Unavailable("429", Reason.RATE_LIMITED))
    assert (await insist(act), watch.now) == ("done", 107)


async def test_an_answer_that_fails_for_another_reason_is_not_tried_again(watch: Watch) -> None:
    with pytest.raises(Unavailable):
        await insist(failing(Unavailable("down", Reason.UNREACHABLE)))
    assert watch.now == 100
