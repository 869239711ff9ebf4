"""An approved patch: pushed once, one CI run, one verdict; or given up, and then nothing happens later."""

from dataclasses import replace

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import DraftState
from bot.domain.incident import IncidentState, RunState
from bot.errors import Refused
from bot.ports.work import EffectState
from bot.services import rollout
from tests.worldkit import BASE, World, alert, diff, group, make_world

SHA = "d" * 40


class Rollout:
    """One approved patch of INC-1, and the steps of its phase."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.press("ack:INC-1")
        self.digest = world.propose().digest
        assert world.press(f"approve:INC-1:{self.digest[:12]}").ok

    def plan(self) -> rollout.PushPlan | None:
        with self.world.unit() as work:
            return rollout.plan_push(work, "INC-1", self.digest)

    def recheck(self) -> None:
        with self.world.unit() as work:
            rollout.recheck(work, "INC-1", self.digest, self.world.rules)

    def pushed(self, *, moved: bool = False) -> None:
        with self.world.unit() as work:
            rollout.record_push(work, "INC-1", self.digest, sha=SHA, moved=moved)

    def give_up(self, why: str = "the remote said no") -> None:
        with self.world.unit() as work:
            rollout.give_up_push(work, "INC-1", self.digest, why)

    def supersede(self) -> None:
        with self.world.unit() as work:
            rollout.supersede(work, "INC-1", self.digest, self.world.rules)

    def ci(self, state: CIState, attempt: int = 1, failed_step: str = "") -> None:
        run = CIRun(id="r1", sha=SHA, state=state, attempt=attempt, failed_step=failed_step)
        with self.world.unit() as work:
            rollout.record_ci(work, "INC-1", self.digest, run)

    @property
    def state(self) -> ApprovalState:
        return self.world.approval(self.digest).state

    @property
    def effect(self) -> EffectState:
        with self.world.unit() as work:
            effect = work.effects.get(rollout.push_key(work.approvals.get("INC-1", self.digest)))
        assert effect is not None
        return effect.state


@pytest.fixture
def rolled(tmp_path) -> Rollout:
    return Rollout(make_world(tmp_path, opened=True))


class TestThePlan:
    def test_is_the_same_on_every_retry_whatever_happened_since(self, rolled):
        first = rolled.plan()
        assert first is not None
        assert (first.plan.base, first.plan.patch) == (BASE, diff())
        assert first.plan.at.microsecond == 0
        assert first.files == ("shop/total.py",)
        rolled.world.forward(minutes=20)
        rolled.world.receive(group(alert(instance="b")))
        assert rolled.plan() == first

    def test_knows_the_commit_that_an_earlier_try_pushed(self, rolled):
        rolled.pushed()
        plan = rolled.plan()
        assert plan is not None
        assert plan.done_sha == SHA

    def test_is_none_once_it_was_given_up(self, rolled):
        rolled.give_up()
        assert rolled.plan() is None


class TestTheSecondCheck:
    def test_lets_an_approved_patch_through(self, rolled):
        rolled.recheck()

    def test_stops_what_ran_out_in_between(self, rolled):
        rolled.world.clock.advance(minutes=61)
        with pytest.raises(Refused):
            rolled.recheck()

    def test_stops_when_the_approver_left_the_policy(self, rolled):
        world = rolled.world
        world.rules = replace(world.rules, policy=replace(world.rules.policy, approvers=("ben",)))
        with pytest.raises(Refused):
            rolled.recheck()

    def test_stops_when_the_incident_is_over(self, rolled):
        rolled.world.press("resolve:INC-1")
        with pytest.raises(Refused, match="resolved meanwhile; nothing was pushed"):
            rolled.recheck()

    def test_stops_a_second_patch_of_the_same_incident(self, rolled):
        other = replace(rolled.world.approval(rolled.digest), digest="e" * 64, state=ApprovalState.EXECUTED)
        with rolled.world.unit() as work:
            work.approvals.add(other)
        with pytest.raises(Refused, match="pushed already"):
            rolled.recheck()


class TestAPush:
    def test_is_recorded_once_with_its_ci_run(self, rolled):
        rolled.pushed()
        before = rolled.world.kinds()
        rolled.pushed()
        assert rolled.world.kinds() == before
        assert rolled.effect is EffectState.DONE
        assert rolled.world.texts("pushed") == [f"Pushed {SHA[:12]} to nightshift/INC-1/{rolled.digest[:12]}"]
        with rolled.world.unit() as work:
            assert [(d, r.state) for d, r in work.ci_runs.of("INC-1")] == [(rolled.digest, CIState.QUEUED)]

    def test_says_when_the_target_moved_elsewhere(self, rolled):
        rolled.pushed(moved=True)
        assert rolled.world.texts("pushed")[0].endswith("; main has moved since, but not in these files")

    def test_that_is_given_up_fails_the_approval_tells_people_and_never_happens_later(self, rolled):
        rolled.give_up()
        assert (rolled.state, rolled.effect) == (ApprovalState.FAILED, EffectState.FAILED)
        assert rolled.world.texts("push_refused") == ["Not pushed: the remote said no"]
        assert len(rolled.world.promised("notice")) == 1
        rolled.give_up()
        assert len(rolled.world.promised("notice")) == 1, "people are told once"
        assert not rolled.world.press(f"approve:INC-1:{rolled.digest[:12]}", "ben@web").ok

    def test_that_waited_past_its_approval_can_be_asked_for_again_and_then_happens(self, rolled):
        rolled.world.forward(minutes=61)
        rolled.give_up("the approval ran out")
        assert (rolled.state, rolled.effect) == (ApprovalState.EXPIRED, EffectState.FAILED)
        assert rolled.world.press(f"renew:INC-1:{rolled.digest[:12]}").ok
        assert rolled.world.press(f"approve:INC-1:{rolled.digest[:12]}").ok
        assert (rolled.state, rolled.effect) == (ApprovalState.APPROVED, EffectState.INTENDED)
        assert len(rolled.world.phases.keys("execute")) == 2
        assert rolled.plan() is not None

    def test_whose_files_changed_is_withdrawn_and_looked_for_again(self, rolled):
        rolled.supersede()
        assert (rolled.state, rolled.effect) == (ApprovalState.SUPERSEDED, EffectState.FAILED)
        with rolled.world.unit() as work:
            assert work.drafts.get("INC-1", rolled.digest).state is DraftState.SUPERSEDED
        assert rolled.world.phases.keys("triage") == ["INC-1:1", "INC-1:2"]
        assert (rolled.world.incident().runs, rolled.world.incident().run_state) == (2, RunState.QUEUED)
        assert rolled.plan() is None
        with pytest.raises(Refused):
            rolled.supersede()
        assert rolled.world.incident().runs == 2


class TestTheVerdict:
    def test_green_executes_the_approval_and_mitigates_the_incident(self, rolled):
        rolled.pushed()
        for state in (CIState.QUEUED, CIState.RUNNING, CIState.RUNNING, CIState.PASSED, CIState.PASSED):
            rolled.ci(state)
        assert rolled.state is ApprovalState.EXECUTED
        assert rolled.world.incident().state is IncidentState.MITIGATED
        assert rolled.world.incident().run_state is RunState.DONE
        assert rolled.world.texts("ci_passed") == [f"CI passed on {SHA[:12]}"]
        assert len(rolled.world.promised("verdict")) == 1

    def test_red_fails_it_and_says_where(self, rolled):
        rolled.pushed()
        rolled.ci(CIState.FAILED, failed_step="tests")
        assert rolled.state is ApprovalState.FAILED
        assert rolled.world.incident().state is IncidentState.ACKNOWLEDGED
        assert rolled.world.texts("ci_failed") == [f"CI failed on {SHA[:12]} at tests"]

    def test_an_older_word_after_the_verdict_changes_nothing(self, rolled):
        rolled.pushed()
        rolled.ci(CIState.PASSED)
        before = rolled.world.kinds()
        for state in (CIState.RUNNING, CIState.FAILED, CIState.CANCELLED):
            rolled.ci(state)
        assert rolled.world.kinds() == before
        assert rolled.state is ApprovalState.EXECUTED

    def test_a_second_attempt_gets_a_verdict_of_its_own(self, rolled):
        rolled.pushed()
        rolled.ci(CIState.FAILED)
        rolled.ci(CIState.RUNNING, attempt=2)
        rolled.ci(CIState.PASSED, attempt=2)
        assert len(rolled.world.promised("verdict")) == 2

    @pytest.mark.parametrize("first", [CIState.FAILED, CIState.CANCELLED])
    def test_green_in_a_rerun_executes_what_had_failed(self, rolled, first):
        rolled.pushed()
        rolled.ci(first)
        assert rolled.state is ApprovalState.FAILED
        rolled.ci(CIState.RUNNING, attempt=2)
        assert rolled.state is ApprovalState.FAILED
        rolled.ci(CIState.PASSED, attempt=2)
        assert rolled.state is ApprovalState.EXECUTED
        rolled.ci(CIState.FAILED, attempt=3)
        assert rolled.state is ApprovalState.EXECUTED, "CI has passed these bytes"

    def test_green_after_nobody_waited_for_it_any_more_executes_it_too(self, rolled):
        rolled.pushed()
        rolled.give_up("nobody answers")
        rolled.ci(CIState.PASSED)
        assert rolled.state is ApprovalState.EXECUTED

    def test_of_an_incident_that_was_resolved_meanwhile_leaves_it_resolved(self, rolled):
        rolled.pushed()
        rolled.world.press("resolve:INC-1")
        rolled.ci(CIState.PASSED)
        assert rolled.world.incident().state is IncidentState.RESOLVED

    def test_that_never_came_is_said_differently_from_a_push_that_never_happened(self, rolled):
        rolled.pushed()
        rolled.give_up("nobody answers")
        assert rolled.world.texts("push_refused") == ["Pushed, but CI gave no verdict: nobody answers"]
        assert (rolled.state, rolled.effect) == (ApprovalState.FAILED, EffectState.DONE)
