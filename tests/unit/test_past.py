"""Incidents that look like one of the past are shown with what mended it, and with the reason."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.evidence import Check, CheckRun, ErrorRecord, Frame
from bot.domain.incident import RunState
from bot.domain.investigation import Collected, Confirmed, Drafted, Verified
from bot.domain.past import PastIncident, choose_alike, describe_past, pick_words
from bot.render.progress import render_findings
from bot.services.intake import receive_alerts
from bot.services.triage import finish_triage, record_stage
from tests.unit.render_cases import INCIDENT
from tests.worldkit import NOW, alert, group, make_world

RECORD = ErrorRecord(
    headline="KeyError: 'reduced_rate'",
    kind="KeyError",
    frames=(Frame(path="/app/shop/basket.py", line=3, function="apply_coupon"),),
    lines=(),
)
COLLECTED = Collected(records=(RECORD,), requests=(), evidence=(), lines_read=3)
DRAFTED = Drafted(base="b" * 40, patch=b"x", title='Revert "Cheaper books"', culprit="c" * 40)
RUN = CheckRun(name="tests", at="x", verdict=Check.GREEN, seconds=1.0)
VERIFIED = Verified(before=Check.RED, after=Check.GREEN, runs=(RUN,))


def test_words_are_those_of_the_error_and_its_stack_before_the_title():
    words = pick_words(INCIDENT, (COLLECTED,))
    assert words[:2] == ("keyerror", "reduced_rate")
    assert "apply_coupon" in words
    assert "basket" in words


def test_words_of_a_red_check_are_those_of_the_tests_that_fail():
    red = CheckRun(name="tests", at="x", verdict=Check.RED, seconds=1.0, failing=("test_basket.py::test_reduced_rate",))
    confirmed = Confirmed(culprit=None, request=None, runs=(red, replace(red, failing=("test_other",))), how="")
    words = pick_words(INCIDENT, (replace(COLLECTED, records=()), confirmed))
    assert words[:4] == ("test_basket", "basket", "test_reduced_rate", "reduced")
    assert "other" not in words
    assert "keyerror" in pick_words(INCIDENT, (replace(COLLECTED, records=(), ci_records=(RECORD,)), confirmed))


def test_only_a_patch_that_held_is_called_a_fix():
    assert describe_past(INCIDENT, (COLLECTED, DRAFTED, VERIFIED), NOW).fix == 'Revert "Cheaper books"'
    assert describe_past(INCIDENT, (COLLECTED, DRAFTED), NOW).fix == ""
    confirmed = Confirmed(culprit="c" * 40, request=None, runs=(), how="")
    assert describe_past(INCIDENT, (COLLECTED, confirmed), NOW).fix == "nothing yet; the culprit was cccccccccccc"


def past(name, *words, fix=""):
    return PastIncident(incident=name, service="shop", title="Errors", fix=fix, words=words, at=NOW)


def test_incidents_that_share_little_are_not_alike():
    found = [past("INC-1", "rate", "basket"), past("INC-2", "rate", "basket", "coupon", fix="a revert")]
    (alike,) = choose_alike(["rate", "coupon", "basket", "more"], found)
    assert alike.text == "INC-2 “Errors”; its fix: a revert; shares rate, basket, coupon"


def incident_of(world, name):
    with world.store.begin() as work:
        receive_alerts(work, [group(alert(alertname=name), key=name)], world.rules)
    with world.store.begin() as work:
        return work.incidents.recent()[0]


def test_a_later_incident_with_the_same_error_names_the_first_one_and_its_fix(tmp_path):
    world = make_world(tmp_path)
    first = incident_of(world, "First")
    with world.store.begin() as work:
        work.incidents.save(replace(work.incidents.get(first.id), run_state=RunState.RUNNING))
        for result in (COLLECTED, DRAFTED, VERIFIED):
            record_stage(work, first.id, run=first.run, result=result)
        finish_triage(work, first.id, state=RunState.DONE)
    second = incident_of(world, "Second")
    assert second.id != first.id
    with world.store.begin() as work:
        record_stage(work, second.id, run=second.run, result=COLLECTED)
        told = [event.text for event in work.timeline.of(second.id) if event.kind == "alike"]
        none = [event for event in work.timeline.of(first.id) if event.kind == "alike"]
    assert len(told) == 1
    assert told[0].startswith(f"Looks like {first.id} “")
    assert 'its fix: Revert "Cheaper books"' in told[0]
    assert none == []


def test_what_looks_alike_only_by_its_failing_test_is_named_once_that_was_run(tmp_path):
    world = make_world(tmp_path)
    bare = replace(COLLECTED, records=())
    failing = ("tests/test_basket.py::test_reduced_rate_of_books",)
    red = CheckRun(name="tests", at="x", verdict=Check.RED, seconds=1.0, failing=failing)
    confirmed = Confirmed(culprit="c" * 40, request=None, runs=(red,), how="it fails there")
    first = incident_of(world, "First")
    with world.store.begin() as work:
        work.incidents.save(replace(work.incidents.get(first.id), run_state=RunState.RUNNING))
        for result in (bare, confirmed, DRAFTED, VERIFIED):
            record_stage(work, first.id, run=first.run, result=result)
        finish_triage(work, first.id, state=RunState.DONE)
    second = incident_of(world, "Second")
    with world.store.begin() as work:
        record_stage(work, second.id, run=second.run, result=bare)
        record_stage(work, second.id, run=second.run, result=confirmed)
        (told,) = [event.text for event in work.timeline.of(second.id) if event.kind == "alike"]
    assert "shares test_basket, basket, test_reduced_rate_of_book" in told


def test_what_is_kept_anew_takes_the_place_of_what_was(tmp_path):
    world = make_world(tmp_path)
    with world.store.begin() as work:
        work.past_incidents.keep(past("INC-1", "rate", "basket"))
        work.past_incidents.keep(replace(past("INC-1", "coupon"), at=NOW + timedelta(hours=1)))
        assert work.past_incidents.like(["basket"], but="") == []
        assert [each.incident for each in work.past_incidents.like(["coupon", "x"], but="")] == ["INC-1"]
        assert work.past_incidents.like(["coupon"], but="INC-1") == []
        assert work.past_incidents.like(['"', "a b", "NEAR("], but="") == ()


def test_the_thread_shows_them_with_the_findings():
    message = render_findings(INCIDENT, (), (), alike=("Looks like INC-2",))
    assert any("INC-2" in str(block) for block in message.blocks)
