"""A message that a platform took and did not deliver."""

from dataclasses import replace

import pytest

from bot.domain.chat import Undelivered
from bot.services.paging import acknowledge
from bot.services.undelivered import note_undelivered
from tests.worldkit import World, make_world

MISSED = Undelivered(
    event="m1-failed", channel="web", account="ada@web", incident="INC-1", slot="page:0", why="undeliverable (131026)"
)


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


def note(world: World, **changes: object) -> None:
    with world.unit() as work:
        note_undelivered(work, replace(MISSED, **changes), world.rules)


def test_a_page_that_reached_nobody_goes_on_to_the_next_level_at_once(world):
    note(world)
    assert len(world.texts("paged")) == 2
    assert world.texts("not_delivered") == ["Ada Lovelace was not reached on web: undeliverable (131026)"]


def test_the_same_report_twice_counts_once(world):
    note(world)
    note(world)
    assert (len(world.texts("paged")), len(world.texts("not_delivered"))) == (2, 1)


@pytest.mark.parametrize(
    "changes", [{"slot": "patch:0123456789ab"}, {"slot": "page:0#2"}, {"slot": "page:7"}, {"account": "stranger"}]
)
def test_what_is_no_page_of_now_is_only_written_down(world, changes):
    note(world, **changes)
    assert (len(world.texts("paged")), len(world.texts("not_delivered"))) == (1, 1)


def test_a_page_that_somebody_acknowledged_goes_nowhere(world):
    with world.unit() as work:
        acknowledge(work, "INC-1", "ada", world.rules)
    note(world)
    assert len(world.texts("paged")) == 1


def test_a_level_with_others_waits_for_them(world):
    note(world)
    note(world, event="m2-failed", slot="page:1", account="ben@web")
    assert len(world.texts("paged")) == 2


def test_an_incident_that_is_not_there_is_no_error(world):
    note(world, incident="INC-99")
    assert world.texts("not_delivered") == []
