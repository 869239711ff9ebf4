"""A person opens an incident that no alert told of: it pages and is investigated as any other."""

from dataclasses import replace

import pytest

from bot.domain.incident import IncidentState, Severity
from bot.domain.playbook import Playbook
from bot.domain.routing import Matcher, Route
from tests.worldkit import CHANNELS, World, make_world, quiet  # noqa: F401 -- `quiet` is a fixture


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path)


def test_it_is_opened_paged_investigated_and_told_everywhere(world):
    general = Playbook(name="general", title="Any other alert", when={}, otherwise=True)
    world.rules = replace(world.rules, playbooks=(general,))
    reply = world.say("/incident declare checkout Nobody can pay since the release", "cleo@web")
    assert (reply.ok, reply.text) == (True, "INC-1 is open, and whoever is on call is paged.")
    incident = world.incident()
    assert (incident.title, incident.service) == ("Nobody can pay since the release", "checkout")
    assert (incident.severity, incident.state, incident.channels) == (
        Severity.CRITICAL,
        IncidentState.TRIGGERED,
        CHANNELS,
    )
    assert world.texts("paged") == ["Paged Ada Lovelace"]
    assert world.texts("declared") == ["Cleo Vance declared it"]
    assert len(world.phases.of("triage")) == 1
    assert all(world.promised(what, channel) for what in ("card", "page", "status") for channel in CHANNELS)
    world.forward(minutes=5)
    assert world.texts("paged")[1:] == ["Paged Ben Okri, Cleo Vance"]


def test_it_stays_open_until_a_person_resolves_it(world):
    world.say("/incident declare checkout Nobody can pay")
    assert world.press("ack:INC-1").ok
    assert world.press("resolve:INC-1").ok
    assert world.incident().state is IncidentState.RESOLVED


def test_the_same_event_again_opens_nothing_and_another_one_opens_another(world):
    first = world.say("/incident declare checkout Nobody can pay", event="e-1")
    assert world.say("/incident declare checkout Nobody can pay", event="e-1") == first
    second = world.say("/incident declare warning Coupons are wrong", event="e-2")
    assert second.text == "INC-2 is open, and whoever is on call is paged. Open there too: INC-1."
    assert (world.incident("INC-2").severity, world.incident("INC-2").title) == (Severity.WARNING, "Coupons are wrong")


@pytest.mark.parametrize("words", ["", "checkout", "critical", "critical checkout"])
def test_what_is_wrong_has_to_be_said(world, words):
    reply = world.say(f"/incident declare {words}")
    assert (reply.ok, "/incident declare SERVICE WHAT" in reply.text) == (False, True)
    assert world.say("/incident list").text == "No incident is open."


def test_where_there_are_several_services_one_has_to_be_named(world):
    other = Route(
        matchers=(Matcher(label="service", pattern="shop"),), service="shop", escalation="", channels=CHANNELS
    )
    world.rules = replace(world.rules, routes=(*world.rules.routes, other))
    reply = world.say("/incident declare Nobody can pay")
    assert (reply.ok, reply.text.endswith("The services are checkout, shop.")) == (False, True)
    assert world.say("/incident declare SHOP Nobody can pay").ok
    assert world.incident().service == "shop"


def test_where_no_service_is_configured_the_default_policy_is_paged(world):
    world.rules = replace(world.rules, routes=(), services={})
    assert world.say("/incident declare Nobody can pay").ok
    assert (world.incident().service, world.texts("paged")) == ("unknown", ["Paged Ada Lovelace"])


def test_a_title_has_bounds(world):
    world.say("/incident declare checkout " + "x" * 5_000)
    assert len(world.incident().title) == 200
