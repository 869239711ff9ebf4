"""Whatever alerts, presses and hours follow one another, an incident keeps its rules."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot.domain.incident import IncidentState
from bot.domain.timeline import verify_chain
from bot.ports.work import EffectState
from tests.worldkit import NOW, alert, group, make_world

INSTANCES = ("a", "b")
words = st.tuples(st.sampled_from(INSTANCES), st.booleans(), st.integers(0, 3))
CHEAP = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def say(instance: str, firing: bool, minute: int):
    return alert(instance=instance, firing=firing, starts_at=NOW + timedelta(minutes=minute))


@CHEAP
@given(spoken=st.lists(words, min_size=1, max_size=6))
def test_identical_words_change_nothing_but_the_count(spoken):
    """Every delivery twice ends like every delivery once."""
    ends = []
    for times in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(Path(folder))
            for word in spoken:
                for _ in range(times):
                    world.receive(group(say(*word)))
            ends.append([(item.id, item.state, item.firing, item.round) for item in world.incidents()])
    assert ends[0] == ends[1]


runs = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5, unique_by=lambda run: run[0])


@CHEAP
@given(data=st.data(), history=runs, hours=st.integers(0, 30))
def test_however_late_and_in_whatever_order_runs_are_told_again_the_newest_one_counts(data, history, hours):
    """Of a sender that tells of each event once, like a CI system."""
    newest = max(history)
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))

        def tell(minute: int, failed: bool) -> None:
            world.receive(replace(group(say("a", failed, minute)), repeats=False))

        for run in history:
            tell(*run)
        assert [item.firing for item in world.incidents() if item.is_open] == ([1] if newest[1] else [])
        if newest[1] and data.draw(st.booleans(), label="a person closes it"):
            world.press(f"resolve:{world.incidents()[0].id}")
        world.forward(hours=hours, minutes=31)
        before = [(item.id, item.state, item.firing, item.round) for item in world.incidents()]
        for run in data.draw(st.permutations(history)):
            tell(*run)
        assert [(item.id, item.state, item.firing, item.round) for item in world.incidents()] == before


class Night(RuleBasedStateMachine):
    """One problem through a night of deliveries, presses and time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = make_world(Path(self.folder.name))
        self.told: list[tuple[str, bool, int]] = []

    def teardown(self) -> None:
        self.world.store.engine.dispose()
        self.folder.cleanup()

    def pages(self, incident: str) -> int:
        return len(self.world.texts("paged", incident))

    @rule(batch=st.lists(words, min_size=1, max_size=4))
    def deliver(self, batch) -> None:
        before = {item.id: (item.state, self.pages(item.id)) for item in self.world.incidents()}
        self.world.receive(*(group(say(*word)) for word in batch))
        self.told += batch
        for incident, (state, pages) in before.items():
            if state is IncidentState.ACKNOWLEDGED:
                assert self.pages(incident) == pages, "a delivery never pages an acknowledged incident"

    @rule(data=st.data())
    def replay(self, data) -> None:
        """What was over already is sent once more, alone, whatever has happened since."""
        old = [word for word in self.told if self.is_over(*word)]
        if not old:
            return
        before = [(item.id, item.state, item.firing, item.round) for item in self.world.incidents()]
        self.world.receive(replace(group(say(*data.draw(st.sampled_from(old)))), repeats=False))
        assert [(item.id, item.state, item.firing, item.round) for item in self.world.incidents()] == before

    def is_over(self, instance: str, firing: bool, minute: int) -> bool:
        """Say whether the store was told that this word is over: of what it was never told it knows nothing."""
        word, incidents = say(instance, firing, minute), self.world.incidents()
        with self.world.unit() as work:
            known = work.alerts.known(incidents[0].key, [word]) if incidents else {}
        last = known.get(word.fingerprint)
        return last is not None and last.settles(word)

    @rule(verb=st.sampled_from(["ack", "resolve", "silence"]), who=st.sampled_from(["ada@web", "cleo@web", "vic@web"]))
    def press(self, verb, who) -> None:
        incidents = self.world.incidents()
        if not incidents:
            return
        before = incidents[0]
        button = f"{verb}:{before.id}" + (":1h" if verb == "silence" else "")
        reply = self.world.press(button, who)
        after = self.world.incident(before.id)
        if who == "vic@web":
            assert not reply.ok
            assert after == before
        if verb == "ack" and reply.ok:
            assert after.owner == who.removesuffix("@web")

    @rule(minutes=st.integers(1, 45))
    def wait(self, minutes) -> None:
        quiet = {
            item.id: self.pages(item.id) for item in self.world.incidents() if item.state is not IncidentState.TRIGGERED
        }
        self.world.forward(minutes=minutes)
        for incident, pages in quiet.items():
            assert self.pages(incident) == pages, "no timer pages what somebody has or what is over"

    @invariant()
    def at_most_one_is_open(self) -> None:
        incidents = self.world.incidents()
        assert sum(item.is_open for item in incidents) <= 1
        for item in incidents:
            assert 0 <= item.firing <= len(INSTANCES)
            assert (item.resolved_at is not None) == (item.state is IncidentState.RESOLVED)
            assert item.owner is None or item.state is not IncidentState.TRIGGERED

    @invariant()
    def each_level_of_each_round_is_paged_once(self) -> None:
        with self.world.unit() as work:
            keys = [item.key for item in work.effects.next_of("chat:web", 10_000) if ":round-" in item.key]
            assert all(work.effects.get(key).state is EffectState.INTENDED for key in keys)
        assert len(keys) == len(set(keys))

    @invariant()
    def the_trail_is_sound(self) -> None:
        with self.world.unit() as work:
            assert verify_chain(work.timeline.all(), work.timeline.anchors()) is None


TestNight = Night.TestCase
TestNight.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
