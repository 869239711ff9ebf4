"""From a proposed patch to one decision: the same transaction freezes what is pushed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.draft import DraftState
from bot.domain.incident import RunState
from bot.domain.patches.patch import PatchLimits
from bot.domain.timeline import parse_anchor
from bot.errors import Refused
from bot.ports.work import EffectState
from bot.services import drafting
from bot.services.rollout import push_key
from tests.worldkit import BASE, NOW, World, diff, make_rules, make_world, verified

RISKY = diff(".github/workflows/ci.yml")


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


def press(world: World, verb: str, approval, account: str = "ada@web", **more):
    return world.press(f"{verb}:INC-1:{approval.digest[:12]}", account, **more)


class TestProposing:
    def test_a_verified_patch_becomes_a_draft_and_a_question(self, world):
        approval = world.propose()
        assert (approval.state, approval.needs, approval.base, approval.risk) == (ApprovalState.PENDING, 1, BASE, ())
        assert approval.expires_at == NOW + timedelta(minutes=60)
        assert world.incident().run_state is RunState.WAITING
        assert [item.payload["arg"] for item in world.promised("patch")] == [approval.digest[:12]]
        assert [(item.key, item.due - NOW) for item in world.phases.of("expire")] == [
            (f"INC-1:{approval.digest[:12]}:0", timedelta(minutes=60))
        ]

    def test_the_card_names_the_head_of_the_audit_trail_at_that_moment(self, world):
        seq, head = parse_anchor(world.propose().audit_head)
        with world.unit() as work:
            ready = next(item for item in work.timeline.all() if item.kind == "patch_ready")
            assert (ready.seq, ready.hash) == (seq, head)
            assert list(work.timeline.anchors()) == [(seq, head)]

    def test_a_patch_larger_than_configured_is_not_proposed(self, tmp_path):
        world = make_world(tmp_path, make_rules(patch_limits=PatchLimits(lines=1)), opened=True)
        with pytest.raises(Refused, match="no patch"):
            world.propose()
        assert "it changes 2 lines; at most 1 are allowed" in world.texts("triage_ended")[0]

    def test_twice_is_once(self, world):
        world.propose()
        before = world.kinds()
        with world.unit() as work:
            drafting.propose(work, "INC-1", world.rules)
        assert world.kinds() == before
        assert len(world.promised("patch")) == 1

    def test_an_unverified_patch_needs_two_people(self, world):
        approval = world.propose(checked=replace(verified(), runs=()))
        assert approval.needs == 2
        assert any("verified" in reason for reason in approval.risk)

    def test_a_patch_of_ci_files_needs_two_people(self, world):
        assert world.propose(RISKY).needs == 2

    def test_a_hostile_patch_is_not_proposed_and_the_run_ends(self, world):
        with pytest.raises(Refused):
            world.propose(diff("../../etc/passwd"))
        assert world.incident().run_state is RunState.DONE
        assert world.texts("triage_ended")[0].startswith("No patch is proposed: ")
        assert not world.promised("patch")

    def test_nobody_who_may_approve_means_no_question(self, world):
        world.rules = replace(world.rules, policy=replace(world.rules.policy, approvers=()))
        with pytest.raises(Refused, match="no patch"):
            world.propose()
        assert "patch_ready" not in world.kinds()
        assert "No patch is proposed" in world.texts("triage_ended")[0]


class TestDeciding:
    def test_one_approval_freezes_the_push_and_starts_it(self, world):
        approval = world.propose()
        reply = press(world, "approve", approval)
        assert reply.text == f"Approved. Pushing exactly the bytes you saw ({approval.digest[:12]})."
        assert world.approval(approval.digest).state is ApprovalState.APPROVED
        assert world.phases.keys("execute") == [f"INC-1:{approval.digest[:12]}"]
        with world.unit() as work:
            effect = work.effects.get(push_key(approval))
            assert effect is not None
            assert effect.state is EffectState.INTENDED
            assert effect.payload["digest"] == approval.digest
            assert effect.payload["base"] == BASE
            assert effect.payload["branch"] == f"nightshift/INC-1/{approval.digest[:12]}"
            assert approval.digest in effect.payload["message"]
            assert "Ada Lovelace" in effect.payload["message"]

    def test_when_the_push_cannot_be_frozen_nothing_was_decided(self, world):
        approval = world.propose()
        world.rules = replace(world.rules, services={})
        assert not press(world, "approve", approval).ok
        assert world.approval(approval.digest) == approval
        assert "approved" not in world.kinds()

    def test_a_rejection_ends_it(self, world):
        approval = world.propose()
        assert press(world, "reject", approval, reason="Too risky", note="").text == "Rejected. Nothing was pushed."
        assert world.approval(approval.digest).state is ApprovalState.REJECTED
        assert world.texts("rejected") == [f"Ada Lovelace rejected patch {approval.digest[:12]}: Too risky"]
        assert not press(world, "approve", approval, "ben@web").ok
        assert not world.phases.of("execute")

    def test_a_rejection_needs_a_reason(self, world):
        approval = world.propose()
        assert not press(world, "reject", approval, reason=" ").ok
        assert world.approval(approval.digest) == approval

    def test_double_press_replay_and_a_second_approver_start_one_push(self, world):
        approval = world.propose()
        first = press(world, "approve", approval, event="e-1")
        assert press(world, "approve", approval, event="e-1") == first
        assert not press(world, "approve", approval).ok
        assert not press(world, "approve", approval, "ben@web").ok
        assert len(world.phases.of("execute")) == 1
        assert world.kinds().count("approved") == 1

    def test_one_person_with_two_accounts_counts_once(self, world):
        approval = world.propose(RISKY)
        assert press(world, "approve", approval).text == "Counted. 1 more must approve."
        second = world.approval(approval.digest)
        assert not world.press(f"approve:INC-1:{approval.digest[:12]}", "ada@web").ok
        assert world.approval(approval.digest) == second
        assert not world.phases.of("execute")

    def test_two_people_reach_the_quorum(self, world):
        approval = world.propose(RISKY)
        press(world, "approve", approval)
        assert press(world, "approve", approval, "ben@web").text.startswith("Approved.")
        assert world.approval(approval.digest).approved_by == ("ada", "ben")

    def test_two_presses_at_once_in_two_processes_decide_once(self, world):
        approval = world.propose()
        worlds = [world, world.reopen()]
        accounts = ["ada@web", "ben@web"]
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(press, one, "approve", approval, account, event=f"{account}")
                for one, account in zip(worlds, accounts, strict=True)
            ]
        replies = [job.result() for job in jobs]
        assert sorted(reply.ok for reply in replies) == [False, True]
        assert len(world.phases.of("execute")) == 1
        assert len(world.approval(approval.digest).approved_by) == 1
        assert world.kinds().count("approved") == 1

    def test_approve_and_reject_at_once_leave_one_decision(self, world):
        approval = world.propose()
        with ThreadPoolExecutor(2) as pool:
            yes = pool.submit(press, world, "approve", approval, "ada@web", event="yes")
            no = pool.submit(press, world.reopen(), "reject", approval, "ben@web", event="no", reason="Too risky")
        assert sorted([yes.result().ok, no.result().ok]) == [False, True]
        state = world.approval(approval.digest).state
        assert len(world.phases.of("execute")) == (1 if state is ApprovalState.APPROVED else 0)

    def test_a_press_on_a_card_of_another_patch_is_refused(self, world):
        world.propose()
        reply = world.press(f"approve:INC-1:{'f' * 12}")
        assert (reply.ok, "no patch" in reply.text) == (False, True)


class TestTime:
    def test_an_undecided_approval_runs_out(self, world):
        approval = world.propose()
        world.forward(minutes=60)
        assert world.approval(approval.digest).state is ApprovalState.EXPIRED
        assert world.texts("expired") == [f"The approval of {approval.digest[:12]} ran out; nothing was pushed"]
        assert not press(world, "approve", approval).ok

    def test_a_press_after_its_time_is_refused_even_before_the_timer_ran(self, world):
        approval = world.propose()
        world.clock.advance(minutes=60)
        assert not press(world, "approve", approval).ok
        assert not world.phases.of("execute")

    def test_a_decided_approval_does_not_run_out(self, world):
        approval = world.propose()
        press(world, "approve", approval)
        world.forward(hours=2)
        assert world.approval(approval.digest).state is ApprovalState.APPROVED
        assert not world.texts("expired")

    def test_it_can_be_asked_again_with_its_own_clock(self, world):
        approval = world.propose()
        world.forward(minutes=60)
        reply = press(world, "renew", approval, "ben@web")
        assert reply.text == "Asked again. The approval now runs for 60 minutes."
        assert world.phases.keys("expire") == [f"INC-1:{approval.digest[:12]}:1"]
        world.forward(minutes=59)
        assert press(world, "approve", approval).text.startswith("Approved.")

    def test_the_clock_of_the_first_request_does_not_end_the_second(self, world):
        approval = world.propose()
        world.forward(minutes=50)
        assert press(world, "renew", approval).ok
        world.forward(minutes=10)
        assert world.approval(approval.digest).state is ApprovalState.PENDING
        world.forward(minutes=50)
        assert world.approval(approval.digest).state is ApprovalState.EXPIRED

    def test_renewing_clears_the_votes(self, world):
        approval = world.propose(RISKY)
        press(world, "approve", approval)
        world.forward(minutes=60)
        press(world, "renew", approval)
        assert press(world, "approve", approval, "ben@web").text == "Counted. 1 more must approve."

    def test_a_policy_that_changed_asks_for_a_renewal(self, world):
        approval = world.propose()
        world.rules = make_rules(policy=replace(world.rules.policy, version="v2"))
        reply = press(world, "approve", approval)
        assert (reply.ok, "renew" in reply.text) == (False, True)
        assert press(world, "renew", approval).ok
        assert press(world, "approve", approval).ok


def start_run(world: World, number: int) -> None:
    with world.unit() as work:
        current = work.incidents.get("INC-1")
        work.incidents.save(replace(current, runs=number, run_state=RunState.QUEUED))


@pytest.mark.parametrize(("verb", "state"), [("reject", RunState.DONE), ("", RunState.WAITING)])
def test_the_same_patch_in_the_next_run_waits_only_where_it_can_still_be_approved(world, verb, state):
    approval = world.propose()
    if verb:
        assert press(world, verb, approval, reason="Wrong cause").ok
    start_run(world, 2)
    world.propose()
    assert world.incident().run_state is state
    assert len(world.texts("patch_ready")) == 1


def test_a_newer_patch_replaces_the_one_nobody_decided_on(world):
    old = world.propose()
    start_run(world, 2)
    new = world.propose(diff(after="c"))
    assert world.approval(old.digest).state is ApprovalState.SUPERSEDED
    assert world.approval(new.digest).state is ApprovalState.PENDING
    with world.unit() as work:
        assert work.drafts.get("INC-1", old.digest).state is DraftState.SUPERSEDED
    assert not press(world, "approve", old).ok
    assert press(world, "approve", new).ok
