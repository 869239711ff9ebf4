"""Approvals: a statement about exact bytes, made of votes; never just a click.

    pending → approved | rejected | expired | superseded;  approved → executed | failed | expired | superseded;
    expired → pending (renewed: every vote is asked for again);  failed → executed (CI passed in a rerun)

The functions take the present time, roster and policy and return a new `Approval`, or raise `Refused` in the
words of the person who asked. The store compares the state before it writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from bot.domain.approvals.policy import (
    NO_APPROVALS,
    NOBODY,
    NOBODY_HERE,
    ApprovalPolicy,
    Scope,
    who_has_standing,
    why_no_standing,
)
from bot.domain.approvals.rollback import Rollback
from bot.domain.approvals.subject import Subject
from bot.domain.draft import Draft, DraftState, Risk
from bot.domain.oncall import Roster
from bot.domain.patches.risk_kind import GUARDED, kinds_of
from bot.errors import Reason, Refused

__all__ = ["NO_APPROVALS", "Approval", "ApprovalPolicy", "ApprovalState", "BreakGlass", "Vote"]

SHORTEST_DIGEST: Final = 12
LONGEST_GLASS: Final = timedelta(minutes=60)
MAX_OPEN: Final = 3
"""Patches of one incident that may wait for a decision: more are no help at night."""
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
        """Return whether no decision and no push can follow. What failed in CI may still pass there."""
        return _NEXT[self] <= {ApprovalState.EXECUTED}


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
    ApprovalState.FAILED: frozenset({ApprovalState.EXECUTED}),
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
class BreakGlass:
    """That one person pushed at once, alone or in a freeze, and why. It is looked into afterwards."""

    person: str
    reason: str
    at: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The approval of one patch (or rollback) digest on one base for one target, with its votes.

    `needs` is how many different people must approve; `excluded` are people whose approval does not count
    (author and requester of a risky patch). `audit_head` is the timeline's head when it was asked for;
    `requested_at` is when it was last asked for: a renewal asks again. `scope` is what the policy's rules look at.
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
    scope: Scope = field(default_factory=Scope)
    glass: BreakGlass | None = None
    subject: Subject = Subject.PATCH

    @property
    def is_open(self) -> bool:
        """Return whether it can still come to a push, at once or after a renewal."""
        return self.state in {ApprovalState.PENDING, ApprovalState.EXPIRED}

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

    Asking is not authoring: who asked is excluded only where the patch is risky, or the policy says so.
    """
    if draft.state is DraftState.SUPERSEDED:
        raise Refused("This draft was replaced by a newer one; look at that one.", Reason.STALE)
    risk = draft.risk.reasons
    if not risk and (draft.verified is None or not draft.verified.is_verified):
        risk = ("not verified in the sandbox",)
    paths = tuple(dict.fromkeys(p for change in draft.patch.files for p in (change.path, change.old_path) if p))
    scope = Scope(service=draft.service, paths=paths, kinds=kinds_of(risk), author=draft.author, only=draft.approvers)
    policy = _narrow(policy, scope)
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
        excluded=policy.exclude(draft.author, requester, is_risky=bool(risk)),
        requester=requester,
        scope=scope,
    )


def request_rollback(
    rollback: Rollback, risk: Risk, paths: Sequence[str], *, now: datetime, policy: ApprovalPolicy, requester: str
) -> Approval:
    """Ask for the approval of a rollback; `paths` are the files that it takes back. Raises `Refused`.

    It is risky always. Who asked for it is one of those who may approve it, unless the policy says otherwise: asking
    chooses neither the release nor the job.
    """
    reasons = risk.reasons
    scope = Scope(service=rollback.service, paths=tuple(paths), kinds=kinds_of(reasons))
    policy = _narrow(policy, scope)
    asked = Approval(
        incident=rollback.incident,
        digest=rollback.digest,
        base=rollback.present.sha,
        target=f"{rollback.repository} {rollback.previous.tag}",
        policy_version=policy.version,
        state=ApprovalState.PENDING,
        needs=policy.quorum_for(reasons),
        risk=reasons,
        requested_at=now,
        expires_at=now + policy.expiry,
        audit_head="",
        requester=requester,
        scope=scope,
        subject=Subject.ROLLBACK,
    )
    return replace(asked, excluded=_exclude(asked, policy))


def _exclude(approval: Approval, policy: ApprovalPolicy) -> tuple[str, ...]:
    """Return who of its author and requester may not approve it, as the (narrowed) policy says now."""
    is_risky = bool(approval.risk) and approval.subject is Subject.PATCH
    return policy.exclude(approval.scope.author, approval.requester, is_risky=is_risky)


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
    policy = policy.narrow(approval.scope)
    _require_ballot(approval, vote, digest=digest, now=now, roster=roster, policy=policy)
    if not vote.approve:
        return _reject(approval, vote)
    _require_countable(approval, vote.person, policy)
    _require_no_freeze(approval, now, policy)
    if vote.person in approval.approved_by:
        raise Refused(f"You have already approved this; {_people(approval.missing)} must.", Reason.ALREADY_DONE)
    counted = replace(approval, votes=(*approval.votes, vote))
    return counted if counted.missing else replace(counted, state=ApprovalState.APPROVED)


def break_glass(
    approval: Approval, vote: Vote, *, digest: str, now: datetime, roster: Roster, policy: ApprovalPolicy
) -> Approval:
    """Approve alone and at once. Raises `Refused`; nothing has changed then.

    It takes the place of the missing votes and lifts a freeze, nothing else: the person must be one who may approve
    this patch and whom the policy trusts with it, the bytes are the same, and CI and policy files stay closed to it.
    """
    policy = policy.narrow(approval.scope)
    _require_ballot(approval, vote, digest=digest, now=now, roster=roster, policy=policy)
    _require_countable(approval, vote.person, policy)
    problem = why_no_glass(approval, vote.person, policy)
    if problem:
        raise Refused(problem, Reason.NOT_ALLOWED)
    reason = " ".join("".join(char if char.isprintable() else " " for char in vote.reason).split())
    if not reason:
        raise Refused("Say why you break the glass: it is told to everybody and looked into later.", Reason.BAD_INPUT)
    until = min(approval.expires_at, now + LONGEST_GLASS)
    glass = BreakGlass(person=vote.person, reason=reason, at=now, until=until)
    votes = (*approval.votes, vote)
    return replace(approval, votes=votes, glass=glass, expires_at=until, state=ApprovalState.APPROVED)


def why_no_glass(approval: Approval, person: str, policy: ApprovalPolicy) -> str:
    """Return why a person may not break the glass for this patch, "" where that may be."""
    if not policy.break_glass:
        return "Break-glass is switched off: the policy names nobody in [approval] break_glass."
    if GUARDED.intersection(approval.scope.kinds) or not approval.scope.service:
        return "Break-glass never covers CI or policy files; this patch needs its approvals."
    if person not in policy.break_glass:
        return f"Break-glass is only for {', '.join(policy.break_glass)}."
    return ""


def who_may_break_glass(approval: Approval, *, roster: Roster, policy: ApprovalPolicy) -> tuple[str, ...]:
    """Return the people who could break the glass for this patch now."""
    policy = policy.narrow(approval.scope)
    able = [p for p in who_has_standing(policy.break_glass, roster, policy) if not why_no_glass(approval, p, policy)]
    return tuple(person for person in able if person not in approval.excluded)


def check_still_valid(
    approval: Approval, *, digest: str, now: datetime, roster: Roster, policy: ApprovalPolicy
) -> None:
    """Check once more, just before the push, that `digest` (the whole sha256) may be pushed. Raises `Refused`."""
    if approval.state is not ApprovalState.APPROVED:
        raise _settled(approval, roster)
    if digest != approval.digest:
        text = f"These are not the bytes that were approved; nothing was {approval.subject.done}."
        raise Refused(text, Reason.CONFLICT)
    policy = policy.narrow(approval.scope)
    nothing = f"Nothing was {approval.subject.done}."
    deadline = min(approval.expires_at, approval.requested_at + policy.expiry)
    if now >= deadline:
        raise Refused(
            f"The approval ran out at {_clock(deadline)} before it was carried out; renew it.", Reason.EXPIRED
        )
    excluded = {*approval.excluded, *_exclude(approval, policy)}
    for person in approval.approved_by:
        problem = why_no_standing(person, roster, policy)
        if problem:
            raise Refused(f"An approval no longer counts: {problem} {nothing}", Reason.REVOKED)
        if person in excluded:
            raise Refused(_excluded_text(approval), Reason.REVOKED)
    if approval.glass is not None:
        _require_glass(approval, approval.glass.person, policy)
        return
    _require_no_freeze(approval, now, policy)
    needs = max(approval.needs, policy.quorum_for(approval.risk))
    have = len(approval.approved_by)
    if have < needs:
        raise Refused(f"The policy now asks for {needs} people, {have} approved; renew the approval.", Reason.REVOKED)


def renew(approval: Approval, *, now: datetime, policy: ApprovalPolicy) -> Approval:
    """Ask for the same bytes again: votes cleared, a new expiry, today's policy. Raises `Refused`.

    Possible once it has expired, in the last quarter before that, and when the policy has changed.
    """
    if approval.state not in {ApprovalState.PENDING, ApprovalState.EXPIRED}:
        raise _settled(approval, None)
    policy = _narrow(policy, approval.scope)
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
        glass=None,
        excluded=_exclude(approval, policy),
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
    policy = policy.narrow(approval.scope)
    spent = {*approval.excluded, *approval.approved_by}
    return tuple(person for person in who_has_standing(policy.approvers, roster, policy) if person not in spent)


def _narrow(policy: ApprovalPolicy, scope: Scope) -> ApprovalPolicy:
    """Return the policy for one patch. Raises `Refused` where nobody could approve it."""
    narrowed = policy.narrow(scope)
    if not narrowed.approvers:
        raise Refused(NOBODY_HERE if policy.approvers else NOBODY, Reason.NOT_ALLOWED)
    return narrowed


def _require_ballot(
    approval: Approval, vote: Vote, *, digest: str, now: datetime, roster: Roster, policy: ApprovalPolicy
) -> None:
    """Whatever the vote says: it is about these bytes, in time, and by somebody who may vote."""
    _require_same_patch(approval, digest)
    _require_pending(approval, now, roster)
    problem = why_no_standing(vote.person, roster, policy)
    if problem is not None:
        raise Refused(problem, Reason.NOT_ALLOWED)
    if vote.at < approval.requested_at - CLOCK_SLACK:
        raise Refused("That press is older than this request for approval; press again.", Reason.STALE)


def _require_countable(approval: Approval, person: str, policy: ApprovalPolicy) -> None:
    if policy.version != approval.policy_version:
        raise Refused("The approval policy has changed since this was asked; renew the approval first.", Reason.STALE)
    if person in approval.excluded:
        raise Refused(_excluded_text(approval), Reason.NOT_ALLOWED)


def _require_glass(approval: Approval, person: str, policy: ApprovalPolicy) -> None:
    """What a broken glass rests on must still hold at the push."""
    problem = why_no_glass(approval, person, policy)
    if not problem and person not in approval.approved_by:
        problem = "Who broke the glass did not approve."
    if problem:
        raise Refused(f"{problem} Nothing was {approval.subject.done}.", Reason.REVOKED)


def _require_no_freeze(approval: Approval, now: datetime, policy: ApprovalPolicy) -> None:
    frozen = policy.find_freeze(approval.scope, now)
    if frozen is None:
        return
    can_break = any(not why_no_glass(approval, person, policy) for person in policy.break_glass)
    raise Refused(frozen.say(now) + " Break-glass is possible." * can_break, Reason.FROZEN)


def _require_same_patch(approval: Approval, digest: str) -> None:
    if len(digest) < SHORTEST_DIGEST or not approval.digest.startswith(digest):
        what = approval.subject.value
        raise Refused(f"This card shows another {what} than the one to approve; look at the newest card.", Reason.STALE)


def _require_pending(approval: Approval, now: datetime, roster: Roster) -> None:
    if approval.state is not ApprovalState.PENDING:
        raise _settled(approval, roster)
    if approval.has_expired(now):
        raise Refused(f"This approval ran out at {_clock(approval.expires_at)}; renew it to ask again.", Reason.EXPIRED)


def _reject(approval: Approval, vote: Vote) -> Approval:
    if not vote.reason.strip():
        how = f"/patch reject {approval.incident} wrong cause"
        raise Refused(f"Say why you reject it, so that the next draft can be better: {how}", Reason.BAD_INPUT)
    return replace(approval, votes=(*approval.votes, vote), state=ApprovalState.REJECTED)


def _settled(approval: Approval, roster: Roster | None) -> Refused:
    """Say how an approval stands, and who decided."""
    names = [_name(person, roster) for person in approval.approved_by]
    by = f" by {' and '.join(names)}" if names else ""
    no = approval.rejection
    why = f" by {_name(no.person, roster)}: {no.reason}" if no else "."
    expired = f"This approval ran out at {_clock(approval.expires_at)}; renew it to ask again."
    it, done = f"This {approval.subject.value}", approval.subject.done
    texts = {
        ApprovalState.PENDING: f"{it} is not approved yet; {_people(approval.missing)} must.",
        ApprovalState.APPROVED: f"{it} was already approved{by}.",
        ApprovalState.REJECTED: f"{it} was rejected{why}",
        ApprovalState.EXPIRED: expired,
        ApprovalState.SUPERSEDED: f"{it} was replaced by a newer one; look at the newest card.",
        ApprovalState.EXECUTED: f"{it} was approved{by} and has been {done}.",
        ApprovalState.FAILED: f"{it} was approved{by}, but carrying it out failed; ask for a new one.",
    }
    if approval.subject is Subject.PATCH:
        texts[ApprovalState.FAILED] = texts[ApprovalState.FAILED].replace("a new one", "a new draft")
    else:
        texts[ApprovalState.SUPERSEDED] = f"{it} is out of date and was withdrawn; ask for a new one."
    reasons = {
        ApprovalState.PENDING: Reason.NOT_ALLOWED,
        ApprovalState.EXPIRED: Reason.EXPIRED,
        ApprovalState.SUPERSEDED: Reason.STALE,
    }
    return Refused(texts[approval.state], reasons.get(approval.state, Reason.ALREADY_DONE))


def _excluded_text(approval: Approval) -> str:
    is_risky = approval.risk and approval.subject is Subject.PATCH
    why = f"is risky ({'; '.join(approval.risk)})" if is_risky else "may not be approved by its own people"
    return f"This {approval.subject.value} {why}: its author and who asked for it cannot approve it."


def _people(count: int) -> str:
    return "1 more person" if count == 1 else f"{count} more people"


def _name(person: str, roster: Roster | None) -> str:
    found = roster.people.get(person) if roster else None
    return found.name if found else person


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M} UTC"
