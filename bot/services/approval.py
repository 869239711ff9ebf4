"""Approval: the press, breaking the glass, expiry and renewal."""

from dataclasses import replace
from typing import Final

from bot.domain.approval import Approval, ApprovalState, Vote, break_glass, cast_vote, expire, renew
from bot.domain.approvals.statement import build_statement, statement_digest
from bot.domain.approvals.subject import Subject
from bot.domain.patches.risk import touches_ci_or_policy
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.drafting import plan_expiry
from bot.services.pause import find_pause
from bot.services.rollback import start_rollback
from bot.services.rollout import freeze_push
from bot.services.rulebook import Rulebook
from bot.services.standing import require_no_other, require_open

BROKEN: Final = "break_glass"
MIN_CHANNELS: Final = 2


def decide(work: UnitOfWork, incident: str, digest: str, vote: Vote, rules: Rulebook) -> str:
    """Count a vote. Reaching the quorum freezes the push and starts it in the same transaction. Raises `Refused`."""
    before = work.approvals.get(incident, digest)
    after = cast_vote(before, vote, digest=digest, now=work.now, roster=rules.roster, policy=rules.policy)
    if after == before:
        return "This was counted already."
    if vote.approve:
        require_open(work, incident, before.subject.done)
        require_no_other(work, before)
    if not work.approvals.replace(before, after):
        raise Refused("Somebody else decided at the same moment; look at the card.", Reason.CONFLICT)
    name = rules.name_of(vote.person)
    verb = "approved" if vote.approve else "rejected"
    text = f"{name} {verb} {after.subject.value} {after.digest[:12]}" + (f": {vote.reason}" if vote.reason else "")
    data = {"digest": after.digest, "event": vote.event}
    if after.state is ApprovalState.APPROVED:
        data["statement"] = statement_digest(build_statement(after))
    work.timeline.append(incident, verb, vote.person, text, data)
    current = work.incidents.get(incident)
    announce(work, current, "patch", arg=after.digest[:12])
    if after.state is ApprovalState.APPROVED:
        _carry_out(work, after, rules)
        pause = find_pause(work, incident)
        if pause is not None:
            return f"Approved, and not {after.subject.done} yet. {pause}."
        return f"Approved. {after.subject.going} you saw ({after.digest[:12]})."
    if after.state is ApprovalState.REJECTED:
        return f"Rejected. Nothing was {after.subject.done}."
    return f"Counted. {after.missing} more must approve."


def _carry_out(work: UnitOfWork, approval: Approval, rules: Rulebook) -> None:
    """Start what was approved, in the same transaction."""
    if approval.subject is Subject.ROLLBACK:
        start_rollback(work, approval, rules)
    else:
        freeze_push(work, work.drafts.get(approval.incident, approval.digest), approval, rules)


def break_glass_for(work: UnitOfWork, incident: str, digest: str, vote: Vote, rules: Rulebook) -> str:
    """Push alone and at once; it is told in two channels at least, and looked into later. Raises `Refused`."""
    before = work.approvals.get(incident, digest)
    current = work.incidents.get(incident)
    after = break_glass(before, vote, digest=digest, now=work.now, roster=rules.roster, policy=rules.policy)
    if before.subject is Subject.PATCH and touches_ci_or_policy(work.drafts.get(incident, digest).patch):
        raise Refused(
            "Break-glass never covers CI or policy files; this patch needs its approvals.", Reason.NOT_ALLOWED
        )
    require_open(work, incident, before.subject.done)
    require_no_other(work, before)
    told = replace(current, channels=_find_channels(current.channels, rules.channels))
    if not work.approvals.replace(before, after):
        raise Refused("Somebody else decided at the same moment; look at the card.", Reason.CONFLICT)
    reason = after.glass.reason if after.glass else vote.reason
    text = f"{rules.name_of(vote.person)} broke the glass for {after.subject.value} {after.digest[:12]}: {reason}"
    data = {"digest": after.digest, "event": vote.event, "statement": statement_digest(build_statement(after))}
    work.timeline.append(incident, BROKEN, vote.person, text, data)
    announce(work, current, "patch", arg=after.digest[:12])
    announce(work, told, "glass", arg=after.digest[:12], once=f"broken-{after.renewals}")
    _carry_out(work, after, rules)
    pause = find_pause(work, incident)
    if pause is not None:
        return f"The glass is broken, and nothing is {after.subject.done} yet. {pause}."
    verb = after.subject.going.partition(" ")[0]
    return f"The glass is broken and told in {', '.join(told.channels)}. {verb} exactly {after.digest[:12]}."


def _find_channels(own: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    """Return where it is told: the incident's channels, and every other one where it has only one."""
    channels = own if len(set(own)) > 1 else tuple(dict.fromkeys((*own, *every)))
    if len(set(channels)) < MIN_CHANNELS:
        text = "Break-glass is told in two channels, and only one is configured. Ask a second person to approve."
        raise Refused(text, Reason.NOT_ALLOWED)
    return channels


def expire_due(work: UnitOfWork, incident: str, digest: str) -> bool:
    """Let an undecided approval run out; False when it was decided or renewed."""
    before = work.approvals.get(incident, digest)
    after = expire(before, now=work.now)
    if before.state is not ApprovalState.PENDING or after == before or not work.approvals.replace(before, after):
        return False
    text = f"The approval of {digest[:12]} ran out; nothing was {after.subject.done}"
    work.timeline.append(incident, "expired", BOT, text, {"digest": after.digest})
    announce(work, work.incidents.get(incident), "patch", arg=digest[:12])
    return True


def renew_approval(work: UnitOfWork, incident: str, digest: str, person: str, rules: Rulebook) -> str:
    """Ask again for the same bytes. Raises `Refused`."""
    before = work.approvals.get(incident, digest)
    require_open(work, incident, before.subject.done)
    after = renew(before, now=work.now, policy=rules.policy)
    if not work.approvals.replace(before, after):
        raise Refused("Somebody else decided at the same moment; look at the card.", Reason.CONFLICT)
    name = rules.name_of(person)
    text = f"{name} asked again for the approval of {digest[:12]}"
    work.timeline.append(incident, "renewed", person, text, {"digest": after.digest})
    expiry = after.expires_at - work.now
    plan_expiry(work, incident, after.digest, expiry, renewals=after.renewals)
    announce(work, work.incidents.get(incident), "patch", arg=after.digest[:12])
    minutes = round(expiry.total_seconds() / 60)
    return f"Asked again. The approval now runs for {minutes} minutes."
