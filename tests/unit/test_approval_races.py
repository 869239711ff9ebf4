"""However presses, renewals and timers are interleaved: at most one decision, by enough different people."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.approval import (
    Approval,
    ApprovalPolicy,
    ApprovalState,
    Vote,
    cast_vote,
    check_still_valid,
    enter_state,
    expire,
    renew,
)
from bot.domain.oncall import Person, Role, Roster
from bot.errors import Refused

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NAMES = ("ada", "ben", "cleo", "rob", "mallory")
ROSTER = Roster(
    people={
        name: Person(id=name, name=name, role=Role.RESPONDER if name == "rob" else Role.APPROVER)
        for name in NAMES
        if name != "mallory"
    }
)
POLICIES = (
    ApprovalPolicy(version="v1", approvers=("ada", "ben", "cleo", "rob", "mallory")),
    ApprovalPolicy(version="v2", approvers=("ada", "ben")),
)
DIGEST = "ab" * 32
DECIDED = {ApprovalState.APPROVED, ApprovalState.REJECTED}

votes = st.tuples(
    st.just("vote"), st.sampled_from(NAMES), st.booleans(), st.sampled_from([DIGEST, DIGEST[:12], "cd" * 32])
)
others = st.sampled_from([("renew",), ("expire",), ("policy",), ("execute",), ("supersede",)])
histories = st.lists(st.tuples(st.integers(0, 40), st.one_of(votes, votes, votes, others)), max_size=25)


def pending(risky: bool) -> Approval:
    return Approval(
        incident="INC-1",
        digest=DIGEST,
        base="b" * 40,
        target="shop main",
        policy_version="v1",
        state=ApprovalState.PENDING,
        needs=2 if risky else 1,
        risk=("size",) if risky else (),
        requested_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        audit_head="h",
        excluded=("ada",) if risky else (),
    )


class World:
    """One approval through a history; refusals leave it as it is."""

    def __init__(self, risky: bool) -> None:
        self.approval, self.now, self.policy = pending(risky), NOON, 0
        self.decisions: list[ApprovalState] = []
        self.events = 0

    def do(self, minutes: int, action: tuple) -> None:
        self.now += timedelta(minutes=minutes)
        before = self.approval
        try:
            self.approval = self._next(action)
        except Refused:
            return
        if self.approval.state in DECIDED and before.state not in DECIDED:
            self.decisions.append(self.approval.state)

    def _next(self, action: tuple) -> Approval:
        policy = POLICIES[self.policy]
        match action:
            case ("vote", who, approve, digest):
                self.events += 1
                vote = Vote(
                    person=who, approve=approve, at=self.now, channel="web", event=f"e{self.events}", reason="because"
                )
                return cast_vote(self.approval, vote, digest=digest, now=self.now, roster=ROSTER, policy=policy)
            case ("renew",):
                return renew(self.approval, now=self.now, policy=policy)
            case ("expire",):
                return expire(self.approval, now=self.now)
            case ("supersede",):
                return enter_state(self.approval, ApprovalState.SUPERSEDED)
            case ("execute",):
                check_still_valid(self.approval, digest=DIGEST, now=self.now, roster=ROSTER, policy=policy)
                return enter_state(self.approval, ApprovalState.EXECUTED)
        self.policy = 1 - self.policy
        return self.approval


@given(risky=st.booleans(), history=histories)
def test_a_terminal_state_is_never_left_and_only_allowed_people_decide(risky, history):
    world = World(risky)
    for minutes, action in history:
        before = world.approval
        world.do(minutes, action)
        after = world.approval
        if before.state.is_final:
            assert after is before
        if after.state in {ApprovalState.APPROVED, ApprovalState.EXECUTED}:
            assert len(set(after.approved_by)) >= after.needs
            assert not {"rob", "mallory", *after.excluded} & set(after.approved_by)
            assert all(vote.at < after.expires_at for vote in after.votes)
        if after.state is ApprovalState.EXECUTED and before.state is not ApprovalState.EXECUTED:
            assert world.now < after.expires_at


@given(history=st.lists(st.tuples(st.integers(0, 3), votes), max_size=30), risky=st.booleans())
def test_any_interleaving_of_votes_ends_in_at_most_one_decision(history, risky):
    world = World(risky)
    for minutes, action in history:
        world.do(minutes, action)
    assert len(world.decisions) <= 1
    assert world.approval.state in {ApprovalState.PENDING, *world.decisions}
