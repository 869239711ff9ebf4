"""A card that waits says so when a freeze begins and when it ends, at that time and once."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given as generate
from hypothesis import strategies as st

from bot.domain.approval import ApprovalState
from bot.domain.approvals.freeze import Freeze, Weekday, find_border, find_freeze
from bot.domain.chat import Paragraph
from bot.engine.compose import Composer
from bot.engine.freezes import FreezeWatch
from bot.render.links import Links
from tests.approvalkit import QUARTER, given, press
from tests.worldkit import NOW, World, make_world

SOON = replace(QUARTER, since=NOW + timedelta(minutes=10), until=NOW + timedelta(minutes=30))


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


async def tick(world: World, **time: float) -> list[str]:
    """Let time pass and a tick come; return the promises for the card."""
    world.clock.advance(**time)
    await FreezeWatch(world.store, world.rules).look()
    return [effect.key for effect in world.promised("patch") if ":freeze-" in effect.key]


def card(world: World) -> list[str]:
    effect = world.promised("patch")[-1]
    message = Composer(world.store, world.rules, Links()).compose(effect, "web")
    return [block.text for block in message.blocks if isinstance(block, Paragraph)]


class TestTheCard:
    async def test_a_freeze_that_begins_is_on_the_card_then(self, world):
        given(world, freezes=(SOON,))
        world.propose()
        assert not await tick(world)
        assert not card(world)[0].startswith("Freeze")
        assert len(await tick(world, minutes=10)) == 1
        assert card(world)[0] == f"Freeze until {SOON.until:%a %H:%M} UTC: quarter close."

    async def test_a_freeze_that_ends_is_on_the_card_then(self, world):
        given(world, freezes=(SOON,))
        approval = world.propose()
        await tick(world, minutes=10)
        assert len(await tick(world, minutes=20)) == 2
        assert card(world)[0] == f"The freeze ended at {SOON.until:%H:%M} UTC; Approve works now."
        assert press(world, "approve", approval).ok

    async def test_each_border_is_promised_once_however_often_and_by_whom_it_is_seen(self, world):
        given(world, freezes=(SOON,))
        world.propose()
        for _ in range(3):
            promises = await tick(world, minutes=10, seconds=5)
        assert len(promises) == 2

    async def test_a_tick_that_was_lost_is_made_up_for(self, world):
        given(world, freezes=(SOON,))
        world.propose()
        assert len(await tick(world, minutes=45)) == 1
        assert "The freeze ended at" in card(world)[0]

    async def test_what_is_decided_or_has_run_out_is_left_alone(self, world):
        given(world, freezes=(SOON,))
        approval = world.propose()
        assert press(world, "reject", approval, reason="Wrong cause").ok
        assert world.approval(approval.digest).state is ApprovalState.REJECTED
        assert not await tick(world, minutes=10)

    async def test_an_approval_past_its_time_is_left_alone(self, world):
        given(world, freezes=(replace(SOON, since=NOW + timedelta(hours=2), until=NOW + timedelta(hours=3)),))
        world.propose()
        assert not await tick(world, hours=2)

    async def test_a_freeze_of_another_service_is_not_told(self, world):
        given(world, freezes=(replace(SOON, services=("search",)),))
        world.propose()
        assert not await tick(world, minutes=10)


MOMENTS = st.integers(0, 20_160).map(lambda steps: datetime(2026, 3, 20, tzinfo=UTC) + timedelta(minutes=steps))
FREEZES = st.builds(
    Freeze,
    reason=st.just("calm"),
    services=st.sampled_from([(), ("shop",), ("search",)]),
    weekdays=st.lists(st.sampled_from(list(Weekday)), unique=True).map(tuple),
    start=st.sampled_from([time(0), time(2, 30), time(12), time(18)]),
    end=st.sampled_from([time(0), time(6), time(13), time(2, 30)]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"]),
)


class TestBorders:
    @generate(st.lists(FREEZES, max_size=3), MOMENTS, st.integers(0, 4 * 24 * 60))
    def test_without_a_border_between_them_two_moments_are_held_alike(self, freezes, since, minutes):
        now = since + timedelta(minutes=minutes)
        border = find_border(freezes, service="shop", since=since, now=now)
        if border is None:
            before, after = (find_freeze(freezes, service="shop", now=at) for at in (since, now))
            assert (before is None) is (after is None)
        else:
            assert since < border <= now

    def test_the_newest_border_counts(self):
        since, until = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
        freezes = [Freeze(reason="calm", since=since, until=until)]
        borders = [
            find_border(freezes, service="shop", since=NOW, now=NOW + timedelta(seconds=seconds))
            for seconds in (59, 60, 119, 120, 999)
        ]
        assert borders == [None, since, since, until, until]
