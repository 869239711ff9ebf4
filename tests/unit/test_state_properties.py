"""States in the real store, whatever is asked of it in whatever order: only allowed steps, and no end is ever left."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.ci import CIRun, CIState
from bot.domain.incident import IncidentState, states_before
from bot.ports.work import EffectState

from tests.worldkit import World, group, make_world, alert  # isort: skip

FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEWER = settings(FEW, max_examples=6)
STATES = st.sampled_from(IncidentState)
ENDS = st.sampled_from([EffectState.DONE, EffectState.FAILED, EffectState.INTENDED])


@contextmanager
def opened() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), opened=True)
        yield world
        world.store.engine.dispose()


@FEW
@given(asked=st.lists(STATES, max_size=20))
def test_an_incident_takes_only_the_steps_it_may(asked):
    with opened() as world:
        for target in asked:
            before = world.incident().state
            with world.unit() as work:
                moved = work.incidents.advance("INC-1", target, work.now)
            assert moved == (before in states_before(target))
            assert world.incident().state is (target if moved else before)


def test_only_an_alert_that_comes_back_leaves_the_resolved_state():
    assert [state for state in IncidentState if IncidentState.RESOLVED in states_before(state)] == [
        IncidentState.TRIGGERED
    ]
    assert all(state not in states_before(state) for state in IncidentState), "no step leads where it began"


@FEW
@given(
    told=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(CIState), st.integers(1, 3), st.text("x", max_size=2)),
        max_size=25,
    )
)
def test_a_ci_run_s_final_word_stands_and_attempts_only_go_up(told):
    with opened() as world:
        known: dict[str, CIRun] = {}
        for sha, state, attempt, tail in told:
            run = CIRun(id=sha, sha=sha, state=state, attempt=attempt, log_tail=tail)
            with world.unit() as work:
                changed = work.ci_runs.put("INC-1", "d" * 64, run)
            before = known.get(sha)
            if before is not None and before.state.is_final and changed:
                assert attempt > before.attempt
            if before is not None and changed:
                assert attempt >= before.attempt
            if changed:
                known[sha] = run
            with world.unit() as work:
                assert {kept.sha: kept for _, kept in work.ci_runs.of("INC-1")} == known


@FEW
@given(orders=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), ENDS), max_size=25))
def test_a_promise_is_made_once_and_settled_once(orders):
    with opened() as world:
        settled: dict[str, EffectState] = {}
        made: set[str] = set()
        for key, is_new, end in orders:
            with world.unit() as work:
                if is_new:
                    assert work.effects.intend(key, "push:x", {"n": key}) == (key not in made)
                    made.add(key)
                elif end is not EffectState.INTENDED:
                    did = work.effects.settle(key, end)
                    assert did == (key in made and key not in settled)
                    if did:
                        settled[key] = end
                waiting = {effect.key for effect in work.effects.next_of("push:x")}
            assert waiting == made - settled.keys()


@FEWER
@given(
    pieces=st.permutations([("a", 0), ("a", 1), ("b", 0), ("b", 2), ("c", 1)]),
    cuts=st.sets(st.integers(1, 4), max_size=4),
)
def test_how_deliveries_are_cut_into_batches_changes_nothing(pieces, cuts):
    """The same alerts in the same order end alike, one at a time, all at once, or anything between."""
    ends = []
    for chosen in (cuts, set(range(1, 5)), set()):
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(Path(folder))
            groups = [group(alert(instance=name, severity=("critical", "warning", "info")[n])) for name, n in pieces]
            begin = 0
            for end in [*sorted(chosen), len(groups)]:
                world.receive(*groups[begin:end])
                begin = end
            ends.append([(item.id, item.state, item.firing, item.alerts_seen) for item in world.incidents()])
            world.store.engine.dispose()
    assert ends[0] == ends[1] == ends[2]
    assert len(ends[0]) == 1


@FEWER
@given(asked=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=8))
def test_as_many_incidents_as_there_are_problems(asked):
    """One group key is one incident; what differs in it is never merged."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        for name, key in asked:
            world.receive(group(alert(f"Alert{name}"), key=key))
        assert len(world.incidents()) == len(set(asked))
        assert sum(item.alerts_seen for item in world.incidents()) == len(asked)
        world.store.engine.dispose()
