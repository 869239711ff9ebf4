"""The audit trail: sound over everything that happened, and any tampering is found."""

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from bot.domain.ci import CIRun, CIState
from bot.domain.timeline import (
    GENESIS,
    TimelineEvent,
    hash_event,
    parse_anchor,
    verify_chain,
    write_anchor,
)
from bot.errors import Refused
from bot.services.rollout import record_ci, record_push
from tests.worldkit import NOW, FixedClock, PhaseLog, World, alert, group, make_rules, make_store, make_world


def chain(count: int, word: str = "event") -> list[TimelineEvent]:
    events: list[TimelineEvent] = []
    for seq in range(1, count + 1):
        event = TimelineEvent(
            seq=seq,
            at=NOW,
            incident=f"INC-{seq % 3}",
            kind="stage",
            actor="nightshift",
            text=f"{word} {seq}",
            data={"b": "2", "a": "1"},
            previous=events[-1].hash if events else GENESIS,
        )
        events.append(replace(event, hash=hash_event(event)))
    return events


def reseal(events: list[TimelineEvent]) -> list[TimelineEvent]:
    """Rewrite all hashes, as somebody who can write the whole store would."""
    previous, sealed = GENESIS, []
    for event in events:
        linked = replace(event, previous=previous)
        sealed.append(replace(linked, hash=hash_event(linked)))
        previous = sealed[-1].hash
    return sealed


class TestTampering:
    @pytest.mark.parametrize(
        "change",
        [
            {"text": "something else"},
            {"actor": "somebody else"},
            {"incident": "INC-9"},
            {"kind": "approved"},
            {"at": NOW.replace(hour=4)},
            {"data": {"a": "1", "b": "3"}},
            {"data": {}},
            {"hash": "0" * 64},
        ],
        ids=lambda change: next(iter(change)),
    )
    @pytest.mark.parametrize("place", [0, 4, 8])
    def test_a_changed_row_is_found(self, change, place):
        events = chain(9)
        events[place] = replace(events[place], **change)
        fault = verify_chain(events)
        assert fault is not None
        assert fault.seq == place + 1

    @pytest.mark.parametrize("place", [0, 4, 7])
    def test_a_missing_row_is_found(self, place):
        events = chain(9)
        del events[place]
        fault = verify_chain(events)
        assert fault is not None
        assert fault.what == f"row {place + 1} is missing"

    def test_rows_that_changed_places_are_found(self):
        events = chain(9)
        events[3], events[4] = replace(events[4], seq=4), replace(events[3], seq=5)
        assert verify_chain(events) is not None

    def test_a_row_put_in_twice_is_found(self):
        events = chain(9)
        assert verify_chain([*events[:5], *events[4:]]) is not None

    def test_a_row_that_was_put_in_between_is_found(self):
        events = chain(9)
        (forged,) = [replace(events[4], text="forged")]
        assert verify_chain([*events[:4], replace(forged, hash=hash_event(forged)), *events[4:]]) is not None

    def test_a_cut_tail_is_found_by_a_head_that_was_published(self):
        events = chain(9)
        anchor = (9, events[8].hash)
        assert verify_chain(events[:6]) is None, "the chain alone cannot know"
        assert verify_chain(events, [anchor]) is None
        fault = verify_chain(events[:6], [anchor])
        assert fault is not None
        assert fault.seq == 9

    def test_a_rewritten_trail_is_found_by_a_head_that_was_published(self):
        events = chain(9)
        forged = reseal([replace(event, actor="mallory") for event in events])
        assert verify_chain(forged) is None, "the chain alone cannot know"
        assert verify_chain(forged, [(5, events[4].hash)]) is not None

    def test_an_emptied_trail_is_found_by_a_head_that_was_published(self):
        assert verify_chain([], [(1, "a" * 64)]) is not None
        assert verify_chain([]) is None


values = st.text(max_size=8)


@given(actor=values, words=values, kind=values, other=values, data=st.dictionaries(values, values, max_size=3))
def test_two_different_rows_never_have_the_same_hash(actor, words, kind, other, data):
    event = TimelineEvent(seq=1, at=NOW, incident="INC-1", kind=kind, actor=actor, text=words, data=data)
    assert hash_event(replace(event, data=dict(reversed(data.items())))) == hash_event(event)
    for changed in (
        replace(event, actor=actor + "x"),
        replace(event, text=words + "x"),
        replace(event, actor=words, text=actor),
        replace(event, data={**data, other: "y" + data.get(other, "")}),
    ):
        assert (hash_event(changed) == hash_event(event)) is (changed == event)


class TestPublishedHeads:
    def test_are_read_as_they_were_written(self):
        assert parse_anchor(write_anchor(12, "a" * 64)) == (12, "a" * 64)

    @pytest.mark.parametrize("head", ["", ":", "12", "x:" + "a" * 64, "12:abc", "-1:" + "a" * 64, "²:" + "a" * 64])
    def test_anything_else_is_refused(self, head):
        with pytest.raises(Refused):
            parse_anchor(head)


@cache
def play_a_night() -> Path:
    """Paged, acknowledged, patched, approved, pushed, green, resolved, and fired again: the folder it left behind."""
    folder = Path(tempfile.mkdtemp(prefix="nightshift-tests-"))
    world = make_world(folder)
    world.receive(group(alert()), group(alert("DiskFull")))
    world.forward(minutes=5)
    world.press("ack:INC-1", "cleo@web")
    world.press("ack:INC-1", "mallory@web")
    approval = world.propose()
    world.press(f"approve:INC-1:{approval.digest[:12]}", "ben@web")
    with world.unit() as work:
        record_push(work, "INC-1", approval.digest, sha="d" * 40, moved=True)
    for state in (CIState.RUNNING, CIState.PASSED):
        with world.unit() as work:
            record_ci(work, "INC-1", approval.digest, CIRun(id="r", sha="d" * 40, state=state))
    world.receive(group(alert(firing=False)))
    world.forward(minutes=10)
    world.receive(group(alert(starts_at=world.clock.now())))
    world.store.engine.dispose()
    return folder


@pytest.fixture
def night(tmp_path) -> World:
    shutil.copyfile(play_a_night() / "nightshift.db", tmp_path / "nightshift.db")
    clock = FixedClock(NOW + timedelta(hours=1))
    phases = PhaseLog(clock)
    store = make_store(tmp_path, clock, phases, fresh=False)
    return World(path=tmp_path, clock=clock, phases=phases, store=store, rules=make_rules())


def verify(world: World):
    with world.unit() as work:
        return verify_chain(work.timeline.all(), work.timeline.anchors())


def test_the_trail_of_a_whole_night_is_sound(night):
    assert verify(night) is None
    kinds = night.kinds()
    for kind in ("opened", "paged", "acknowledged", "patch_ready", "approved", "pushed", "ci_passed", "resolved"):
        assert kind in kinds
    assert kinds[-3:] == ["reopened", "paged", "triage_queued"]


def test_what_was_rolled_back_leaves_no_gap(night):
    def fail() -> None:
        with night.unit() as work:
            work.timeline.append("INC-1", "never", "nobody", "this never happened")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    night.press("ack:INC-1")
    assert verify(night) is None
    assert "never" not in night.kinds()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE timeline SET actor = 'ada' WHERE kind = 'approved'",
        "UPDATE timeline SET text = replace(text, 'Ben', 'Ada') WHERE kind = 'approved'",
        "UPDATE timeline SET data = '{}' WHERE kind = 'pushed'",
        "UPDATE timeline SET at = '2020-01-01 00:00:00.000000' WHERE seq = 3",
        "UPDATE timeline SET incident = 'INC-2' WHERE kind = 'acknowledged'",
        "DELETE FROM timeline WHERE kind = 'approved'",
        "DELETE FROM timeline WHERE seq = 1",
        "DELETE FROM timeline WHERE seq > 5",
        "DELETE FROM timeline",
        "UPDATE timeline SET seq = seq + 1000 WHERE seq = (SELECT max(seq) FROM timeline)",
    ],
)
def test_any_change_in_the_file_itself_is_found(night, statement):
    with night.store.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    assert verify(night) is not None
