"""The card, the page and the summary say what a person needs, and offer only what can be done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.chat import Fields, Link, Message, Paragraph, Tone
from bot.domain.incident import Incident, IncidentState
from bot.domain.presses import parse_press
from bot.domain.timeline import TimelineEvent
from bot.render.incident import render_card, render_closed, render_page
from bot.render.links import Links
from bot.render.milestones import list_milestones
from tests.unit.render_cases import INCIDENT, NAMES, NOW, STARTED

LINKS = Links(base="https://bot.example")
ACKNOWLEDGED = replace(INCIDENT, state=IncidentState.ACKNOWLEDGED, owner="ana")
RESOLVED = replace(
    ACKNOWLEDGED, state=IncidentState.RESOLVED, firing=0, resolved_at=NOW + timedelta(minutes=22), resolved_by="bo"
)


def card(incident: Incident) -> Message:
    return render_card(incident, now=NOW, names=NAMES, links=LINKS)


def facts(message: Message) -> dict[str, str]:
    return dict(item for block in message.blocks if isinstance(block, Fields) for item in block.items)


def texts(message: Message) -> str:
    return " ".join(block.text for block in message.blocks if isinstance(block, Paragraph))


def labels(message: Message) -> list[str]:
    return [button.label for button in message.buttons]


def test_a_new_card_says_what_since_when_and_offers_everything() -> None:
    message = card(INCIDENT)
    assert message.headline == "INC-7 Half of all checkout requests fail"
    assert (message.slot, message.in_thread, message.tone, message.rings) == ("card", False, Tone.BAD, ())
    assert "Nobody has it yet." in texts(message)
    expected = {"Since": "02:14 UTC", "Severity": "critical", "Value": "0.52", "Where": "path=/pay code=500"}
    assert facts(message).items() >= expected.items()
    assert facts(message)["Alerts"] == "3 firing, 12 received"
    assert labels(message) == [
        "Acknowledge",
        "Escalate",
        "Resolve",
        "Silence 1 h",
        "Silence 4 h",
        "Silence until resolved",
    ]


def test_a_card_says_once_who_has_it() -> None:
    assert "Owner" not in facts(card(ACKNOWLEDGED))
    assert texts(card(ACKNOWLEDGED)).count("Ana has it") == 1
    assert "Ana" in facts(card(RESOLVED))["Owner"], "there the first line says how it ended"


def test_the_card_of_a_red_run_names_it_and_links_to_it() -> None:
    sha = "3484a3fb816e0859fd6e1cea078d76385ff50625"
    run = {"alertname": "CIFailed", "workflow": "Build\nand test", "branch": "main", "sha": sha}
    message = card(replace(INCIDENT, labels=run))
    assert facts(message)["CI run"] == "Build and test on branch main, commit 3484a3fb816e"
    assert "CI run" in [block.label for block in message.blocks if isinstance(block, Link)]
    for other in ({**run, "sha": "main"}, {**run, "workflow": ""}):
        assert "CI run" not in str(card(replace(INCIDENT, labels=other)))


def test_every_button_can_be_read_back_and_pressed_with_one_key() -> None:
    buttons = card(INCIDENT).buttons
    assert {parse_press(button.id).incident for button in buttons} == {"INC-7"}
    assert len({button.key for button in buttons}) == len(buttons)


def test_links_only_where_there_is_something_to_open() -> None:
    shown = [block.label for block in card(INCIDENT).blocks if isinstance(block, Link)]
    assert shown == ["Runbook", "Dashboard", "Source", "Nightshift"]
    hostile = replace(
        INCIDENT, annotations={"runbook_url": "javascript:alert(1)"}, source_url="file:///etc/passwd", dashboard_url=""
    )
    bare = render_card(hostile, now=NOW, names=NAMES, links=Links())
    assert [block for block in bare.blocks if isinstance(block, Link)] == []


def test_the_card_follows_the_state() -> None:
    taken = card(ACKNOWLEDGED)
    assert "Ana has it" in texts(taken)
    assert "Acknowledge" not in labels(taken)
    done = card(RESOLVED)
    assert "Resolved at 02:40 UTC by Bo, after 26 min." in texts(done)
    assert (done.buttons, done.tone) == ((), Tone.GOOD)


def test_silence_and_left_out_alerts_are_said() -> None:
    silenced = card(replace(INCIDENT, silenced_until=NOW + timedelta(hours=1), truncated=5))
    assert facts(silenced)["Silenced"] == "until 03:18 UTC"
    assert facts(silenced)["Left out"] == "5 alerts by the sender"
    assert not [label for label in labels(silenced) if label.startswith("Silence")]
    forever = card(replace(INCIDENT, silenced_until=datetime.max.replace(tzinfo=UTC)))
    assert facts(forever)["Silenced"] == "until it resolves"


def test_the_service_is_named_once() -> None:
    assert card(replace(INCIDENT, title="5xx everywhere")).headline == "INC-7 checkout: 5xx everywhere"


@pytest.mark.parametrize("text", ["line\nbreak " * 200, "\x1b[2J" + "x" * 5000])
def test_a_hostile_title_stays_one_short_line(text: str) -> None:
    headline = card(replace(INCIDENT, title=text)).headline
    assert "\n" not in headline
    assert len(headline) < 160


def test_a_page_names_people_rings_them_and_says_how_to_stop_it() -> None:
    page = render_page(INCIDENT, ["ana", "bo"], 0, now=NOW, names=NAMES, links=LINKS)
    assert page.headline == "Ana and Bo: Half of all checkout requests fail"
    assert page.rings == ("ana", "bo")
    assert page.slot == "page:0"
    assert labels(page) == ["Acknowledge", "Escalate"]
    assert "Acknowledge to stop the page." in texts(page)
    second = render_page(INCIDENT, ["cem"], 1, now=NOW, names=NAMES, links=LINKS)
    assert "Nobody has acknowledged the page before this one." in texts(second)


def test_an_acknowledged_page_rings_nobody() -> None:
    page = render_page(ACKNOWLEDGED, ["ana"], 0, now=NOW, names=NAMES, links=LINKS)
    assert (page.rings, page.buttons) == ((), ())
    assert "Ana has it" in texts(page)


def test_a_reopened_incident_gets_new_messages_on_its_old_card() -> None:
    again = replace(INCIDENT, round=2)
    assert render_page(again, ["ana"], 0, now=NOW, names=NAMES, links=LINKS).slot == "page:0#2"
    assert card(again).slot == "card"


def test_the_summary_gives_durations() -> None:
    milestones = [("Acknowledged", STARTED + timedelta(seconds=42))]
    message = render_closed(RESOLVED, now=NOW + timedelta(hours=1), names=NAMES, links=LINKS, milestones=milestones)
    assert message.headline == "INC-7 resolved after 26 min"
    expected = {"Noticed": "after 30 s", "Acknowledged": "after 42 s", "Resolved": "02:40 UTC, by Bo", "Had it": "Ana"}
    assert facts(message).items() >= expected.items()


def _event(seq: int, kind: str, actor: str, **data: str) -> TimelineEvent:
    at = STARTED + timedelta(seconds=seq)
    return TimelineEvent(seq=seq, at=at, incident="INC-7", kind=kind, actor=actor, text="", data=data)


def test_several_approvals_of_one_patch_are_one_step_with_their_names():
    events = [
        _event(1, "paged", "nightshift"),
        _event(5, "approved", "ada", digest="a"),
        _event(6, "approved", "ben", digest="a"),
        _event(7, "pushed", "nightshift"),
        _event(8, "posted", "nightshift"),
        _event(9, "approved", "ada", digest="b"),
    ]
    steps = list_milestones(events, {"ada": "Ada", "ben": "Ben"})
    assert [(what, (at - STARTED).total_seconds()) for what, at in steps] == [
        ("Paged", 1),
        ("Approved by Ada and Ben", 6),
        ("Pushed", 7),
        ("Approved by Ada", 9),
    ]
