"""Drafting: a verified patch becomes a draft, and a question to the people who may approve it."""

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.approval import MAX_OPEN, Approval, ApprovalState, enter_state, request_approval
from bot.domain.approvals.subject import Subject
from bot.domain.draft import Draft, DraftState
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import Drafted, Verified
from bot.domain.patches.patch import parse_patch
from bot.domain.patches.risk import RiskFacts, classify_risk
from bot.domain.timeline import write_anchor
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.rulebook import Rulebook
from bot.services.standing import find_requester
from bot.services.triage import announce_findings, finish_triage

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def propose(work: UnitOfWork, incident: str, rules: Rulebook) -> bool:
    """Turn the stored stages of a run into a draft and its approval; False when there is no patch to propose.

    May be repeated: the same patch is proposed once. Ends the run either way.
    """
    current = work.incidents.get(incident)
    results = work.investigations.of(current.run)
    drafted = next((result for result in results if isinstance(result, Drafted) and result.patch), None)
    if drafted is None:
        finish_triage(work, incident, state=RunState.DONE)
        return False
    verified = next((result for result in results if isinstance(result, Verified)), None)
    try:
        draft = build_draft(work, current, drafted, verified, rules)
        announce_findings(work, current)
        ask_approval(work, current, draft, rules, requester=find_requester(work, incident, current.run))
    except Refused as refusal:
        finish_triage(work, incident, state=RunState.DONE, why=f"No patch is proposed: {refusal}")
        return False
    finish_triage(work, incident, state=RunState.WAITING)
    return True


def build_draft(
    work: UnitOfWork, incident: Incident, drafted: Drafted, verified: Verified | None, rules: Rulebook
) -> Draft:
    """Return the draft of a patch, its risk judged by the rules. Raises `Refused`."""
    service = rules.services[incident.service]
    limits = replace(rules.patch_limits, binary_paths=service.binary_paths)
    found = frozenset(drafted.existing)
    patch = parse_patch(drafted.patch, limits, allowed_existing=lambda path, char: (path, ord(char)) in found)
    if _COMMIT.fullmatch(drafted.base) is None:
        raise Refused("it does not stand on a commit, so nobody could say what it changes.", Reason.HOSTILE_PATCH)
    facts = RiskFacts(
        is_verified=verified is not None and verified.is_verified,
        is_pure_revert=drafted.culprit is not None and not drafted.notes,
        service_paths=service.paths,
        auth_paths=rules.auth_paths,
    )
    return Draft(
        incident=incident.id,
        patch=patch,
        base=drafted.base,
        branch=service.branch,
        title=drafted.title,
        culprit=drafted.culprit,
        author=BOT,
        verified=verified,
        risk=classify_risk(patch, facts=facts),
        state=DraftState.PROPOSED,
        created_at=work.now,
        notes=drafted.notes,
        service=service.name,
    )


def ask_approval(
    work: UnitOfWork,
    incident: Incident,
    draft: Draft,
    rules: Rulebook,
    *,
    requester: str | None = None,
    takes: Collection[str] | None = None,
) -> None:
    """Store the draft and ask for its approval; the card shows the audit head of this moment. Raises `Refused`.

    It takes the place of the patches in `takes` (whole digests), without one of all that wait for a decision; what is
    left may not be more than `MAX_OPEN` with it: no card is taken away while somebody reads it. A patch that was
    superseded itself is asked for anew only where a person, the `requester`, wants it back.
    """
    known = next((approval for approval in work.approvals.of(incident.id) if approval.digest == draft.digest), None)
    comes_back = known is not None and known.state is ApprovalState.SUPERSEDED and requester is not None
    if known is not None and not comes_back:
        if known.state.is_final:
            raise Refused(f"the same patch was {known.state.value} before.", Reason.ALREADY_DONE)
        return
    if known is not None:  # its commit and its verification are those that were shown then
        draft = replace(work.drafts.get(incident.id, draft.digest), state=DraftState.PROPOSED)
    approval = request_approval(
        draft,
        now=work.now,
        policy=rules.policy,
        requester=requester,
        target=f"{rules.services[incident.service].repository} {draft.push_branch}",
        audit_head="",
    )
    waiting = [other for other in work.approvals.of(incident.id) if other.is_open and other.digest != draft.digest]
    left = [other for other in waiting if takes is not None and other.digest not in takes]
    if len(left) >= MAX_OPEN:
        raise Refused(f"{len(left)} patches wait for a decision already, so it is not added.", Reason.CONFLICT)
    for other in waiting:
        if other not in left:
            supersede_open(work, incident, other)
    summary = f"Patch {draft.digest[:12]}: {draft.title}"
    event = work.timeline.append(incident.id, "patch_ready", BOT, summary, {"digest": draft.digest})
    approval = replace(approval, audit_head=write_anchor(event.seq, event.hash))
    if known is not None:
        approval = replace(approval, renewals=known.renewals + 1)
        work.drafts.restore(incident.id, draft.digest)
        work.approvals.replace(known, approval)
    else:
        work.drafts.add(draft)
        work.approvals.add(approval)
    once = f"asked-{approval.renewals}" if approval.renewals else "asked"
    announce(work, incident, "patch", arg=draft.digest[:12], once=once)
    plan_expiry(work, incident.id, draft.digest, approval.expires_at - work.now, renewals=approval.renewals)


def plan_expiry(work: UnitOfWork, incident: str, digest: str, expiry: timedelta, *, renewals: int) -> None:
    """Start the clock of an approval; each renewal has its own."""
    args = {"incident": incident, "digest": digest}
    work.phases.enqueue("expire", f"{incident}:{digest[:12]}:{renewals}", args, delay=expiry)


def supersede_others(work: UnitOfWork, incident: Incident, newest: Draft) -> None:
    """Withdraw the patches that wait for a decision beside this one."""
    for approval in work.approvals.of(incident.id):
        if approval.digest != newest.digest:
            supersede_open(work, incident, approval)


def supersede_open(work: UnitOfWork, incident: Incident, approval: Approval) -> None:
    """Withdraw one patch, if it still waits for a decision; a rollback is another matter."""
    if not approval.is_open or approval.subject is not Subject.PATCH:
        return
    work.approvals.replace(approval, enter_state(approval, ApprovalState.SUPERSEDED))
    work.drafts.supersede(incident.id, approval.digest)
    text = f"Patch {approval.digest[:12]} is withdrawn"
    work.timeline.append(incident.id, "withdrawn", BOT, text, {"digest": approval.digest})
    once = f"superseded-{approval.renewals}" if approval.renewals else "superseded"
    announce(work, incident, "patch", arg=approval.digest[:12], once=once)
