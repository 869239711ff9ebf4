"""The public state of a run: a fold of stored rows, the same however often and from wherever it is made."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.ci import CIState
from bot.domain.incident import RunState
from bot.domain.runs.progress import Happening, RunStatus, fold_progress
from bot.domain.runs.transcript import Step, StepKind
from bot.errors import Refused
from bot.services import modelling, rollout, triage
from bot.services.approval import expire_due
from bot.services.run_story import Cursor, list_runs, read_cursor, read_story
from tests.agent_world import NOON
from tests.unit.test_services_rollout import Rollout
from tests.worldkit import diff, make_world

D = "d" * 64
QUEUED, ENDED = ("triage_queued", {}), ("triage_ended", {"state": "waiting"})
READY, APPROVED = ("patch_ready", {"digest": D}), ("approved", {"digest": D, "statement": "x"})
MODEL = {"run": "INC-1:1"}


def rows(*kinds):
    return [
        Happening(at=NOON + timedelta(seconds=n), seq=n, kind=kind, data=data, transcript="t" * kind.startswith("step"))
        for n, (kind, data) in enumerate(kinds)
    ]


def status(*kinds):
    return fold_progress(rows(*kinds)).status


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], RunStatus.PROCESSING),
        ([QUEUED, ("triage_started", {}), ("stage", {})], RunStatus.PROCESSING),
        ([("triage_skipped", {})], RunStatus.CANCELLED),
        ([QUEUED, ("triage_ended", {"state": "done"})], RunStatus.COMPLETED),
        ([QUEUED, ("triage_ended", {"state": "failed"})], RunStatus.FAILED),
        ([QUEUED, ENDED, ("model_queued", MODEL)], RunStatus.PROCESSING),
        ([QUEUED, ENDED, ("model_queued", MODEL), ("model_ended", MODEL)], RunStatus.COMPLETED),
        ([QUEUED, READY, ENDED], RunStatus.WAITING_APPROVAL),
        ([QUEUED, READY, ENDED, ("approved", {"digest": D})], RunStatus.WAITING_APPROVAL),
        ([QUEUED, READY, ENDED, APPROVED], RunStatus.PROCESSING),
        ([QUEUED, READY, ENDED, APPROVED, ("ci_passed", {})], RunStatus.COMPLETED),
        ([QUEUED, READY, ENDED, APPROVED, ("ci_failed", {})], RunStatus.FAILED),
        ([QUEUED, READY, ENDED, APPROVED, ("ci_failed", {}), ("ci_passed", {})], RunStatus.COMPLETED),
        ([QUEUED, READY, ENDED, APPROVED, ("push_refused", {"digest": D, "state": "failed"})], RunStatus.FAILED),
        ([QUEUED, READY, ENDED, APPROVED, ("push_refused", {"digest": D, "state": "expired"})], RunStatus.EXPIRED),
        ([QUEUED, READY, ENDED, ("rejected", {"digest": D})], RunStatus.CANCELLED),
        ([QUEUED, READY, ENDED, ("expired", {"digest": D})], RunStatus.EXPIRED),
        ([QUEUED, READY, ENDED, ("expired", {"digest": D}), ("renewed", {"digest": D})], RunStatus.WAITING_APPROVAL),
        ([QUEUED, READY, ENDED, ("resolved", {})], RunStatus.CANCELLED),
        ([QUEUED, ("triage_ended", {"state": "done"}), ("resolved", {})], RunStatus.COMPLETED),
        ([QUEUED, READY, ENDED, ("resolved", {}), ("expired", {"digest": D})], RunStatus.CANCELLED),
        ([QUEUED, READY, ENDED, ("posted", {}), ("paged", {})], RunStatus.WAITING_APPROVAL),
    ],
)
def test_rows_lead_to_the_state_that_matters_most(kinds, expected):
    assert status(*kinds) is expected


RED, GREEN, RERUN = ("ci_failed", {"digest": D}), ("ci_passed", {"digest": D}), ("ci_rerun", {"digest": D})
NO_RERUN, NO_CANCEL = (("ci_order_failed", {"digest": D, "order": order}) for order in ("rerun", "cancel"))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([RED, RERUN], RunStatus.PROCESSING),
        ([RED, RERUN, GREEN], RunStatus.COMPLETED),
        ([GREEN, RERUN, RED], RunStatus.FAILED),
        ([RED, RERUN, NO_RERUN], RunStatus.FAILED),
        ([GREEN, RERUN, NO_RERUN], RunStatus.COMPLETED),
        ([RED, RERUN, NO_CANCEL], RunStatus.PROCESSING),
        ([GREEN, RERUN, ("resolved", {})], RunStatus.COMPLETED),
        ([GREEN, RERUN, ("resolved", {}), RED], RunStatus.FAILED),
        ([RED, RERUN, ("push_refused", {"digest": D, "state": "failed"})], RunStatus.FAILED),
        ([NO_RERUN], RunStatus.PROCESSING),
    ],
)
def test_a_rerun_of_ci_goes_on_until_its_verdict_or_until_ci_refuses_it(kinds, expected):
    assert status(QUEUED, READY, ENDED, APPROVED, *kinds) is expected


def test_a_verdict_that_names_its_patch_is_about_no_other():
    other = "e" * 64
    refused = ("push_refused", {"digest": D, "state": "failed"})
    second = [("patch_ready", {"digest": other}), ("approved", {"digest": other, "statement": "x"})]
    told = rows(QUEUED, READY, APPROVED, refused, *second, ("ci_passed", {"digest": other}))
    assert fold_progress(told).patches == {D[:12]: "failed", other[:12]: "done"}


def test_a_call_without_its_answer_is_a_tool_at_work():
    asked = Happening(at=NOON, seq=1, kind="step.model", transcript="t", calls=("grep", "read_file"))
    answered = Happening(at=NOON, seq=2, kind="step.tool", transcript="t")
    begun = rows(QUEUED)
    assert fold_progress([*begun, asked]).tool == "grep"
    assert fold_progress([*begun, asked]).status is RunStatus.TOOL_INVOKED
    assert fold_progress([*begun, asked, answered]).tool == "read_file"
    assert fold_progress([*begun, asked, answered, answered]).status is RunStatus.PROCESSING


def test_since_is_when_the_state_began_and_not_the_newest_row():
    progress = fold_progress(rows(QUEUED, ("stage", {}), READY, ENDED))
    assert progress.since == NOON + timedelta(seconds=2)


@given(
    st.lists(st.sampled_from([QUEUED, ENDED, READY, APPROVED, ("ci_passed", {}), ("resolved", {}), ("nonsense", {})]))
)
def test_any_order_of_rows_gives_a_state(kinds):
    assert status(*kinds) in RunStatus


class TestTheStory:
    @pytest.fixture
    def world(self, tmp_path):
        return make_world(tmp_path, opened=True)

    def story(self, world, run="INC-1:1"):
        with world.unit() as work:
            return read_story(work, run)

    def state(self, world, run="INC-1:1"):
        return fold_progress(self.story(world, run).happenings).status

    def test_follows_a_patch_from_the_question_to_the_verdict(self, world):
        assert self.state(world) is RunStatus.PROCESSING
        rolled = Rollout(world)
        assert self.state(world) is RunStatus.PROCESSING
        rolled.pushed()
        rolled.ci(CIState.FAILED)
        assert self.state(world) is RunStatus.FAILED
        rolled.ci(CIState.PASSED, attempt=2)

    def test_tells_of_expiry_and_renewal(self, world):
        digest = world.propose().digest
        assert self.state(world) is RunStatus.WAITING_APPROVAL
        world.forward(minutes=61)
        with world.unit() as work:
            expire_due(work, "INC-1", digest)
        assert self.state(world) is RunStatus.EXPIRED

    def finish(self, world, state=RunState.DONE):
        with world.unit() as work:
            triage.plan_job(work, "INC-1", run="INC-1:1", folder="x", rules=world.rules)
            triage.finish_triage(work, "INC-1", state=state)

    def test_another_patch_in_its_place_withdraws_the_first(self, world):
        world.propose()
        with world.unit() as work:
            triage.ask_triage(work, "INC-1", "ada", world.rules)
        world.propose(diff(after="c"))
        assert self.state(world) is RunStatus.COMPLETED
        assert self.state(world, "INC-1:2") is RunStatus.WAITING_APPROVAL
        assert len(world.texts("withdrawn")) == 1

    def test_what_is_decided_in_a_later_run_belongs_to_the_run_that_asked(self, world):
        digest = world.propose().digest
        world.press("ack:INC-1")
        with world.unit() as work:
            triage.ask_triage(work, "INC-1", "ada", world.rules)
        assert self.state(world) is RunStatus.WAITING_APPROVAL
        assert world.press(f"approve:INC-1:{digest[:12]}").ok
        assert self.state(world) is RunStatus.PROCESSING
        assert self.state(world, "INC-1:2") is RunStatus.PROCESSING
        with world.unit() as work:
            rollout.give_up_push(work, "INC-1", digest, "no")
        assert self.state(world) is RunStatus.FAILED

    def test_holds_the_models_rows_and_is_resumed_where_it_was_left(self, world):
        self.finish(world)
        with world.unit() as work:
            modelling.start_model(work, "INC-1", "INC-1:1")
        call = '{"message":{"tool_calls":[{"function":{"name":"grep"}}]},"usage":{"prompt":9},"seconds":1.5}'
        for seq, (kind, body) in enumerate([(StepKind.TASK, "{}"), (StepKind.MODEL, call)]):
            assert world.store.append(Step(run="INC-1:1", seq=seq, kind=kind, key=f"k{seq}", body=body))
        story = self.story(world)
        assert fold_progress(story.happenings).status is RunStatus.TOOL_INVOKED
        assert story.happenings[-1].data == {"prompt": "9", "seconds": "1.5"}
        cursor = Cursor()
        for count, row in enumerate(story.happenings):
            old, new = story.split(cursor)
            assert (len(old), new[0]) == (count, row)
            cursor = read_cursor(str(story.move(cursor, row)))
        assert story.split(cursor)[1] == []

    def test_names_its_runs_and_no_other(self, world):
        with world.unit() as work:
            assert list_runs(work.timeline.of("INC-1"), "INC-1") == ["INC-1:1"]
        for name in ("INC-1:2", "INC-1", "INC-9:1", "", "INC-1:1+2", ":", "INC-1:01"):
            with pytest.raises(Refused):
                self.story(world, name)


@pytest.mark.parametrize("text", ["x", "1-", "-1", "1-x", "1" * 20, "1-" * 300, "²"])
def test_a_cursor_of_another_stream_is_refused(text):
    with pytest.raises(Refused):
        read_cursor(text)
