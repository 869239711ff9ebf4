"""Revert instead: a person asks for the revert of the confirmed culprit, or of a patch that was pushed before."""

from dataclasses import dataclass, replace
from typing import Final

from bot.domain.approval import ApprovalState
from bot.domain.conclusion import find_result
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Verified
from bot.domain.playbook import choose_playbook
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce, refresh_card
from bot.services.drafting import ask_approval, build_draft
from bot.services.pause import require_running
from bot.services.proposing import find_change
from bot.services.rulebook import Rulebook
from bot.services.triage import describe_job
from bot.services.wishes import base_run

PHASE = "revert"
_WAITS: Final = frozenset({ApprovalState.PENDING, ApprovalState.EXPIRED})
ASKED, ENDED = "revert_asked", "revert_ended"


@dataclass(frozen=True, kw_only=True)
class Undoing:
    """What a revert takes back: a commit; `title` and `digest` are those of a patch that was pushed, "" for a culprit,
    whose subject says it."""

    commit: str
    title: str = ""
    digest: str = ""


def ask_revert(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """Start drafting the revert that fits the incident as it stands. Raises `Refused`."""
    current = work.incidents.get(incident)
    if not current.is_open:
        raise Refused(f"{incident} is resolved; nothing is pushed for it any more.", Reason.STALE)
    mine = [event for event in _events(work, incident, ASKED) if base_run(event.data["run"]) == current.run]
    if mine and not _has_ended(work, incident, mine[-1].data["run"]):
        raise Refused("The revert is being drafted already; wait for its card.", Reason.ALREADY_DONE)
    undoing = _choose(work, current)
    run = f"{current.run}+revert{len(mine) + 1}"
    data = {"run": run, "commit": undoing.commit, "title": undoing.title, "undoes": undoing.digest}
    text = f"{rules.name_of(person)} asked for the revert of {undoing.commit[:12]}"
    work.timeline.append(incident, ASKED, person, text, data)
    work.phases.enqueue(PHASE, run, {"incident": incident, "run": run})
    _show(work, current, undoing.digest)
    for approval in work.approvals.of(incident):
        if approval.state is ApprovalState.PENDING:
            announce(work, current, "patch", arg=approval.digest[:12])
    return f"The revert of {undoing.commit[:12]} is being drafted and tested; its card follows."


def find_revert(work: UnitOfWork, incident: Incident) -> Undoing | None:
    """Return what can be reverted now, None where that is nothing, or its revert is under way or waits already."""
    said = tell_reverts(work, incident)
    if said is not None and said[1]:
        return None
    try:
        return _choose(work, incident)
    except Refused:
        return None


def _choose(work: UnitOfWork, incident: Incident) -> Undoing:
    states = {approval.digest: approval.state for approval in work.approvals.of(incident.id)}
    if ApprovalState.APPROVED in states.values():
        raise Refused("A patch was approved and is on its way; wait for its verdict.", Reason.CONFLICT)
    pushed = [
        (digest, run) for digest, run in work.ci_runs.of(incident.id) if states.get(digest) is ApprovalState.EXECUTED
    ]
    if pushed:
        digest, run = pushed[-1]
        change = find_change(work, incident.id, digest)
        merged = change.merged_sha if change is not None else ""
        title = work.drafts.get(incident.id, digest).title
        undoing = Undoing(commit=merged or run.sha, title=title, digest=digest)
    else:
        confirmed = find_result(work.investigations.of(incident.run), Confirmed)
        if confirmed is None or not confirmed.culprit:
            raise Refused("No commit is confirmed as the cause, so there is nothing to revert.", Reason.NOT_FOUND)
        undoing = Undoing(commit=confirmed.culprit)
    for draft in work.drafts.of(incident.id):
        if draft.culprit == undoing.commit and states.get(draft.digest) in _WAITS:
            where = f"on its card, patch {draft.digest[:12]}"
            raise Refused(f"That revert waits for a decision already, {where}.", Reason.ALREADY_DONE)
    return undoing


def plan_revert(work: UnitOfWork, incident: str, *, run: str, folder: str, rules: Rulebook) -> Job | None:
    """Return the job that drafts and tests the revert on the branch as it is now. None when nobody needs it."""
    current, asked = work.incidents.get(incident), _find_asked(work, incident, run)
    playbook = choose_playbook(rules.playbooks, current.labels)
    is_over = not current.is_open or current.run != base_run(run) or _has_ended(work, incident, run)
    if asked is None or is_over or playbook is None or current.service not in rules.services:
        return None
    known = work.investigations.of(current.run)
    collected, confirmed = find_result(known, Collected), find_result(known, Confirmed)
    blamed = Confirmed(
        culprit=asked.data["commit"],
        request=confirmed.request if confirmed else None,
        runs=confirmed.runs if confirmed else (),
        how=f"{rules.name_of(asked.actor)} asked for its revert",
        reproduce=confirmed.reproduce if confirmed else playbook.reproduce,
    )
    done = (*([replace(collected, pending=())] if collected else []), blamed, *work.investigations.of(run))
    return replace(
        describe_job(work, current, playbook, folder=folder, rules=rules), run=run, done=done, wants_revert=True
    )


def conclude_revert(work: UnitOfWork, incident: str, run: str, rules: Rulebook) -> bool:
    """Ask for the approval of the drafted revert; False when there is none, which is said. May be repeated."""
    current, asked = work.incidents.get(incident), _find_asked(work, incident, run)
    if asked is None or _has_ended(work, incident, run):
        return False
    require_running(work, incident)
    results = work.investigations.of(run)
    drafted = find_result(results, Drafted)
    if drafted is None or not drafted.patch:
        why = "; ".join(drafted.notes) if drafted else "the repository could not be read"
        unmerged = ". A patch that was never merged needs no revert" if asked.data["title"] else ""
        end_revert(work, incident, run, f"No revert is proposed: {why}{unmerged}")
        return False
    if asked.data["title"]:
        drafted = replace(drafted, title=f'Revert "{asked.data["title"]}"')
    try:
        draft = build_draft(work, current, drafted, find_result(results, Verified), rules)
        ask_approval(work, current, draft, rules, requester=asked.actor)
    except Refused as refusal:
        end_revert(work, incident, run, f"No revert is proposed: {refusal}")
        return False
    if current.run_state in {RunState.DONE, RunState.FAILED}:
        work.incidents.save(replace(current, run_state=RunState.WAITING))
        refresh_card(work, incident)
    end_revert(work, incident, run, f"The revert of {asked.data['commit'][:12]} waits for approval")
    return True


def end_revert(work: UnitOfWork, incident: str, run: str, text: str) -> None:
    """Note how a revert's drafting ended, once."""
    if _has_ended(work, incident, run):
        return
    work.timeline.append(incident, ENDED, BOT, text, {"run": run})
    asked = _find_asked(work, incident, run)
    _show(work, work.incidents.get(incident), asked.data["undoes"] if asked else "")


def _show(work: UnitOfWork, incident: Incident, undoes: str) -> None:
    """Promise to bring up to date what tells of reverts: the status, and the notice that offered this one."""
    announce(work, incident, "status")
    if undoes:
        announce(work, incident, "notice", arg=f"watch.{undoes[:12]}")


def tell_reverts(work: UnitOfWork, incident: Incident) -> tuple[str, bool] | None:
    """Return the newest word on a revert that was asked for in this run, and whether it is still being drafted."""
    kinds = (ASKED, ENDED)
    mine = [e for e in _events(work, incident.id, *kinds) if base_run(e.data["run"]) == incident.run]
    return (mine[-1].text, mine[-1].kind == ASKED) if mine else None


def _events(work: UnitOfWork, incident: str, *kinds: str) -> list[TimelineEvent]:
    return [event for event in work.timeline.of(incident) if event.kind in kinds]


def _find_asked(work: UnitOfWork, incident: str, run: str) -> TimelineEvent | None:
    return next((event for event in _events(work, incident, ASKED) if event.data["run"] == run), None)


def _has_ended(work: UnitOfWork, incident: str, run: str) -> bool:
    return any(event.data["run"] == run for event in _events(work, incident, ENDED))
