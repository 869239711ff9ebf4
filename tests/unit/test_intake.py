"""Alerts become incidents, or join, end and reopen the one that is there."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.incident import IncidentState, RunState, Severity
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.services.intake import receive_alerts
from tests.worldkit import CHANNELS, NOW, World, alert, group, make_world

LATER = timedelta(minutes=10)


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path)


def fire(world: World, **changes) -> None:
    world.receive(group(alert(**changes)))


def clear(world: World, **changes) -> None:
    world.receive(group(alert(firing=False, **changes)))


class TestTheFirstAlert:
    def test_opens_one_incident_with_its_promises_and_phases(self, world):
        assert world.receive(group(alert(instance="a"), alert(instance="b"))) == ("INC-1",)

        incident = world.incident()
        assert incident.title == "checkout answers 38 % of requests with 500"
        assert (incident.service, incident.severity, incident.state) == (
            "checkout",
            Severity.CRITICAL,
            IncidentState.TRIGGERED,
        )
        assert (incident.firing, incident.alerts_seen, incident.round, incident.owner) == (2, 2, 1, None)
        for channel in CHANNELS:
            assert world.promised("card", channel)
            assert [effect.payload["arg"] for effect in world.promised("page", channel)] == ["0"]
            assert world.promised("status", channel)
        assert world.phases.keys("triage") == ["INC-1:1"]
        assert [(item.key, item.due - NOW) for item in world.phases.of("escalate")] == [
            ("INC-1:1:1", timedelta(minutes=5))
        ]
        assert world.kinds() == ["opened", "paged", "triage_queued"]

    def test_leaves_nothing_behind_when_its_transaction_fails(self, world):
        def fail() -> None:
            with world.unit() as work:
                receive_alerts(work, [group(alert())], world.rules)
                raise RuntimeError("the power goes")

        with pytest.raises(RuntimeError):
            fail()

        assert not world.incidents()
        assert not world.phases.committed
        with world.unit() as work:
            assert work.effects.backlog() == (0, 0.0)
            assert work.timeline.head()[0] == 0

    def test_is_dated_by_the_alert_that_began_first(self, world):
        early = NOW - timedelta(minutes=40)
        world.receive(group(alert(instance="b"), alert(instance="a", starts_at=early)))
        assert world.incident().alert_started_at == early

    def test_that_is_resolved_already_opens_nothing(self, world):
        assert world.receive(group(alert(firing=False))) == ()
        assert not world.incidents()

    def test_keeps_the_number_of_alerts_that_the_sender_left_out(self, world):
        world.receive(group(alert(), truncated=40))
        world.receive(group(alert(), truncated=12))
        assert world.incident().truncated == 40


class TestMerging:
    def test_identical_deliveries_are_one_incident_paged_once(self, world):
        for _ in range(5):
            fire(world)
        assert [item.id for item in world.incidents()] == ["INC-1"]
        assert (world.incident().alerts_seen, world.incident().firing) == (5, 1)
        assert world.pages() == ["page:INC-1:0:web:round-1"]
        assert world.phases.keys("triage") == ["INC-1:1"]

    def test_a_storm_of_identical_deliveries_is_one_incident_with_one_card_a_batch(self, world):
        storm = group(alert())
        for _ in range(4):
            world.receive(*[storm] * 500)
        assert [item.alerts_seen for item in world.incidents()] == [2_000]
        assert len(world.pages()) == 1
        assert len(world.phases.of("triage")) == 1
        assert len(world.promised("card")) <= 5

    def test_another_instance_in_the_same_group_joins(self, world):
        fire(world, instance="a")
        fire(world, instance="b")
        assert [(item.id, item.firing) for item in world.incidents()] == [("INC-1", 2)]

    def test_another_group_alert_name_or_service_is_another_incident(self, world):
        world.receive(group(alert(), key="one"))
        world.receive(group(alert(), key="two"))
        world.receive(group(alert("DiskFull"), key="one"))
        world.receive(group(alert(service="cart"), key="one"))
        assert len({item.key for item in world.incidents()}) == 4

    def test_one_delivery_with_two_alert_names_is_two_incidents(self, world):
        assert world.receive(group(alert(), alert("DiskFull"))) == ("INC-1", "INC-2")

    def test_group_keys_that_only_look_joined_stay_apart(self, world):
        world.receive(group(alert("B"), key="a|B"))
        world.receive(group(alert("B"), key="a"))
        assert len(world.incidents()) == 2

    def test_a_repeat_never_pages_an_acknowledged_incident_again(self, world):
        fire(world)
        assert world.press("ack:INC-1").ok
        for _ in range(3):
            world.forward(hours=4)
            fire(world)
        assert world.pages() == ["page:INC-1:0:web:round-1"]
        assert world.incident().state is IncidentState.ACKNOWLEDGED


class TestResolving:
    def test_the_last_cleared_alert_resolves_the_incident(self, world):
        fire(world, instance="a")
        fire(world, instance="b")
        clear(world, instance="a")
        assert (world.incident().state, world.incident().firing) == (IncidentState.TRIGGERED, 1)
        clear(world, instance="b")
        assert (world.incident().state, world.incident().firing) == (IncidentState.RESOLVED, 0)
        assert world.texts("resolved") == ["The alert cleared"]

    def test_before_anybody_acknowledged_it_stops_paging(self, world):
        fire(world)
        clear(world)
        world.forward(minutes=30)
        assert world.pages() == ["page:INC-1:0:web:round-1"], "no second level"
        composer = Composer(world.store, world.rules, Links())
        message = composer.compose(world.promised("page")[0], "web")
        assert message is not None
        assert message.rings == (), "a page that was not sent in time rings nobody"

    def test_the_closing_summary_says_that_the_alert_cleared_by_itself(self, world):
        fire(world)
        clear(world)
        composer = Composer(world.store, world.rules, Links())
        message = composer.compose(world.promised("closed")[0], "web")
        assert "when the alert cleared" in str(message)
        assert "by nightshift" not in str(message)

    def test_firing_and_resolved_in_one_batch_ends_resolved(self, world):
        world.receive(group(alert()), group(alert(firing=False)))
        assert world.incident().state is IncidentState.RESOLVED

    def test_an_older_word_about_the_alert_changes_nothing(self, world):
        fire(world)
        clear(world)
        fire(world, starts_at=NOW - LATER)
        assert world.incident().state is IncidentState.RESOLVED

    def test_the_same_firing_word_arriving_late_does_not_reopen(self, world):
        fire(world)
        clear(world)
        fire(world)
        assert world.incident().state is IncidentState.RESOLVED
        assert world.incident().round == 1

    def test_a_stale_resolved_word_does_not_end_a_newer_firing(self, world):
        fire(world, starts_at=NOW)
        clear(world, starts_at=NOW - LATER)
        assert (world.incident().state, world.incident().firing) == (IncidentState.TRIGGERED, 1)

    def test_resolved_before_firing_is_settled_by_the_later_start(self, world):
        fire(world, instance="a")
        clear(world, instance="b", starts_at=NOW)
        fire(world, instance="b", starts_at=NOW)
        assert world.incident().firing == 1, "b was over before its firing word came"


class TestReopening:
    def test_within_thirty_minutes_opens_the_old_incident_and_pages_again(self, world):
        fire(world)
        world.press("ack:INC-1")
        clear(world)
        world.forward(minutes=29)
        fire(world, starts_at=world.clock.now())

        incident = world.incident()
        assert len(world.incidents()) == 1
        assert (incident.state, incident.round, incident.runs, incident.owner) == (IncidentState.TRIGGERED, 2, 2, None)
        assert incident.run_state is RunState.QUEUED
        assert world.pages() == ["page:INC-1:0:web:round-1", "page:INC-1:0:web:round-2"]
        assert world.phases.keys("triage") == ["INC-1:1", "INC-1:2"]

    def test_is_investigated_around_the_time_at_which_it_fired_again(self, world):
        fire(world)
        clear(world)
        world.forward(minutes=20)
        began = world.clock.now() - timedelta(minutes=1)
        fire(world, starts_at=began)
        assert world.incident().alert_started_at == began

    def test_its_page_is_a_new_message_that_rings(self, world):
        fire(world)
        clear(world)
        with world.unit() as work:
            work.postings.put("INC-1", "web", "page:0", "m1")
        world.forward(minutes=5)
        fire(world, starts_at=world.clock.now())
        message = Composer(world.store, world.rules, Links()).compose(world.promised("page")[-1], "web")
        assert message is not None
        assert (message.slot, message.rings) == ("page:0#2", ("ada",))

    def test_the_timer_of_the_round_before_pages_nobody(self, world):
        fire(world)
        clear(world)
        world.forward(minutes=4)
        fire(world, starts_at=world.clock.now())
        world.forward(minutes=2)
        assert world.incident().page_level == 0
        world.forward(minutes=4)
        assert world.incident().page_level == 1

    def test_after_thirty_minutes_is_a_new_incident(self, world):
        fire(world)
        clear(world)
        world.forward(minutes=31)
        fire(world, starts_at=world.clock.now())
        assert [item.id for item in world.incidents()] == ["INC-2", "INC-1"]

    def test_an_alert_that_ran_out_and_fires_again_with_its_old_start_pages(self, world):
        """So Alertmanager tells it after a partition that has healed."""
        fire(world)
        clear(world)
        world.forward(hours=40)
        fire(world)
        assert [(item.id, item.state) for item in world.incidents()] == [
            ("INC-2", IncidentState.TRIGGERED),
            ("INC-1", IncidentState.RESOLVED),
        ]

    def test_an_event_that_is_told_once_and_was_over_long_ago_does_not_join_an_incident_of_the_same_group(self, world):
        def tell(instance, *, firing, at):
            world.receive(replace(group(alert(instance=instance, firing=firing, starts_at=at)), repeats=False))

        began = world.clock.now()
        tell("a", firing=True, at=began)
        tell("a", firing=False, at=began)
        world.forward(hours=2)
        tell("b", firing=True, at=world.clock.now())
        tell("a", firing=True, at=began)
        assert world.incident("INC-2").firing == 1

    def test_what_still_fires_hours_after_a_person_closed_it_opens_a_new_incident(self, world):
        fire(world)
        assert world.press("resolve:INC-1").ok
        world.forward(hours=4)
        fire(world)
        assert [item.id for item in world.incidents()] == ["INC-2", "INC-1"]

    def test_unless_its_sender_tells_of_each_event_once(self, world):
        run = replace(group(alert()), repeats=False)
        world.receive(run)
        assert world.press("resolve:INC-1").ok
        world.forward(hours=4)
        world.receive(run)
        assert [item.id for item in world.incidents()] == ["INC-1"]

    def test_an_end_that_is_told_before_its_beginning_is_remembered(self, world):
        green, red = (replace(group(alert(firing=firing)), repeats=False) for firing in (False, True))
        world.receive(green)
        world.forward(hours=1)
        world.receive(red)
        world.receive(green, red)
        assert not world.incidents()

    def test_counts_every_alert_of_the_delivery(self, world):
        fire(world)
        clear(world)
        began = NOW + timedelta(minutes=1)
        world.receive(group(*(alert(instance=str(n), starts_at=began) for n in range(3))))
        assert (world.incident().alerts_seen, world.incident().firing) == (5, 3)


class TestAlertsThatNobodyClaims:
    def test_are_shown_everywhere_page_the_default_and_say_why_nobody_investigates(self, world):
        world.receive(group(alert(service="billing")))
        incident = world.incident()
        assert (incident.service, incident.channels) == ("billing", CHANNELS)
        assert world.pages()
        assert incident.run_state is RunState.CANCELLED
        assert world.texts("triage_skipped") == ['Not investigated: "billing" is not a configured service']
        assert not world.phases.of("triage")

    def test_page_every_admin_where_no_escalation_is_configured(self, world):
        world.rules = replace(world.rules, escalations={})
        world.receive(group(alert(service="billing")))
        assert world.texts("paged") == ["Paged Ada Lovelace, Ben Okri, Cleo Vance"], "a viewer could do nothing"

    def test_without_a_matching_playbook_say_so(self, world):
        world.receive(group(alert("DiskFull")))
        assert world.texts("triage_skipped") == ["Not investigated: no playbook matches its labels"]
