"""Who is rung, when the next level follows, and what stops it."""

import pytest

from bot.domain.incident import IncidentState
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.services import paging
from tests.worldkit import World, alert, group, make_world

LEVEL_0, LEVEL_1, LEVEL_2 = (f"page:INC-1:{level}:web:round-1" for level in range(3))


@pytest.fixture
def world(tmp_path) -> World:
    """A world in which one alert has just opened INC-1: Ada is paged."""
    return make_world(tmp_path, opened=True)


class TestEscalationByTheClock:
    def test_pages_the_next_level_when_nobody_acknowledged_in_time(self, world):
        world.forward(minutes=4, seconds=59)
        assert world.pages() == [LEVEL_0]
        world.forward(seconds=1)
        assert world.pages() == [LEVEL_0, LEVEL_1]
        assert world.texts("paged")[-1] == "Paged Ben Okri, Cleo Vance"
        world.forward(minutes=5)
        assert world.pages() == [LEVEL_0, LEVEL_1, LEVEL_2]
        world.forward(hours=5)
        assert len(world.texts("paged")) == 3

    def test_happens_once_however_often_its_timer_runs(self, world):
        (timer,) = world.phases.of("escalate")
        world.clock.advance(minutes=5)
        paged = []
        for _ in range(3):
            with world.unit() as work:
                paged.append(
                    paging.escalate_due(work, "INC-1", round_=int(timer.args["round"]), level=1, rules=world.rules)
                )
        assert paged == [True, False, False]
        assert world.pages() == [LEVEL_0, LEVEL_1]
        assert world.phases.keys("escalate").count("INC-1:1:2") == 1

    @pytest.mark.parametrize("button", ["ack:INC-1", "resolve:INC-1", "silence:INC-1:1h"])
    def test_is_stopped_by_a_press(self, world, button):
        assert world.press(button).ok
        world.forward(minutes=5)
        assert world.pages() == [LEVEL_0]

    def test_takes_the_page_before_it_off_the_screen(self, world):
        world.forward(minutes=5)
        message = Composer(world.store, world.rules, Links()).compose(world.promised("page")[0], "web")
        assert message is not None
        assert message.headline.startswith("Escalated: ")
        assert not message.buttons
        assert not message.rings


class TestSilence:
    @pytest.mark.parametrize(("length", "minutes"), [("1h", 60), ("4h", 240)])
    def test_puts_escalation_off_until_it_ends(self, world, length, minutes):
        assert world.press(f"silence:INC-1:{length}").ok
        world.forward(minutes=5)
        world.forward(minutes=minutes - 6)
        assert world.pages() == [LEVEL_0]
        world.forward(minutes=1)
        assert world.pages() == [LEVEL_0, LEVEL_1]

    def test_that_is_prolonged_puts_it_off_again(self, world):
        world.press("silence:INC-1:1h")
        world.forward(minutes=30)
        world.press("silence:INC-1:1h")
        world.forward(minutes=31)
        assert world.pages() == [LEVEL_0]
        world.forward(minutes=30)
        assert world.pages() == [LEVEL_0, LEVEL_1]

    def test_then_an_acknowledgement_still_ends_it(self, world):
        world.press("silence:INC-1:1h")
        world.forward(minutes=30)
        world.press("ack:INC-1")
        world.forward(hours=3)
        assert world.pages() == [LEVEL_0]

    def test_until_resolved_waits_for_no_clock(self, world):
        world.press("silence:INC-1:until-resolved")
        world.forward(minutes=5)
        assert not world.phases.of("escalate")

    def test_leaves_the_incident_open_and_counting(self, world):
        world.press("silence:INC-1:4h")
        world.receive(group(alert()))
        assert (world.incident().state, world.incident().alerts_seen) == (IncidentState.TRIGGERED, 2)

    def test_is_over_when_the_incident_is(self, world):
        world.press("silence:INC-1:until-resolved")
        world.receive(group(alert(firing=False)))
        world.forward(minutes=2)
        world.receive(group(alert(starts_at=world.clock.now())))
        world.forward(minutes=5)
        assert len(world.texts("paged")) == 3, "the reopened incident pages and escalates"

    def test_an_unknown_length_is_refused(self, world):
        reply = world.press("silence:INC-1:9y")
        assert not reply.ok
        assert world.incident().silenced_until is None


class TestAcknowledging:
    def test_gives_the_incident_to_one_person(self, world):
        assert world.press("ack:INC-1", "cleo@web").text == "INC-1 is yours. Paging has stopped."
        assert (world.incident().state, world.incident().owner) == (IncidentState.ACKNOWLEDGED, "cleo")

    def test_a_second_person_is_told_who_has_it(self, world):
        world.press("ack:INC-1", "cleo@web")
        reply = world.press("ack:INC-1", "ada@web")
        assert (reply.ok, reply.text) == (False, "Cleo Vance has INC-1 already.")
        assert world.incident().owner == "cleo"

    def test_a_second_press_of_the_same_person_changes_nothing(self, world):
        world.press("ack:INC-1")
        reply = world.press("ack:INC-1")
        assert (reply.ok, reply.text) == (False, "You have INC-1 already.")
        assert world.kinds().count("acknowledged") == 1

    def test_a_resolved_incident_cannot_be_taken(self, world):
        world.press("resolve:INC-1")
        assert world.press("ack:INC-1").text == "INC-1 is resolved already."

    def test_takes_the_buttons_off_every_page_that_rang(self, world):
        world.forward(minutes=5)
        world.press("ack:INC-1")
        composer = Composer(world.store, world.rules, Links())
        for effect in world.promised("page"):
            message = composer.compose(effect, "web")
            assert message is not None
            assert message.headline.startswith("Page ended: ")
            assert not message.buttons

    def test_a_mitigated_incident_can_be_taken_again(self, world):
        with world.unit() as work:
            assert work.incidents.advance("INC-1", IncidentState.MITIGATED, work.now)
        assert world.press("ack:INC-1").ok


class TestEscalatingByHand:
    def test_pages_the_next_level_now_and_its_own_timer_no_more(self, world):
        assert world.press("escalate:INC-1:0").text == "Paged Ben Okri, Cleo Vance."
        assert world.pages() == [LEVEL_0, LEVEL_1]
        world.forward(minutes=4)
        assert world.pages() == [LEVEL_0, LEVEL_1]

    def test_starts_the_clock_of_the_level_after_it(self, world):
        world.forward(minutes=2)
        world.press("escalate:INC-1:0")
        world.forward(minutes=4)
        assert world.pages() == [LEVEL_0, LEVEL_1], "level 1's timer had been set before the press"
        world.forward(minutes=1)
        assert world.pages() == [LEVEL_0, LEVEL_1, LEVEL_2]

    def test_two_people_at_once_escalate_once(self, world):
        world.press("escalate:INC-1:0", "ada@web")
        reply = world.press("escalate:INC-1:0", "cleo@web")
        assert (reply.ok, reply.text) == (False, "INC-1 was escalated already.")
        assert world.pages() == [LEVEL_0, LEVEL_1]

    def test_past_the_last_level_says_so(self, world):
        world.press("escalate:INC-1:0")
        world.press("escalate:INC-1:1")
        reply = world.press("escalate:INC-1:2")
        assert (reply.ok, reply.text) == (False, "Everybody on the escalation policy has been paged.")

    def test_brings_help_to_an_acknowledged_incident_without_starting_the_clock_again(self, world):
        world.press("ack:INC-1")
        assert world.press("escalate:INC-1:0").ok
        world.forward(minutes=30)
        assert LEVEL_2 not in world.pages()

    def test_rings_whoever_is_called_to_help_until_it_is_resolved(self, world):
        world.press("ack:INC-1")
        world.press("escalate:INC-1:0", "ada@web")
        compose = Composer(world.store, world.rules, Links()).compose
        page = next(effect for effect in world.promised("page") if effect.key == LEVEL_1)
        message = compose(page, "web")
        assert (message.headline[:26], message.rings) == ("Ben Okri and Cleo Vance: c", ("ben", "cleo"))
        assert "Ada Lovelace has it, since 03:12 UTC. Help is wanted." in message.blocks[0].text
        assert [button.label for button in message.buttons] == ["Escalate"]
        first = next(effect for effect in world.promised("page") if effect.payload["arg"] == "0")
        assert compose(first, "web").headline.startswith("Page ended: ")
        world.press("resolve:INC-1")
        assert compose(page, "web").headline.startswith("Page ended: ")

    def test_a_resolved_incident_stays_quiet(self, world):
        world.press("resolve:INC-1")
        assert not world.press("escalate:INC-1:0").ok


class TestResolving:
    def test_by_hand_names_the_person_and_is_told_once(self, world):
        assert world.press("resolve:INC-1", "cleo@web").ok
        assert not world.press("resolve:INC-1", "ada@web").ok
        assert (world.incident().state, world.incident().resolved_by) == (IncidentState.RESOLVED, "cleo")
        assert world.texts("resolved") == ["Cleo Vance resolved it"]
        assert len(world.promised("closed")) == 1

    def test_an_alert_that_still_fires_reopens_it_only_when_it_began_anew(self, world):
        world.press("resolve:INC-1")
        world.receive(group(alert()))
        assert world.incident().state is IncidentState.RESOLVED
        world.receive(group(alert(starts_at=world.clock.now())))
        assert world.incident().state is IncidentState.TRIGGERED
