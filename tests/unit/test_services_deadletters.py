"""A delivery that cannot be read pages somebody, once."""

import pytest

from bot.domain.incident import IncidentState, RunState, Severity
from bot.services.deadletters import report_dead_letter
from tests.worldkit import CHANNELS, World, make_world


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path)


def report(world: World, number: int = 1, source: str = "alertmanager", why: str = "not JSON") -> str:
    with world.unit() as work:
        return report_dead_letter(work, source=source, number=number, why=why, rules=world.rules)


def test_opens_a_critical_incident_that_pages_and_is_not_investigated(world):
    assert report(world) == "INC-1"
    incident = world.incident()
    assert incident.title == "Nightshift could not read an alert from alertmanager"
    assert (incident.severity, incident.run_state, incident.channels) == (
        Severity.CRITICAL,
        RunState.CANCELLED,
        CHANNELS,
    )
    assert world.pages() == ["page:INC-1:0:web:round-1"]
    assert not world.phases.of("triage")
    assert world.phases.keys("escalate") == ["INC-1:1:1"]


def test_more_of_them_are_added_without_another_page(world):
    for number in range(1, 6):
        assert report(world, number) == "INC-1"
    assert len(world.texts("dead_letter")) == 5
    assert len(world.pages()) == 1
    assert world.texts("paged") == ["Paged Ada Lovelace"]


def test_each_sender_has_its_own(world):
    assert report(world, source="alertmanager") != report(world, source="grafana")


def test_after_it_was_resolved_the_next_one_pages_again(world):
    report(world)
    world.press("resolve:INC-1")
    assert report(world, 2) == "INC-2"


def test_it_is_acknowledged_like_any_other(world):
    report(world)
    world.press("ack:INC-1")
    world.forward(hours=1)
    assert world.incident().state is IncidentState.ACKNOWLEDGED
    assert len(world.texts("paged")) == 1


def test_a_long_reason_is_shortened(world):
    report(world, why="x" * 100_000)
    assert len(world.texts("dead_letter")[0]) <= 500
