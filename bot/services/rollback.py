"""Carrying out a rollback: its job is ordered once, after one more check, and followed; then the alert is watched."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.approval import Approval, ApprovalState, check_still_valid, enter_state
from bot.domain.approvals.order import Order, Ordered, read_order
from bot.domain.approvals.rollback import Release, Rollback, parse_rollback
from bot.domain.approvals.statement import build_statement
from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.domain.service import Service
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import EffectState, UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.dispatch import ANSWERED, Noted, is_noted, note_order, record_answer, refuse_order, was_told
from bot.services.pause import require_running
from bot.services.rollout import push_key
from bot.services.rulebook import Rulebook
from bot.services.standing import require_no_other, require_open

READY, ROLLED_BACK, REFUSED = "rollback_ready", "rolled_back", "rollback_refused"
PASSED, FAILED, UNKNOWN = "rollback_passed", "rollback_failed", "rollback_unknown"
"""How the job of a rollback ended; unknown where CI does not show its run."""
ENDS: Final = frozenset({PASSED, FAILED, UNKNOWN})


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A rollback as it was proposed. `commits` are what it takes back, newest first, as people read them."""

    rollback: Rollback
    commits: tuple[str, ...] = ()
    left: int = 0


@dataclass(frozen=True, kw_only=True)
class RollbackPlan:
    """An order to roll back. `is_running` is set where a person says that it has arrived."""

    ci: str
    request: CIRequest
    order: Order
    release_tags: str
    is_running: bool = False


def find_rollback(work: UnitOfWork, incident: str, digest: str) -> Proposed:
    """Return a proposed rollback. Its document stands in the sealed timeline. Raises `Refused`."""
    told = [event.data for event in work.timeline.of(incident) if event.kind == READY]
    data = next((data for data in told if data["digest"].startswith(digest)), None) if len(digest) >= 12 else None
    if data is None:
        raise Refused(f"{incident} has no rollback {digest[:12]}.", Reason.NOT_FOUND)
    rollback = parse_rollback(data["document"].encode())
    if rollback.digest != data["digest"]:
        raise Refused(f"The document of {digest[:12]} is not what was proposed.", Reason.CONFLICT)
    return Proposed(rollback=rollback, commits=tuple(json.loads(data["commits"])), left=int(data["left"]))


def start_rollback(work: UnitOfWork, approval: Approval, rules: Rulebook) -> None:
    """Write down what was approved, and start the phase that orders it."""
    rollback = find_rollback(work, approval.incident, approval.digest).rollback
    _require_service(rollback, rules)
    payload = {
        "document": rollback.document.decode(),
        "at": work.now.isoformat(),
        "statement": build_statement(approval).decode("ascii"),
    }
    work.effects.intend(push_key(approval), f"rollback:{rollback.repository}", payload)
    order = Order(incident=approval.incident, digest=approval.digest, what=Ordered.ROLLBACK)
    while is_noted(work, order):  # it was approved anew after an order that nobody answered
        order = Order(incident=order.incident, digest=order.digest, what=order.what, attempt=order.attempt + 1)
    args = {
        "incident": order.incident,
        "digest": order.digest,
        "sha": rollback.previous.sha,
        "order": order.arg,
    }
    key = f"{order.incident}:{order.digest[:12]}:{order.arg}:again-{approval.renewals}"
    work.phases.enqueue("rollback", key, args)


def plan_rollback(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> RollbackPlan | None:
    """Return the order of a rollback; None when it was answered or is over. Raises `Refused`."""
    order = read_order(args["incident"], args["digest"], args["order"])
    approval = work.approvals.get(order.incident, order.digest)
    if was_told(work, order, frozenset({ANSWERED})) or approval.state is not ApprovalState.APPROVED:
        return None
    return _plan(work, args, rules)


def plan_follow(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> RollbackPlan | None:
    """Return the rollback whose run is followed; None when its end is known. Raises `Refused`."""
    order = read_order(args["incident"], args["digest"], args["order"])
    return None if was_told(work, order, ENDS) else _plan(work, args, rules)


def _plan(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> RollbackPlan:
    incident = args["incident"]
    rollback = find_rollback(work, incident, args["digest"]).rollback
    order = read_order(incident, rollback.digest, args["order"])
    service = _require_service(rollback, rules)
    request = CIRequest(
        repository=rollback.repository,
        sha=rollback.previous.sha,
        branch=service.branch,
        incident=incident,
        trigger=Trigger.DISPATCH,
        job=rollback.job,
        key=order.key,
        is_check=False,
        tag=rollback.previous.tag,
    )
    return RollbackPlan(
        ci=service.ci,
        request=request,
        order=order,
        release_tags=service.release_tags,
        is_running="since" in args,
    )


def note_rollback(work: UnitOfWork, order: Order, releases: Sequence[Release], rules: Rulebook) -> Noted | None:
    """Check once more and note the order, in one step. `releases` are the newest there are now.

    None where the rollback is out of date and was withdrawn. Raises `Refused` where it may not be carried out. What
    is noted already is not judged again: it may have arrived.
    """
    rollback = find_rollback(work, order.incident, order.digest).rollback
    if is_noted(work, order):
        return note_order(work, order, rollback.previous.sha)
    approval = work.approvals.get(order.incident, order.digest)
    check_still_valid(approval, digest=rollback.digest, now=work.now, roster=rules.roster, policy=rules.policy)
    require_no_other(work, approval)
    require_open(work, order.incident, approval.subject.done)
    require_running(work, order.incident)
    why = _say_moved(rollback, releases)
    if why:
        _give_up(work, approval, ApprovalState.SUPERSEDED, f"{why}. Ask for it again if it is still wanted")
        return None
    return note_order(work, order, rollback.previous.sha)


def record_rollback(work: UnitOfWork, order: Order, run: CIRun) -> None:
    """CI has the order: the approval is carried out, and the order is followed to its end."""
    record_answer(work, order, run)
    approval = work.approvals.get(order.incident, order.digest)
    if approval.state is not ApprovalState.APPROVED:
        return
    work.approvals.replace(approval, enter_state(approval, ApprovalState.EXECUTED))
    work.effects.settle(push_key(approval), EffectState.DONE)
    rollback = find_rollback(work, order.incident, order.digest).rollback
    text = f"{rollback.job} takes {rollback.title}"
    work.timeline.append(order.incident, ROLLED_BACK, BOT, text, {"digest": order.digest, "url": run.url})
    announce(work, work.incidents.get(order.incident), "patch", arg=order.digest[:12])
    args = {"incident": order.incident, "digest": order.digest, "sha": run.sha, "order": order.arg}
    work.phases.enqueue("deployed", f"{order.incident}:{order.digest[:12]}:{order.arg}", args)


def conclude_rollback(work: UnitOfWork, order: Order, run: CIRun | None, rules: Rulebook) -> None:
    """Its job has ended, or (None) CI does not tell how. The alert is watched unless it surely failed."""
    if was_told(work, order, ENDS):
        return
    rollback = find_rollback(work, order.incident, order.digest).rollback
    kind, text = _say_end(rollback, run)
    data = {"key": order.key, "digest": order.digest, "url": run.url if run else ""}
    work.timeline.append(order.incident, kind, BOT, text, data)
    current = work.incidents.get(order.incident)
    announce(work, current, "patch", arg=order.digest[:12])
    if kind == FAILED:
        announce(work, current, "notice", arg=f"returned.{order.digest[:12]}", once=f"rollback-failed-{order.arg}")
        return
    args = {"incident": order.incident, "digest": order.digest, "after": f"the rollback to {rollback.previous.tag}"}
    watch = rules.services[rollback.service].watch if rollback.service in rules.services else Service.watch
    work.phases.enqueue("watch", f"{order.incident}:{order.digest[:12]}:{order.arg}", args, delay=watch)


def _say_end(rollback: Rollback, run: CIRun | None) -> tuple[str, str]:
    if run is None:
        return UNKNOWN, "CI does not show the rollback's run, so how it ended is not known"
    if run.state is CIState.PASSED:
        return PASSED, f"Rolled back to {rollback.previous.tag}"
    how = "was cancelled" if run.state is CIState.CANCELLED else "failed"
    return FAILED, f"The rollback to {rollback.previous.tag} {how}" + (
        f" at {run.failed_step}" if run.failed_step else ""
    )


def find_end(work: UnitOfWork, incident: str, digest: str) -> TimelineEvent | None:
    """Return how a rollback ended last, None where it did not (yet)."""
    told = [e for e in work.timeline.of(incident) if e.kind in ENDS and e.data["digest"].startswith(digest)]
    return told[-1] if told else None


def refuse_rollback(work: UnitOfWork, order: Order, why: str, *, renewable: bool = False) -> None:
    """It was not carried out and will not be: say why. `renewable`: asked again, the same may be approved."""
    approval = work.approvals.get(order.incident, order.digest)
    refuse_order(work, order, why)
    if approval.state is not ApprovalState.APPROVED:
        return
    ran_out = renewable or approval.has_expired(work.now)
    _give_up(work, approval, ApprovalState.EXPIRED if ran_out else ApprovalState.FAILED, why)


def _give_up(work: UnitOfWork, approval: Approval, outcome: ApprovalState, why: str) -> None:
    work.approvals.replace(approval, enter_state(approval, outcome))
    work.effects.settle(push_key(approval), EffectState.FAILED, why)
    data = {"digest": approval.digest, "state": outcome.value}
    work.timeline.append(approval.incident, REFUSED, BOT, f"Not rolled back: {why}", data)
    current = work.incidents.get(approval.incident)
    announce(work, current, "patch", arg=approval.digest[:12])
    once = f"rollback-refused-{approval.renewals}"
    announce(work, current, "notice", arg=f"rollback.{approval.digest[:12]}", once=once)


def _say_moved(rollback: Rollback, releases: Sequence[Release]) -> str:
    """Return what has changed among the releases since the rollback was proposed, "" where nothing has."""
    present, previous = [*releases, None, None][:2]
    if present != rollback.present:
        now = f"{present} is" if present else "none is"
        return f"the present release was {rollback.present}, and now {now}"
    if previous != rollback.previous:
        return f"the release before it is no longer {rollback.previous}"
    return ""


def _require_service(rollback: Rollback, rules: Rulebook) -> Service:
    """Return the service, if it is still rolled back in the way that was approved. Raises `Refused`."""
    service = rules.services.get(rollback.service)
    if service is None or (service.repository, service.rollback_job) != (rollback.repository, rollback.job):
        text = f"the configuration no longer rolls {rollback.service} back with {rollback.job}"
        raise Refused(text, Reason.CONFLICT)
    return service
