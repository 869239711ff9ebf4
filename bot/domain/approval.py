"""Approvals: a statement about exact bytes, made of votes; never just a click.

    pending → approved | rejected | expired | superseded;  approved → executed | failed | expired | superseded;
    expired → pending (renewed: every vote is asked for again)

The functions take the present time, roster and policy and return a new `Approval`, or raise `Refused` in the
words of the person who asked. The store compares the state before it writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from bot.domain.draft import Draft, DraftState
from bot.domain.oncall import Role, Roster
from bot.errors import Reason, Refused

SHORTEST_DIGEST: Final = 12
CLOCK_SLACK: Final = timedelta(seconds=30)


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    EXECUTED = "executed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return not _NEXT[self]


_NEXT: Final[Mapping[ApprovalState, frozenset[ApprovalState]]] = {
    ApprovalState.PENDING: frozenset(
        {ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.SUPERSEDED}
    ),
    ApprovalState.APPROVED: frozenset(
        {ApprovalState.EXECUTED, ApprovalState.FAILED, ApprovalState.EXPIRED, ApprovalState.SUPERSEDED}
    ),
    ApprovalState.EXPIRED: frozenset({ApprovalState.PENDING, ApprovalState.SUPERSEDED}),
    ApprovalState.REJECTED: frozenset(),
    ApprovalState.SUPERSEDED: frozenset(),
    ApprovalState.EXECUTED: frozenset(),
    ApprovalState.FAILED: frozenset(),
}


def states_before(target: ApprovalState) -> frozenset[ApprovalState]:
    """Return the states from which an approval may enter `target`, for the store's compare-and-set."""
    return frozenset(state for state, following in _NEXT.items() if target in following)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One person's decision. `event` is the chat event that carried it."""

    person: str
    approve: bool
    at: datetime
    channel: str
    event: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ApprovalPolicy:
    """Who may approve. `version` is a digest of the policy as configured; it is part of the statement.

    Only people named in `approvers` who also hold the role may vote: nobody named = nobody can.
    """

    version: str
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    risky_quorum: int = 2
    expiry: timedelta = timedelta(minutes=60)

    def __post_init__(self) -> None:
        if not self.version or self.quorum < 1 or self.risky_quorum < 2 or self.expiry <= timedelta():
            raise ValueError(f"this policy would let patches through: {self!r}")

    def quorum_for(self, risk: tuple[str, ...]) -> int:
        return max(self.quorum, self.risky_quorum) if risk else self.quorum


NO_APPROVALS: Final = ApprovalPolicy(version="no-approvals")
"""What stands in for a policy that is missing or cannot be read: it refuses everybody."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The approval of one patch digest on one base for one target, with its votes.

    `needs` is how many different people must approve; `excluded` are people whose approval does not count
    (author and requester of a risky patch). `audit_head` is the timeline's head when it was asked for;
    `requested_at` is when it was last asked for: a renewal asks again.
    """

    incident: str
    digest: str
    base: str
    target: str
    policy_version: str
    state: ApprovalState
    needs: int
    risk: tuple[str, ...]
    requested_at: datetime
    expires_at: datetime
    audit_head: str
    votes: tuple[Vote, ...] = ()
    excluded: tuple[str, ...] = ()
    requester: str | None = None
    renewals: int = 0

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Return the different people who approved, in order."""
        return tuple(dict.fromkeys(vote.person for vote in self.votes if vote.approve))

    @property
    def rejection(self) -> Vote | None:
        """Return the vote that turned it down."""
        return next((vote for vote in self.votes if not vote.approve), None)

    @property
    def missing(self) -> int:
        """Return how many more people must approve."""
        return max(0, self.needs - len(self.approved_by))

    def has_expired(self, now: datetime) -> bool:
        return now >= self.expires_at


def request_approval(
    draft: Draft, *, now: datetime, policy: ApprovalPolicy, requester: str | None, target: str, audit_head: str
) -> Approval:
    """Ask for the approval of a draft; `target` names repository and branch. Raises `Refused`.

    Asking is not authoring: who asked is excluded only where the patch is risky.
    """
    if draft.state is DraftState.SUPERSEDED:
        raise Refused("This draft was replaced by a newer one; look at that one.", Reason.STALE)
    if not policy.approvers:
        raise Refused(_NOBODY, Reason.NOT_ALLOWED)
    risk = draft.risk.reasons
    if not risk and (draft.verified is None or not draft.verified.is_verified):
        risk = ("not verified in the sandbox",)
    authors = (draft.author, requester) if risk else ()
    return Approval(
        incident=draft.incident,
        digest=draft.digest,
        base=draft.base,
        target=target,
        policy_version=policy.version,
        state=ApprovalState.PENDING,
        needs=policy.quorum_for(risk),
        risk=risk,
        requested_at=now,
        expires_at=now + policy.expiry,
        audit_head=audit_head,
        excluded=tuple(dict.fromkeys(person for person in authors if person)),
        requester=requester,
    )


def cast_vote(
    approval: Approval, vote: Vote, *, digest: str, now: datetime, roster: Roster, policy: ApprovalPolicy
) -> Approval:
    """Count one vote and return the approval as it then stands. Raises `Refused`; nothing has changed then.

    `digest` is what the pressed card showed: the patch's sha256 or at least its first 12 characters.
    The same event again returns the approval unchanged. One rejection decides, also by somebody who approved
    before or whose approval would not count: stopping is always allowed.
    """
    if vote.event and (vote.channel, vote.event, vote.person) in {
        (v.channel, v.event, v.person) for v in approval.votes
    }:
        return approval
    _require_same_patch(approval, digest)
    _require_pending(approval, now, roster)
    _require_standing(vote.person, roster, policy)
    if vote.at < approval.requested_at - CLOCK_SLACK:
        raise Refused("That press is older than this request for approval; press again.", Reason.STALE)
    if not vote.approve:
        return _reject(approval, vote)
    if policy.version != approval.policy_version:
        raise Refused("The approval policy has changed since this was asked; renew the approval first.", Reason.STALE)
    if vote.person in approval.excluded:
        raise Refused(_excluded_text(approval), Reason.NOT_ALLOWED)
    if vote.person in approval.approved_by:
        raise Refused(f"You have already approved this; {_people(approval.missing)} must.", Reason.ALREADY_DONE)
    counted = replace(approval, votes=(*approval.votes, vote))
    return counted if counted.missing else replace(counted, state=ApprovalState.APPROVED)


def check_still_valid(
    approval: Approval, *, digest: str, now: datetime, roster: Roster, policy: ApprovalPolicy
) -> None:
    """Check once more, just before the push, that `digest` (the whole sha256) may be pushed. Raises `Refused`."""
    if approval.state is not ApprovalState.APPROVED:
        raise _settled(approval, roster)
    if digest != approval.digest:
        raise Refused("These are not the bytes that were approved; nothing was pushed.", Reason.CONFLICT)
    deadline = min(approval.expires_at, approval.requested_at + policy.expiry)
    if now >= deadline:
        raise Refused(
            f"The approval ran out at {_clock(deadline)} before it was carried out; renew it.", Reason.EXPIRED
        )
    for person in approval.approved_by:
        try:
            _require_standing(person, roster, policy)
        except Refused as problem:
            raise Refused(f"An approval no longer counts: {problem} Nothing was pushed.", Reason.REVOKED) from problem
        if person in approval.excluded:
            raise Refused(_excluded_text(approval), Reason.NOT_ALLOWED)
    needs = max(approval.needs, policy.quorum_for(approval.risk))
    have = len(approval.approved_by)
    if have < needs:
        raise Refused(f"The policy now asks for {needs} people, {have} approved; renew the approval.", Reason.STALE)


def renew(approval: Approval, *, now: datetime, policy: ApprovalPolicy) -> Approval:
    """Ask for the same bytes again: votes cleared, a new expiry, today's policy. Raises `Refused`.

    Possible once it has expired, in the last quarter before that, and when the policy has changed.
    """
    if approval.state not in {ApprovalState.PENDING, ApprovalState.EXPIRED}:
        raise _settled(approval, None)
    if not policy.approvers:
        raise Refused(_NOBODY, Reason.NOT_ALLOWED)
    is_due = approval.state is ApprovalState.EXPIRED or approval.expires_at - now <= policy.expiry / 4
    if not is_due and policy.version == approval.policy_version:
        raise Refused(
            f"This approval still runs until {_clock(approval.expires_at)}; there is no need to renew it.",
            Reason.ALREADY_DONE,
        )
    return replace(
        approval,
        state=ApprovalState.PENDING,
        policy_version=policy.version,
        needs=policy.quorum_for(approval.risk),
        requested_at=now,
        expires_at=now + policy.expiry,
        votes=(),
        renewals=approval.renewals + 1,
    )


def expire(approval: Approval, *, now: datetime) -> Approval:
    """Return the approval as the clock leaves it: expired if its time is over and it was not carried out."""
    if approval.has_expired(now) and ApprovalState.EXPIRED in _NEXT[approval.state]:
        return replace(approval, state=ApprovalState.EXPIRED)
    return approval


def enter_state(approval: Approval, state: ApprovalState) -> Approval:
    """Supersede an approval or note that it was carried out. Raises `Refused` where that cannot follow."""
    if state not in _NEXT[approval.state] or state in {ApprovalState.PENDING, ApprovalState.APPROVED}:
        raise _settled(approval, None)
    return replace(approval, state=state)


def who_may_approve(approval: Approval, *, roster: Roster, policy: ApprovalPolicy) -> tuple[str, ...]:
    """Return the people whose approval would count now, in the policy's order: whom to ask."""
    spent = {*approval.excluded, *approval.approved_by}
    return tuple(p for p in policy.approvers if p not in spent and _why_no_standing(p, roster, policy) is None)


_NOBODY: Final = "Nobody may approve patches: the policy names no approvers. Add them to [approval] approvers."


def _require_same_patch(approval: Approval, digest: str) -> None:
    if len(digest) < SHORTEST_DIGEST or not approval.digest.startswith(digest):
        raise Refused("This card shows another patch than the one to approve; look at the newest card.", Reason.STALE)


def _require_pending(approval: Approval, now: datetime, roster: Roster) -> None:
    if approval.state is not ApprovalState.PENDING:
        raise _settled(approval, roster)
    if approval.has_expired(now):
        raise Refused(f"This approval ran out at {_clock(approval.expires_at)}; renew it to ask again.", Reason.EXPIRED)


def _require_standing(person: str, roster: Roster, policy: ApprovalPolicy) -> None:
    problem = _why_no_standing(person, roster, policy)
    if problem is not None:
        raise Refused(problem, Reason.NOT_ALLOWED)


def _why_no_standing(person: str, roster: Roster, policy: ApprovalPolicy) -> str | None:
    found = roster.people.get(person)
    if not policy.approvers:
        return _NOBODY
    if found is None:
        return f"{person} is not on the roster; an administrator can add people."
    if not found.may(Role.APPROVER):
        return f"{found.name} has the role {found.role}; approving and rejecting take the role approver."
    if person not in policy.approvers:
        return f"{found.name} is not among the approvers that the policy names."
    return None


def _reject(approval: Approval, vote: Vote) -> Approval:
    if not vote.reason.strip():
        raise Refused("Say why you reject it, so that the next draft can be better.", Reason.BAD_INPUT)
    return replace(approval, votes=(*approval.votes, vote), state=ApprovalState.REJECTED)


def _settled(approval: Approval, roster: Roster | None) -> Refused:
    """Say how an approval stands, and who decided."""
    names = [_name(person, roster) for person in approval.approved_by]
    by = f" by {' and '.join(names)}" if names else ""
    no = approval.rejection
    why = f" by {_name(no.person, roster)}: {no.reason}" if no else "."
    expired = f"This approval ran out at {_clock(approval.expires_at)}; renew it to ask again."
    texts = {
        ApprovalState.PENDING: f"This patch is not approved yet; {_people(approval.missing)} must.",
        ApprovalState.APPROVED: f"This patch was already approved{by}.",
        ApprovalState.REJECTED: f"This patch was rejected{why}",
        ApprovalState.EXPIRED: expired,
        ApprovalState.SUPERSEDED: "This patch was replaced by a newer one; look at the newest card.",
        ApprovalState.EXECUTED: f"This patch was approved{by} and has been pushed.",
        ApprovalState.FAILED: f"This patch was approved{by}, but carrying it out failed; ask for a new draft.",
    }
    reasons = {
        ApprovalState.PENDING: Reason.NOT_ALLOWED,
        ApprovalState.EXPIRED: Reason.EXPIRED,
        ApprovalState.SUPERSEDED: Reason.STALE,
    }
    return Refused(texts[approval.state], reasons.get(approval.state, Reason.ALREADY_DONE))


def _excluded_text(approval: Approval) -> str:
    return f"This patch is risky ({'; '.join(approval.risk)}): its author and who asked for it cannot approve it."


def _people(count: int) -> str:
    return "1 more person" if count == 1 else f"{count} more people"


def _name(person: str, roster: Roster | None) -> str:
    found = roster.people.get(person) if roster else None
    return found.name if found else person


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M} UTC"
