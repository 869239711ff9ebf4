"""An investigation: queued once, resumed from what is stored, and ended in words."""

from dataclasses import replace

import pytest

from bot.domain.incident import RunState
from bot.domain.investigation import Collected, Drafted, Suspected
from bot.services import drafting, triage
from tests.worldkit import BASE, World, alert, group, make_world

COLLECTED = Collected(records=(), requests=(), evidence=(), lines_read=12)
SUSPECTED = Suspected(head=BASE, suspects=())


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


def plan(world: World, run: str = "INC-1:1"):
    with world.unit() as work:
        return triage.plan_job(work, "INC-1", run=run, folder="/tmp/none", rules=world.rules)


def record(world: World, result, run: str = "INC-1:1") -> None:
    with world.unit() as work:
        triage.record_stage(work, "INC-1", run=run, result=result)


def finish(world: World, state: RunState, why: str = "") -> None:
    with world.unit() as work:
        triage.finish_triage(work, "INC-1", state=state, why=why)


def test_a_job_names_what_is_to_be_done(world):
    job = plan(world)
    assert job is not None
    assert (job.run, job.service.name, job.playbook.name, job.done) == ("INC-1:1", "checkout", "http-5xx", ())
    assert world.incident().run_state is RunState.RUNNING


def test_after_a_crash_it_goes_on_with_what_is_stored(world):
    plan(world)
    record(world, SUSPECTED)
    record(world, COLLECTED)
    job = plan(world)
    assert job is not None
    assert job.done == (COLLECTED, SUSPECTED), "in the order of the stages"
    assert world.kinds().count("triage_started") == 1


def test_the_same_stage_twice_is_stored_once(world):
    plan(world)
    record(world, COLLECTED)
    before = world.kinds()
    record(world, replace(COLLECTED, lines_read=99))
    assert world.kinds() == before
    job = plan(world)
    assert job is not None
    assert job.done == (COLLECTED,)


@pytest.mark.parametrize("state", [RunState.DONE, RunState.FAILED, RunState.CANCELLED, RunState.WAITING])
def test_a_run_that_has_ended_is_not_begun_again(world, state):
    plan(world)
    finish(world, state)
    assert plan(world) is None


def test_a_run_of_an_earlier_round_has_nothing_left_to_do(world):
    plan(world)
    world.receive(group(alert(firing=False)))
    world.forward(minutes=1)
    world.receive(group(alert(starts_at=world.clock.now())))
    assert plan(world, "INC-1:1") is None
    assert plan(world, "INC-1:2") is not None


def test_a_service_or_playbook_that_left_the_configuration_leaves_nothing_to_do(world):
    world.rules = replace(world.rules, playbooks=())
    assert plan(world) is None


def test_ending_is_told_once_and_only_by_the_run_itself(world):
    plan(world)
    finish(world, RunState.FAILED, "The investigation stopped: no disk")
    finish(world, RunState.DONE)
    assert world.incident().run_state is RunState.FAILED
    assert world.texts("triage_ended") == ["The investigation stopped: no disk"]
    assert len(world.promised("findings")) == 1


def test_without_a_patch_the_run_is_done(world):
    plan(world)
    record(world, Drafted(base=BASE, patch=b"", title="", culprit=None, notes=("nothing to revert",)))
    with world.unit() as work:
        assert drafting.propose(work, "INC-1", world.rules) is False
    assert world.incident().run_state is RunState.DONE
    assert not world.promised("patch")


def test_stages_survive_a_restart_byte_for_byte(world):
    drafted = Drafted(base=BASE, patch=b"\x00\xff not text", title="t", culprit=None)
    record(world, drafted)
    with world.reopen().unit() as work:
        assert work.investigations.of("INC-1:1") == (drafted,)
