"""The model's part in the store: queued once, waits without holding, stands beside verified patches, ends in words."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.agent.briefing import write_task
from bot.domain.evidence import Check, CheckRun
from bot.domain.incident import RunState
from bot.domain.investigation import Verified
from bot.domain.patches.patch import parse_patch
from bot.domain.playbook import Playbook
from bot.domain.runs.transcript import Conclusion, EndReason, Proposal, Step, StepKind
from bot.errors import Refused
from bot.services import modelling, paging
from bot.services.modelling import read_args
from bot.store.codec import VERIFIED
from tests.worldkit import BASE, NOW, World, alert, group, make_world

RUN = "INC-1:1"
GREEN = CheckRun(name="reproduction", at="x", verdict=Check.GREEN, seconds=0.1)
HELD = Verified(before=Check.RED, after=Check.GREEN, runs=(GREEN,), rung="fake")
FELL = Verified(before=Check.RED, after=Check.RED, runs=(replace(GREEN, verdict=Check.RED),), rung="fake")


def patch(line: str) -> bytes:
    raw = f"--- a/shop/cart.py\n+++ b/shop/cart.py\n@@ -1 +1 @@\n-old\n+{line}\n"
    return parse_patch(raw.encode()).text


def answer(line: str = "new", verified: Verified = HELD, title: str = "Mend it") -> Conclusion:
    proposal = Proposal(base=BASE, patch=patch(line), title=title, verified=verified)
    return Conclusion(why=EndReason.DONE, text="cart.py:1 is old.", proposals=(proposal,))


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert()))
    return world


def conclude(world: World, conclusion: Conclusion) -> bool:
    with world.unit() as work:
        return modelling.conclude_model(work, "INC-1", RUN, conclusion, world.rules)


def start(world: World) -> dict:
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return dict(world.phases.of("model")[-1].args)


def wait(world: World, args: dict, *, why="It is down", retry_after=None, patience=3600.0) -> None:
    with world.unit() as work:
        modelling.wait_for_model(work, read_args(args), why=why, retry_after=retry_after, patience=patience)


def drafts(world: World) -> list[str]:
    with world.unit() as work:
        return [draft.title for draft in work.drafts.of("INC-1")]


def test_it_is_queued_once(world):
    start(world)
    start(world)
    assert world.phases.keys("model") == [RUN]


def test_the_model_is_told_of_the_other_playbooks_with_a_line_each(world):
    others = tuple(Playbook(name=f"p{number:02}", title="What to do\nthen", when={}) for number in range(22))
    start(world)
    rules = replace(world.rules, playbooks=(*world.rules.playbooks, *others))
    with world.unit() as work:
        job = modelling.plan_model(work, "INC-1", run="INC-1:1", folder="/nowhere", rules=rules)
    task = write_task(job, head=BASE, checks=(), clean=str)
    lines = task.partition("Others, by their names for load_playbook:\n")[2].partition("\n\n")[0].split("\n")
    assert lines[:2] == ["- p00: What to do then", "- p01: What to do then"]
    assert lines[19:] == ["- p19: What to do then", "- … 2 more; load_playbook without a name lists them all"]
    alone = write_task(replace(job, playbooks={}), head=BASE, checks=(), clean=str)
    assert "load_playbook" not in alone


def test_a_verified_patch_is_proposed_and_the_run_waits_for_people(world):
    with world.unit() as work:
        work.incidents.save(replace(work.incidents.get("INC-1"), run_state=RunState.DONE))
    assert conclude(world, answer())
    assert drafts(world) == ["Mend it"]
    assert world.incident().run_state is RunState.WAITING
    assert not conclude(world, answer()), "a run concludes once"
    assert world.texts("model_ended") == [
        'The model has answered. It proposes "Mend it". In its words: cart.py:1 is old.'
    ]


def test_it_stands_beside_a_verified_patch_and_an_unverified_one_does_not(world):
    assert conclude(world, answer("first"))
    fell = answer("second", FELL)
    with world.unit() as work:
        assert "stands alone" in modelling._find_objection(work, "INC-1", fell.best)
        assert modelling._find_objection(work, "INC-1", answer("third").best) == ""
        assert "same patch" in modelling._find_objection(work, "INC-1", answer("first").best)


def test_at_most_three_patches_wait(world):
    with world.unit() as work:
        for line in ("a", "b", "c"):
            modelling._propose(work, "INC-1", answer(line, title=line), world.rules)
    assert not conclude(world, answer("d"))
    assert sorted(drafts(world)) == ["a", "b", "c"]
    assert "3 patches wait" in world.texts("model_ended")[0]


def test_no_patch_is_no_failure(world):
    said = Conclusion(why=EndReason.LIMIT, text="its budget of 40 answers is used up")
    assert not conclude(world, said)
    assert "proposes no patch" in world.texts("model_ended")[0]
    assert "ended early" in world.texts("model_ended")[0]


def test_a_model_that_was_never_asked_is_not_said_to_have_answered(world):
    why = "today's budget of 3 answers for all services is used up"
    assert not conclude(world, Conclusion(why=EndReason.LIMIT, text=why))
    assert world.texts("model_ended") == [
        f"The model's run ended early: {why}. It proposes no patch. So far it says: nothing"
    ]


def test_a_hostile_patch_is_refused_in_words(world):
    bad = Proposal(base=BASE, patch=b"--- a/.git/config\n+++ b/.git/config\n", title="x", verified=HELD)
    assert not conclude(world, Conclusion(why=EndReason.DONE, text="", proposals=(bad,)))
    assert drafts(world) == []
    assert "not proposed" in world.texts("model_ended")[0]


def test_a_resolved_incident_needs_no_answer(world):
    with world.unit() as work:
        paging.resolve(work, "INC-1", "ada", world.rules)
        assert not modelling.is_wanted(work, "INC-1", RUN)
        assert modelling.plan_model(work, "INC-1", run=RUN, folder="/tmp/none", rules=world.rules) is None
    assert not conclude(world, answer())
    assert drafts(world) == []


def test_it_waits_longer_each_time_and_says_so_once(world):
    args = start(world)
    delays = []
    for attempt in range(6):
        wait(world, args)
        queued = world.phases.committed[("model", f"{RUN}:{attempt + 1}")]
        delays.append((queued.due - world.clock.now()).total_seconds())
        args = dict(queued.args)
    assert delays == [5, 10, 20, 40, 60, 60]
    assert world.texts("model_waits") == [
        f"It is down. The result without the model stands; it is asked again until {NOW + timedelta(hours=1):%H:%M} UTC"
    ]


def test_it_gives_up_after_its_patience(world):
    args = start(world)
    world.clock.advance(seconds=3596)
    wait(world, args)
    assert "The result without it stands" in world.texts("model_ended")[0]
    assert world.phases.keys("model") == [RUN]


def test_rows_are_stored_once_and_a_second_worker_is_stopped(world):
    row = Step(run=RUN, seq=0, kind=StepKind.TASK, key="task", body="{}")
    assert modelling.record_step(world.store, row) == row
    with pytest.raises(Refused, match="Another worker"):
        modelling.record_step(world.store, row)


def repaired(*verdicts: Verified) -> Conclusion:
    proposals = tuple(answer(f"try {n}", each).best for n, each in enumerate(verdicts))
    return Conclusion(why=EndReason.DONE, text="I tried.", proposals=proposals)


def test_repairs_that_did_not_help_are_said(world):
    assert conclude(world, repaired(FELL, FELL, FELL))
    assert "It does not hold in the sandbox after 2 repairs" in world.texts("model_ended")[0]
    with world.unit() as work:
        (draft,) = work.drafts.of("INC-1")
    assert draft.notes == ("drafted by the model", "it does not hold in the sandbox after 2 repairs")


def test_a_patch_that_fell_at_once_is_said_to_in_one_sentence(world):
    assert conclude(world, repaired(FELL))
    assert 'It proposes "Mend it". It does not hold in the sandbox. In its' in world.texts("model_ended")[0]


def test_beside_a_verified_patch_one_that_fell_is_said_to_once(world):
    with world.unit() as work:
        modelling._propose(work, "INC-1", answer("first"), world.rules)
    assert not conclude(world, repaired(FELL))
    (said,) = world.texts("model_ended")
    assert "so the verified one stands alone. In its words" in said
    assert said.count("sandbox") == 1


def test_a_patch_that_could_not_be_tried_is_not_said_to_have_failed(world):
    untried = Verified(before=Check.UNKNOWN, after=Check.UNKNOWN, runs=(), notes=("not verified: nothing to run",))
    assert conclude(world, repaired(untried))
    assert 'It proposes "Mend it". It could not be tried in the sandbox. In its' in world.texts("model_ended")[0]
    with world.unit() as work:
        (draft,) = work.drafts.of("INC-1")
    assert draft.notes == ("drafted by the model", "it could not be tried in the sandbox")


def test_a_repair_that_helped_is_said_too(world):
    assert conclude(world, repaired(FELL, HELD))
    assert "It holds in the sandbox after 1 repair" in world.texts("model_ended")[0]


def test_a_verification_stored_before_there_was_a_record_is_still_read():
    old = VERIFIED.dump(HELD)
    del old["base_runs"]
    for run in old["runs"]:
        for name in ("kind", "exit_code", "attempts", "greens", "required"):
            del run[name]
    assert VERIFIED.load(old).is_verified
