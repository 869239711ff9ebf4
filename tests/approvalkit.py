"""What the scenarios of an approval have in common: a policy, presses, further patches, and the push after them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.approval import Approval, ApprovalPolicy, ApprovalState
from bot.domain.approvals.freeze import Freeze
from bot.domain.chat import Reply
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import DraftState
from bot.domain.patches.patch import parse_patch
from bot.errors import Refused
from bot.ports.work import EffectState
from bot.services import drafting, rollout
from tests.worldkit import NOW, World, diff

POLICY = ApprovalPolicy(version="v1", approvers=("ada", "ben"))
CI_FILE = diff(".github/workflows/ci.yml")
BUILD_FILE = diff("Makefile")
QUARTER = Freeze(reason="quarter close", since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=2))
SHA = "d" * 40


def given(world: World, **policy: object) -> None:
    """Given that the policy says otherwise than "Ada and Ben may approve"."""
    world.rules = replace(world.rules, policy=replace(POLICY, **policy))


def press(world: World, verb: str, approval: Approval, who: str = "ada", **more: object) -> Reply:
    return world.press(f"{verb}:INC-1:{approval.digest[:12]}", f"{who}@web", **more)


def check_before_push(world: World, approval: Approval) -> None:
    with world.unit() as work:
        rollout.recheck(work, "INC-1", approval.digest, world.rules)


def refuse_push(world: World, approval: Approval) -> Refused:
    """Let the push be tried and given up, as its phase does; return why."""
    with pytest.raises(Refused) as refused:
        check_before_push(world, approval)
    renewable = refused.value.reason in rollout.RENEWABLE
    with world.unit() as work:
        rollout.give_up_push(work, "INC-1", approval.digest, str(refused.value), renewable=renewable)
    return refused.value


def state(world: World, approval: Approval) -> ApprovalState:
    return world.approval(approval.digest).state


def ask(world: World, patch: bytes, *, requester: str | None = None, keeps_others: bool = True) -> Approval:
    """Ask for the approval of a further patch, beside the others, a second later."""
    world.clock.advance(seconds=1)
    with world.unit() as work:
        first = work.drafts.of("INC-1")[0]
        draft = replace(first, patch=parse_patch(patch), created_at=work.now, state=DraftState.PROPOSED)
        incident = work.incidents.get("INC-1")
        drafting.ask_approval(
            work, incident, draft, world.rules, requester=requester, takes=() if keeps_others else None
        )
    return world.approval(draft.digest)


def push_and_pass(world: World, approval: Approval) -> None:
    with world.unit() as work:
        rollout.record_push(work, "INC-1", approval.digest, sha=SHA, moved=False)
        rollout.record_ci(work, "INC-1", approval.digest, CIRun(id="r", sha=SHA, state=CIState.PASSED))


def statement_of(world: World, approval: Approval) -> bytes:
    with world.unit() as work:
        return rollout.find_statement(work, "INC-1", approval.digest)


def message_of(world: World, approval: Approval) -> str:
    with world.unit() as work:
        effect = work.effects.get(rollout.push_key(work.approvals.get("INC-1", approval.digest)))
        assert effect is not None
        assert effect.state is EffectState.INTENDED
        return effect.payload["message"]
