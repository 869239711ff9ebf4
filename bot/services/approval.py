"""Approval: the press, its expiry and its renewal."""

from bot.domain.approval import Approval, ApprovalState, Vote, cast_vote, expire, renew
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.drafting import plan_expiry
from bot.services.pause import find_pause
from bot.services.rollout import freeze_push
from bot.services.rulebook import Rulebook


def decide(work: UnitOfWork, incident: str, digest: str, vote: Vote, rules: Rulebook) -> str:
    """Count a vote. Reaching the quorum freezes the push and starts it in the same transaction. Raises `Refused`."""
    before = work.approvals.get(incident, digest)
    after = cast_vote(before, vote, digest=digest, now=work.now, roster=rules.roster, policy=rules.policy)
    if after == before:
        return "This was counted already."
    if vote.approve:
        _require_no_other(work, before)
    if not work.approvals.replace(before, after):
        raise Refused("Somebody else decided at the same moment; look at the card.", Reason.CONFLICT)
    name = rules.name_of(vote.person)
    verb = "approved" if vote.approve else "rejected"
    text = f"{name} {verb} patch {after.digest[:12]}" + (f": {vote.reason}" if vote.reason else "")
    work.timeline.append(incident, verb, vote.person, text, {"digest": after.digest, "event": vote.event})
    current = work.incidents.get(incident)
    announce(work, current, "patch", arg=after.digest[:12])
    if after.state is ApprovalState.APPROVED:
        freeze_push(work, work.drafts.get(incident, digest), after, rules)
        pause = find_pause(work, incident)
        if pause is not None:
            return f"Approved, and not pushed yet. {pause}."
        return f"Approved. Pushing exactly the bytes you saw ({after.digest[:12]})."
    if after.state is ApprovalState.REJECTED:
        return "Rejected. Nothing was pushed."
    return f"Counted. {after.missing} more must approve."


def _require_no_other(work: UnitOfWork, approval: Approval) -> None:
    """Several patches may wait beside each other; only one at a time is pushed. Raises `Refused`."""
    for other in work.approvals.of(approval.incident):
        if other.digest != approval.digest and other.state is ApprovalState.APPROVED:
            what = f"Patch {other.digest[:12]} was approved and is on its way; wait for its verdict."
            raise Refused(what, Reason.CONFLICT)


def expire_due(work: UnitOfWork, incident: str, digest: str) -> bool:
    """Let an undecided approval run out; False when it was decided or renewed."""
    before = work.approvals.get(incident, digest)
    after = expire(before, now=work.now)
    if before.state is not ApprovalState.PENDING or after == before or not work.approvals.replace(before, after):
        return False
    work.timeline.append(incident, "expired", BOT, f"The approval of {digest[:12]} ran out; nothing was pushed")
    announce(work, work.incidents.get(incident), "patch", arg=digest[:12])
    return True


def renew_approval(work: UnitOfWork, incident: str, digest: str, person: str, rules: Rulebook) -> str:
    """Ask again for the same bytes. Raises `Refused`."""
    before = work.approvals.get(incident, digest)
    after = renew(before, now=work.now, policy=rules.policy)
    if not work.approvals.replace(before, after):
        raise Refused("Somebody else decided at the same moment; look at the card.", Reason.CONFLICT)
    name = rules.name_of(person)
    work.timeline.append(incident, "renewed", person, f"{name} asked again for the approval of {digest[:12]}")
    plan_expiry(work, incident, after.digest, rules.policy.expiry, renewals=after.renewals)
    announce(work, work.incidents.get(incident), "patch", arg=after.digest[:12])
    minutes = round(rules.policy.expiry.total_seconds() / 60)
    return f"Asked again. The approval now runs for {minutes} minutes."
