"""After the merge: the deployment is ordered once, the alert watched, and a revert offered if it does not clear."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.approvals.order import Order, Ordered, read_order
from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.ci_follow import service_of
from bot.services.dispatch import ANSWERED, record_answer, start_order, was_told
from bot.services.rulebook import Rulebook

DEPLOYED, FAILED, UNKNOWN = "deployed", "deploy_failed", "deploy_unknown"
"""How a deployment ended; unknown where CI does not show its run."""
ENDS: Final = frozenset({DEPLOYED, FAILED, UNKNOWN})
CLEARED, STILL_FIRES = "watch_cleared", "watch_failed"
WATCHED: Final = frozenset({CLEARED, STILL_FIRES})


@dataclass(frozen=True, kw_only=True)
class DeployPlan:
    """What is deployed where. `is_running` is set where a person says that the order has arrived."""

    ci: str
    request: CIRequest
    order: Order
    is_running: bool = False


def start_deploy(work: UnitOfWork, incident: str, digest: str, sha: str, rules: Rulebook) -> None:
    """Order what the service says is to be deployed after a merge."""
    if not service_of(work, incident, rules).deploy_job:
        return
    if sha:
        start_order(work, Order(incident=incident, digest=digest, what=Ordered.DEPLOY), sha)
        return
    refuse_deploy(work, incident, digest, "the forge does not say as which commit it was merged")


def plan_deploy(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> DeployPlan | None:
    """Return the deployment to order; None when it has started. Raises `Refused`."""
    plan = _plan(work, args, rules)
    return None if was_told(work, plan.order, frozenset({ANSWERED})) else plan


def plan_follow(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> DeployPlan | None:
    """Return the deployment whose run is followed; None when its end is known. Raises `Refused`."""
    plan = _plan(work, args, rules)
    return None if was_told(work, plan.order, ENDS) else plan


def _plan(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> DeployPlan:
    incident = args["incident"]
    service = service_of(work, incident, rules)
    draft = work.drafts.get(incident, args["digest"])
    order = read_order(incident, draft.digest, args["order"])
    if not service.deploy_job:
        raise Refused("no deployment is configured any more", Reason.NOT_FOUND)
    request = CIRequest(
        repository=service.repository,
        sha=args["sha"],
        branch=draft.branch,
        incident=incident,
        trigger=Trigger.DISPATCH,
        job=service.deploy_job,
        key=order.key,
        is_check=False,
    )
    return DeployPlan(ci=service.ci, request=request, order=order, is_running="since" in args)


def record_deploy(work: UnitOfWork, order: Order, run: CIRun) -> None:
    """The deployment has begun: show it, and follow it to its end."""
    record_answer(work, order, run)
    show_progress(work, order.incident, order.digest)
    args = {"incident": order.incident, "digest": order.digest, "sha": run.sha, "order": order.arg}
    work.phases.enqueue("deployed", f"{order.incident}:{order.digest[:12]}:{order.arg}", args)


def conclude_deploy(work: UnitOfWork, order: Order, run: CIRun | None, rules: Rulebook) -> None:
    """The deployment has ended, or (None) CI does not tell how. The alert is watched unless it surely failed."""
    if was_told(work, order, ENDS):
        return
    kind, text = _say_end(run)
    data = {"key": order.key, "digest": order.digest, "url": run.url if run else ""}
    work.timeline.append(order.incident, kind, BOT, text, data)
    show_progress(work, order.incident, order.digest)
    if kind == FAILED:
        once = f"deploy-failed-{order.arg}"
        announce(work, work.incidents.get(order.incident), "notice", arg=f"deployment.{order.digest[:12]}", once=once)
        return
    watch = service_of(work, order.incident, rules).watch
    args = {"incident": order.incident, "digest": order.digest}
    work.phases.enqueue("watch", f"{order.incident}:{order.digest[:12]}:{order.attempt}", args, delay=watch)


def _say_end(run: CIRun | None) -> tuple[str, str]:
    if run is None:
        return UNKNOWN, "Deployment ordered; CI does not show its run, so how it ended is not known"
    if run.state is CIState.PASSED:
        return DEPLOYED, f"Deployed {run.sha[:12]}"
    how = "was cancelled" if run.state is CIState.CANCELLED else "failed"
    return FAILED, f"Merged, but the deployment {how}" + (f" at {run.failed_step}" if run.failed_step else "")


def refuse_deploy(work: UnitOfWork, incident: str, digest: str, why: str) -> None:
    """The deployment did not begin and will not: people are told."""
    work.timeline.append(incident, "deploy_refused", BOT, f"Merged, but not deployed: {why}", {"digest": digest})
    announce(work, work.incidents.get(incident), "notice", arg=f"deployed.{digest[:12]}")


def watch_due(work: UnitOfWork, incident: str, digest: str, rules: Rulebook, *, after: str = "the deployment") -> None:
    """The time to watch is over: say whether the alert has cleared; where it has not, offer to take the patch back."""
    current = work.incidents.get(incident)
    minutes = f"{service_of(work, incident, rules).watch.total_seconds() / 60:g} min"
    told = [e.kind for e in work.timeline.of(incident) if e.data.get("digest") == digest]
    if CLEARED in told or STILL_FIRES in told:
        return
    if current.is_open and current.firing:
        what = "Nobody has resolved it" if current.is_declared else "The alert still fires"
        work.timeline.append(incident, STILL_FIRES, BOT, f"{what}, {minutes} after {after}", {"digest": digest})
    else:
        what = "It is resolved" if current.is_declared else "The alert has cleared"
        work.timeline.append(incident, CLEARED, BOT, f"{what}, {minutes} after {after}", {"digest": digest})
    announce(work, current, "notice", arg=f"watch.{digest[:12]}", once="watched")


def show_progress(work: UnitOfWork, incident: str, digest: str) -> None:
    """Promise to bring the patch card and the verdict up to date."""
    current = work.incidents.get(incident)
    announce(work, current, "patch", arg=digest[:12])
    announce(work, current, "verdict", arg=digest[:12])
