"""Asking for a rollback: the releases are looked up, the document is written, and its approval is asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.domain.approval import MAX_OPEN, ApprovalState, enter_state, expire, request_rollback
from bot.domain.approvals.rollback import MAX_COMMITS, Release, Rollback, judge_rollback
from bot.domain.approvals.subject import Subject
from bot.domain.incident import Incident
from bot.domain.service import Service
from bot.domain.timeline import write_anchor
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.ports.workspace import Commit
from bot.services.announce import BOT, announce
from bot.services.ci_follow import service_of
from bot.services.drafting import plan_expiry
from bot.services.rollback import READY
from bot.services.rulebook import Rulebook
from bot.services.standing import require_open

ASKED, NONE_FOUND = "rollback_asked", "rollback_not_proposed"
SHOWN: Final = 10
"""So many commits are named on the card."""


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Where the releases of a service are looked up. `request` is the row of the timeline that asked."""

    repository: str
    branch: str
    release_tags: str
    request: int


def order_rollback(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """A person asks to go back to the release before; it needs an approval of its own. Raises `Refused`."""
    current = work.incidents.get(incident)
    require_open(work, incident, Subject.ROLLBACK.done)
    _require_job(service_of(work, incident, rules))
    known = [approval for approval in work.approvals.of(incident) if approval.subject is Subject.ROLLBACK]
    waiting = [approval for approval in known if expire(approval, now=work.now).state is ApprovalState.PENDING]
    waiting += [approval for approval in known if approval.state is ApprovalState.APPROVED]
    if waiting:
        raise Refused(f"Rollback {waiting[-1].digest[:12]} was asked for already; look at its card.", Reason.CONFLICT)
    told = [event.kind for event in work.timeline.of(incident) if event.kind in {ASKED, READY, NONE_FOUND}]
    if told and told[-1] == ASKED:
        raise Refused("The releases are being looked up already.", Reason.ALREADY_DONE)
    text = f"{rules.name_of(person)} asked to roll {current.service} back"
    event = work.timeline.append(incident, ASKED, person, text)
    args = {"incident": incident, "request": str(event.seq), "person": person}
    work.phases.enqueue("release", f"{incident}:{event.seq}", args)
    return "Looking up the releases. Nothing is rolled back before it is approved."


def plan_lookup(work: UnitOfWork, incident: str, request: int, rules: Rulebook) -> Lookup | None:
    """Return where to look; None where this request was answered. Raises `Refused`."""
    answered = [e for e in work.timeline.of(incident) if e.kind in {READY, NONE_FOUND}]
    if any(event.data["request"] == str(request) for event in answered):
        return None
    require_open(work, incident, Subject.ROLLBACK.done)
    service = _require_job(service_of(work, incident, rules))
    return Lookup(
        repository=service.repository, branch=service.branch, release_tags=service.release_tags, request=request
    )


def propose_rollback(
    work: UnitOfWork,
    rollback: Rollback,
    commits: Sequence[Commit],
    person: str,
    rules: Rulebook,
) -> None:
    """Ask for the approval of a rollback; it stands beside the patches that wait. Raises `Refused`."""
    current = work.incidents.get(rollback.incident)
    if plan_lookup(work, rollback.incident, rollback.request, rules) is None:
        return
    _supersede_older(work, current)
    if sum(other.is_open for other in work.approvals.of(current.id)) >= MAX_OPEN:
        raise Refused(f"{MAX_OPEN} cards wait for a decision already; decide about one first", Reason.CONFLICT)
    if len(commits) > MAX_COMMITS:
        raise Refused(f"more than {MAX_COMMITS} commits would go back; do that by hand", Reason.TOO_LARGE)
    paths = tuple(dict.fromkeys(path for commit in commits for path in commit.files))
    risk = judge_rollback(paths)
    approval = request_rollback(rollback, risk, paths, now=work.now, policy=rules.policy, requester=person)
    data = {
        "digest": rollback.digest,
        "request": str(rollback.request),
        "document": rollback.document.decode(),
        "commits": json.dumps([f"{commit.sha[:12]} {commit.subject[:120]}" for commit in commits[:SHOWN]]),
        "left": str(max(0, len(commits) - SHOWN)),
    }
    text = f"Rollback {rollback.digest[:12]}: {rollback.title}"
    event = work.timeline.append(current.id, READY, BOT, text, data)
    work.approvals.add(replace(approval, audit_head=write_anchor(event.seq, event.hash)))
    announce(work, current, "patch", arg=rollback.digest[:12], once="asked")
    plan_expiry(work, current.id, rollback.digest, approval.expires_at - work.now, renewals=0)


def write_rollback(incident: Incident, lookup: Lookup, releases: Sequence[Release], rules: Rulebook) -> Rollback:
    """Return the rollback from the newest release to the one before. Raises `Refused` where there are no two."""
    where = f'a tag like "{lookup.release_tags}" on {lookup.branch}'
    if not releases:
        raise Refused(f"there is no release: no commit has {where}", Reason.NOT_FOUND)
    if len(releases) == 1:
        raise Refused(f"there is no release before {releases[0]}: no other commit has {where}", Reason.NOT_FOUND)
    service = rules.services[incident.service]
    return Rollback(
        incident=incident.id,
        request=lookup.request,
        service=service.name,
        repository=service.repository,
        job=service.rollback_job,
        present=releases[0],
        previous=releases[1],
    )


def refuse_lookup(work: UnitOfWork, incident: str, request: int, why: str) -> None:
    """There is no rollback to propose: say why; it may be asked for again."""
    work.timeline.append(incident, NONE_FOUND, BOT, f"No rollback: {why}", {"request": str(request)})
    announce(work, work.incidents.get(incident), "notice", arg=f"release.{request}", once=f"release-{request}")


def _supersede_older(work: UnitOfWork, incident: Incident) -> None:
    """Withdraw earlier rollbacks that nobody decided about: there is one card to look at."""
    for approval in work.approvals.of(incident.id):
        if approval.subject is Subject.ROLLBACK and approval.is_open:
            work.approvals.replace(approval, enter_state(approval, ApprovalState.SUPERSEDED))
            announce(work, incident, "patch", arg=approval.digest[:12], once="superseded")


def _require_job(service: Service) -> Service:
    if service.rollback_job:
        return service
    text = f"No job rolls {service.name} back: services.{service.name}.rollback_job is not set."
    raise Refused(text, Reason.NOT_FOUND)
