"""Rollout: an approved patch becomes exactly one commit, one CI run, one verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.approval import Approval, ApprovalState, check_still_valid, enter_state
from bot.domain.approvals.statement import build_statement, commit_message
from bot.domain.approvals.subject import Subject
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import Draft
from bot.domain.incident import IncidentState, RunState
from bot.domain.patches.risk import touches_ci_or_policy
from bot.domain.timeline import write_anchor
from bot.errors import Reason, Refused
from bot.ports.work import EffectState, UnitOfWork
from bot.ports.workspace import CommitPlan
from bot.services.announce import BOT, announce, refresh_card
from bot.services.drafting import supersede_others
from bot.services.pause import require_running
from bot.services.rulebook import Rulebook
from bot.services.standing import require_no_other, require_open, require_patch
from bot.services.triage import start_triage

COMMITTER = "Nightshift"
COMMITTER_EMAIL = "nightshift@localhost"
RENEWABLE = frozenset({Reason.EXPIRED, Reason.REVOKED, Reason.FROZEN})
"""Refusals before a push after which the same bytes may be asked for again."""


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """A push, frozen when it was approved. `done_sha` is set when an earlier try finished it."""

    repository: str
    target: str
    branch: str
    plan: CommitPlan
    files: tuple[str, ...]
    done_sha: str = ""


def push_key(approval: Approval) -> str:
    """Return the name of the one push (or rollback) of an approval; one that was asked for again has its own."""
    again = f":{approval.renewals}" if approval.renewals else ""
    what = "push" if approval.subject is Subject.PATCH else approval.subject.value
    return f"{what}:{approval.incident}:{approval.digest[:12]}{again}"


def freeze_push(work: UnitOfWork, draft: Draft, approval: Approval, rules: Rulebook) -> None:
    """Write down everything that decides the commit's SHA, before anything is pushed, and start the phase."""
    name = work.incidents.get(draft.incident).service
    service = rules.services.get(name)
    if service is None:
        raise Refused(f'"{name}" is no longer configured; add [services.{name}] again to push.', Reason.NOT_FOUND)
    approvers = [rules.name_of(person) for person in approval.approved_by]
    head = write_anchor(*work.timeline.head())
    statement = build_statement(approval)
    payload = {
        "repository": service.repository,
        "target": draft.branch,
        "branch": draft.push_branch,
        "base": draft.base,
        "digest": draft.digest,
        "message": commit_message(draft.title, approval, approvers=approvers, audit_head=head),
        "merge": service.merge.value,
        "at": work.now.replace(microsecond=0).isoformat(),
        "statement": statement.decode("ascii"),
    }
    work.effects.intend(push_key(approval), f"push:{service.repository}", payload)
    args = {"incident": draft.incident, "digest": draft.digest}
    work.phases.enqueue("execute", push_key(approval).removeprefix("push:"), args)


def find_statement(work: UnitOfWork, incident: str, digest: str) -> bytes:
    """Return the statement as it was written when the patch was approved. Raises `Refused` where it was not."""
    approval = work.approvals.get(incident, digest)
    built = build_statement(approval)
    effect = work.effects.get(push_key(approval))
    return effect.payload["statement"].encode("ascii") if effect and "statement" in effect.payload else built


def plan_push(work: UnitOfWork, incident: str, digest: str) -> PushPlan | None:
    """Return the frozen push; None when it was given up."""
    approval = work.approvals.get(incident, digest)
    require_patch(approval)
    effect = work.effects.get(push_key(approval))
    if effect is None or effect.state is EffectState.FAILED:
        return None
    draft = work.drafts.get(incident, digest)
    known = [run.sha for known_digest, run in work.ci_runs.of(incident) if known_digest == draft.digest]
    return PushPlan(
        repository=effect.payload["repository"],
        target=effect.payload["target"],
        branch=effect.payload["branch"],
        plan=_commit_plan(effect.payload, draft),
        files=tuple(dict.fromkeys(p for c in draft.patch.files for p in (c.path, c.old_path) if p)),
        done_sha=known[0] if known and effect.state is EffectState.DONE else "",
    )


def _commit_plan(payload: Mapping[str, str], draft: Draft) -> CommitPlan:
    return CommitPlan(
        base=payload["base"],
        patch=draft.patch.text,
        message=payload["message"],
        author=COMMITTER,
        email=COMMITTER_EMAIL,
        at=datetime.fromisoformat(payload["at"]),
    )


def recheck(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> None:
    """The second check, just before the push. Raises `Refused`."""
    approval = work.approvals.get(incident, digest)
    require_patch(approval)
    check_still_valid(approval, digest=digest, now=work.now, roster=rules.roster, policy=rules.policy)
    if approval.glass is not None and touches_ci_or_policy(work.drafts.get(incident, digest).patch):
        raise Refused("Break-glass never covers CI or policy files; nothing was pushed.", Reason.REVOKED)
    require_no_other(work, approval)
    require_open(work, incident)
    require_running(work, incident)


def record_push(work: UnitOfWork, incident: str, digest: str, *, sha: str, moved: bool) -> None:
    """Note that the commit stands on the remote; its CI run is queued in the same transaction."""
    key = push_key(work.approvals.get(incident, digest))
    effect = work.effects.get(key)
    if effect is None or effect.state is EffectState.DONE:
        return
    work.effects.settle(key, EffectState.DONE)
    work.ci_runs.put(incident, digest, CIRun(id=sha[:12], sha=sha, state=CIState.QUEUED))
    note = f"; {effect.payload['target']} has moved since, but not in these files" if moved else ""
    text = f"Pushed {sha[:12]} to {effect.payload['branch']}{note}"
    work.timeline.append(incident, "pushed", BOT, text, {"sha": sha, "digest": digest})
    announce(work, work.incidents.get(incident), "patch", arg=digest[:12])


def give_up_push(work: UnitOfWork, incident: str, digest: str, why: str, *, renewable: bool = False) -> None:
    """The push may not or cannot happen, or CI does not answer: say why, and let nothing happen later.

    `renewable`: it is the approval that no longer holds (a freeze, an approver who left); asked again it may.
    """
    approval = work.approvals.get(incident, digest)
    effect = work.effects.get(push_key(approval))
    is_pushed = effect is not None and effect.state is EffectState.DONE
    outcome = approval.state
    if approval.state is ApprovalState.APPROVED:
        ran_out = (renewable or approval.has_expired(work.now)) and not is_pushed
        outcome = ApprovalState.EXPIRED if ran_out else ApprovalState.FAILED
        work.approvals.replace(approval, enter_state(approval, outcome))
    if is_pushed:
        text = f"Pushed, but CI gave no verdict: {why}"
    else:
        text = f"Not pushed: {why}"
        work.effects.settle(push_key(approval), EffectState.FAILED, why)
    work.timeline.append(incident, "push_refused", BOT, text, {"digest": digest, "state": outcome.value})
    current = work.incidents.get(incident)
    announce(work, current, "patch", arg=digest[:12])
    announce(work, current, "notice", arg=digest[:12], once=f"push-refused-{approval.renewals}")


def supersede(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> None:
    """The target's files changed since the approval: the patch is withdrawn and a new one is looked for."""
    approval = work.approvals.get(incident, digest)
    work.approvals.replace(approval, enter_state(approval, ApprovalState.SUPERSEDED))
    work.drafts.supersede(incident, digest)
    why = "the branch changed in the same files since it was approved"
    work.effects.settle(push_key(approval), EffectState.FAILED, why)
    work.timeline.append(incident, "superseded", BOT, f"Patch {digest[:12]} is withdrawn: {why}", {"digest": digest})
    current = work.incidents.get(incident)
    renewed = replace(current, runs=current.runs + 1, run_state=RunState.QUEUED)
    work.incidents.save(renewed)
    announce(work, current, "patch", arg=digest[:12])
    start_triage(work, renewed, rules)


def record_ci(work: UnitOfWork, incident: str, digest: str, run: CIRun) -> None:
    """Store what CI says; the verdict ends the approval and is told once."""
    if not work.ci_runs.put(incident, digest, run):
        return
    if not run.state.is_final:
        announce(work, work.incidents.get(incident), "patch", arg=digest[:12], once=f"ci-{run.state}-{run.attempt}")
        return
    passed = run.state is CIState.PASSED
    approval = work.approvals.get(incident, digest)
    if approval.state is ApprovalState.APPROVED or (passed and approval.state is ApprovalState.FAILED):
        outcome = ApprovalState.EXECUTED if passed else ApprovalState.FAILED
        work.approvals.replace(approval, enter_state(approval, outcome))
    text = f"CI {run.state.value} on {run.sha[:12]}" + (f" at {run.failed_step}" if run.failed_step else "")
    data = {"sha": run.sha, "attempt": str(run.attempt), "digest": approval.digest}
    work.timeline.append(incident, f"ci_{run.state.value}", BOT, text, data)
    current = work.incidents.get(incident)
    work.incidents.save(replace(current, run_state=RunState.DONE))
    if passed:
        supersede_others(work, current, work.drafts.get(incident, digest))
        work.incidents.advance(incident, IncidentState.MITIGATED, work.now)
    announce(work, current, "patch", arg=digest[:12])
    announce(work, current, "verdict", arg=digest[:12], once=f"attempt-{run.attempt}")
    refresh_card(work, incident)


def order_ci(work: UnitOfWork, incident: str, order: str, person: str, rules: Rulebook) -> str:
    """Ask CI to cancel or rerun the newest run of an incident; the phase carries it out. Raises `Refused`."""
    runs = work.ci_runs.of(incident)
    if not runs:
        raise Refused("Nothing was pushed, so there is no CI run.", Reason.NOT_FOUND)
    digest, run = runs[-1]
    if order == "cancel" and run.state.is_final:
        raise Refused(f"The run has ended already: {run.state.value}.", Reason.ALREADY_DONE)
    if order == "rerun" and not run.state.is_final:
        raise Refused("The run has not ended yet.", Reason.CONFLICT)
    text = f"{rules.name_of(person)} asked CI to {order} {run.sha[:12]}"
    event = work.timeline.append(incident, f"ci_{order}", person, text, {"sha": run.sha, "digest": digest})
    args = {"incident": incident, "digest": digest, "sha": run.sha, "order": order}
    work.phases.enqueue("ci", f"{incident}:{order}:{event.seq}", args)
    return f"Asked CI to {order} {run.sha[:12]}."
