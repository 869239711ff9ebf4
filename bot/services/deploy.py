"""After the merge: the deployment is ordered once, the alert watched, and a revert drafted if it does not clear."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.change import ChangeState
from bot.domain.ci import CIRequest, CIRun, Trigger
from bot.domain.investigation import Drafted
from bot.domain.order import Order, Ordered, read_order
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.ci_follow import service_of
from bot.services.dispatch import ANSWERED, record_answer, start_order
from bot.services.drafting import ask_approval, build_draft
from bot.services.proposing import find_change
from bot.services.rulebook import Rulebook

CLEARED, STILL_FIRES = "watch_cleared", "watch_failed"
REVERT_ASKED, REVERT_REFUSED = "revert_asked", "revert_refused"
WATCHED: Final = frozenset({CLEARED, STILL_FIRES, REVERT_ASKED, REVERT_REFUSED})


@dataclass(frozen=True, kw_only=True)
class DeployPlan:
    """What is deployed where. `is_running` is set where a person says that the order has arrived."""

    ci: str
    request: CIRequest
    order: Order
    is_running: bool = False


@dataclass(frozen=True, kw_only=True)
class RevertPlan:
    """Which commit is taken back, on which branch of which repository."""

    repository: str
    branch: str
    commit: str
    title: str


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
    incident = args["incident"]
    service = service_of(work, incident, rules)
    draft = work.drafts.get(incident, args["digest"])
    order = read_order(incident, draft.digest, args["order"])
    told = [event for event in work.timeline.of(incident) if event.kind == ANSWERED]
    if any(event.data["key"] == order.key for event in told):
        return None
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
    )
    return DeployPlan(ci=service.ci, request=request, order=order, is_running="since" in args)


def record_deploy(work: UnitOfWork, order: Order, run: CIRun, rules: Rulebook) -> None:
    """The deployment has begun: show it, and look at the alert when the configured time is over."""
    record_answer(work, order, run)
    show_progress(work, order.incident, order.digest)
    watch = service_of(work, order.incident, rules).watch
    args = {"incident": order.incident, "digest": order.digest}
    work.phases.enqueue("watch", f"{order.incident}:{order.digest[:12]}:{order.attempt}", args, delay=watch)


def refuse_deploy(work: UnitOfWork, incident: str, digest: str, why: str) -> None:
    """The deployment did not begin and will not: people are told."""
    work.timeline.append(incident, "deploy_refused", BOT, f"Merged, but not deployed: {why}", {"digest": digest})
    announce(work, work.incidents.get(incident), "notice", arg=f"deployed.{digest[:12]}")


def watch_due(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> None:
    """The time to watch is over: say whether the alert has cleared; where it has not, offer to take the patch back."""
    current = work.incidents.get(incident)
    minutes = f"{service_of(work, incident, rules).watch.total_seconds() / 60:g} min"
    told = [e.kind for e in work.timeline.of(incident) if e.data.get("digest") == digest]
    if CLEARED in told or STILL_FIRES in told or REVERT_ASKED in told:
        return
    if current.is_open and current.firing:
        work.timeline.append(
            incident, STILL_FIRES, BOT, f"The alert still fires, {minutes} after the deployment", {"digest": digest}
        )
    else:
        work.timeline.append(
            incident, CLEARED, BOT, f"The alert has cleared, {minutes} after the deployment", {"digest": digest}
        )
    announce(work, current, "notice", arg=f"watch.{digest[:12]}", once="watched")


def order_revert(work: UnitOfWork, incident: str, digest: str, person: str, rules: Rulebook) -> str:
    """Ask for a patch that takes a merged one back; it needs an approval of its own. Raises `Refused`."""
    current = work.incidents.get(incident)
    digest = work.drafts.get(incident, digest).digest
    change = find_change(work, incident, digest)
    if change is None or change.state is not ChangeState.MERGED or not change.merged_sha:
        raise Refused("Nightshift has not merged this patch, so there is nothing to take back.", Reason.NOT_FOUND)
    if not current.is_open:
        raise Refused("The incident is resolved.", Reason.STALE)
    told = [e for e in work.timeline.of(incident) if e.data.get("digest") == digest]
    asked = [e.kind for e in told if e.kind in {REVERT_ASKED, REVERT_REFUSED}]
    if asked and asked[-1] == REVERT_ASKED:
        raise Refused("The revert was asked for already; look for its card.", Reason.ALREADY_DONE)
    text = f"{rules.name_of(person)} asked for a revert of {change.merged_sha[:12]}"
    event = work.timeline.append(incident, REVERT_ASKED, person, text, {"digest": digest})
    args = {"incident": incident, "digest": digest}
    work.phases.enqueue("revert", f"{incident}:{digest[:12]}:{event.seq}", args)
    announce(work, current, "notice", arg=f"watch.{digest[:12]}")
    return "Drafting the revert. It is pushed once it is approved."


def plan_revert(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> RevertPlan:
    """Return what is to be taken back. Raises `Refused`."""
    service = service_of(work, incident, rules)
    change = find_change(work, incident, digest)
    if change is None or not change.merged_sha:
        raise Refused("nothing was merged", Reason.NOT_FOUND)
    title = f'Revert "{work.drafts.get(incident, digest).title}"'
    return RevertPlan(repository=service.repository, branch=service.branch, commit=change.merged_sha, title=title)


def propose_revert(work: UnitOfWork, incident: str, drafted: Drafted, rules: Rulebook) -> None:
    """Ask for the approval of a revert. It was not run in the sandbox, and says so. Raises `Refused`."""
    current = work.incidents.get(incident)
    if not current.is_open:
        raise Refused("the incident is resolved", Reason.STALE)
    ask_approval(work, current, build_draft(work, current, drafted, None, rules), rules)


def refuse_revert(work: UnitOfWork, incident: str, digest: str, why: str) -> None:
    """There is no revert to propose: say why; it may be asked for again."""
    work.timeline.append(incident, REVERT_REFUSED, BOT, f"No revert: {why}", {"digest": digest})
    announce(work, work.incidents.get(incident), "notice", arg=f"watch.{digest[:12]}")


def show_progress(work: UnitOfWork, incident: str, digest: str) -> None:
    """Promise to bring the patch card and the verdict up to date."""
    current = work.incidents.get(incident)
    announce(work, current, "patch", arg=digest[:12])
    announce(work, current, "verdict", arg=digest[:12])
