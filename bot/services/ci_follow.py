"""From a pushed commit to CI's verdict: what starts the run, and what is asked until it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.approvals.order import Order, read_order
from bot.domain.ci import CIRequest, CIRun, Trigger
from bot.domain.service import Service
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.dispatch import start_order
from bot.services.rollout import push_key
from bot.services.rulebook import Rulebook

MISSING, ORDER_FAILED = "ci_missing", "ci_order_failed"


@dataclass(frozen=True, kw_only=True)
class FollowPlan:
    """Which run is followed and where. `since` is set where a person says that the ordered run is there."""

    ci: str
    request: CIRequest
    order: Order
    since: datetime | None = None


def service_of(work: UnitOfWork, incident: str, rules: Rulebook) -> Service:
    """Return the service of an incident. Raises `Refused` where it is no longer configured."""
    name = work.incidents.get(incident).service
    if name not in rules.services:
        raise Refused(f'"{name}" is no longer configured; add [services.{name}] again.', Reason.NOT_FOUND)
    return rules.services[name]


def start_following(work: UnitOfWork, incident: str, digest: str, sha: str, rules: Rulebook) -> None:
    """Start what comes after a push: the change on the forge, and CI. May be repeated.

    Where the change itself makes CI run, CI is followed once the change is there.
    """
    service = service_of(work, incident, rules)
    if service.forge:
        args = {"incident": incident, "digest": digest, "sha": sha}
        work.phases.enqueue("propose", f"{incident}:{digest[:12]}", args)
    if not service.forge or service.trigger is not Trigger.PULL_REQUEST:
        start_order(work, Order(incident=incident, digest=digest), sha)


def plan_follow(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> FollowPlan | None:
    """Return what a phase follows; None when the verdict is known already. Raises `Refused`."""
    incident, sha = args["incident"], args["sha"]
    service = service_of(work, incident, rules)
    draft = work.drafts.get(incident, args["digest"])
    if any(run.sha == sha and run.state.is_final for _, run in work.ci_runs.of(incident)):
        return None
    order = read_order(incident, draft.digest, args["order"])
    since = datetime.fromisoformat(args["since"]) if "since" in args else None
    return FollowPlan(ci=service.ci, request=ask_checks(work, order, sha, service), order=order, since=since)


def plan_wish(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> FollowPlan:
    """Return which run a person asks to have cancelled or run again. Raises `Refused`."""
    incident = args["incident"]
    service = service_of(work, incident, rules)
    order = Order(incident=incident, digest=work.drafts.get(incident, args["digest"]).digest)
    return FollowPlan(ci=service.ci, request=ask_checks(work, order, args["sha"], service), order=order)


def ask_checks(work: UnitOfWork, order: Order, sha: str, service: Service) -> CIRequest:
    """Return how CI is asked for the checks of a pushed commit. Raises `Refused`."""
    effect = work.effects.get(push_key(work.approvals.get(order.incident, order.digest)))
    if effect is None:
        raise Refused("Nothing was pushed.", Reason.NOT_FOUND)
    is_order = service.trigger is Trigger.DISPATCH
    return CIRequest(
        repository=effect.payload["repository"],
        sha=sha,
        branch=effect.payload["branch"],
        incident=order.incident,
        trigger=service.trigger,
        job=service.ci_job if is_order else "",
        key=order.key if is_order else "",
    )


def known_run(work: UnitOfWork, incident: str, sha: str) -> CIRun | None:
    """Return the run of a commit as CI last told it."""
    return next((run for _, run in work.ci_runs.of(incident) if run.sha == sha), None)


def note_missing(work: UnitOfWork, incident: str, digest: str, sha: str, *, patience: timedelta) -> None:
    """CI shows no run of a pushed commit: after a while people are told, once; it is looked for all the same."""
    told = work.timeline.of(incident)
    pushed = [event for event in told if event.kind == "pushed" and event.data.get("sha") == sha]
    if not pushed or work.now - pushed[-1].at < patience:
        return
    if any(event.kind == MISSING and event.data.get("sha") == sha for event in told):
        return
    text = f"CI shows no run of {sha[:12]} yet; it is still looked for"
    work.timeline.append(incident, MISSING, BOT, text, {"sha": sha, "digest": digest})
    announce(work, work.incidents.get(incident), "notice", arg=f"missing.{digest[:12]}", once=f"missing-{sha[:12]}")


def tell_order_failed(work: UnitOfWork, incident: str, digest: str, text: str, *, order: str) -> None:
    """CI did not do what a person asked of it: say so in the thread, without ringing."""
    event = work.timeline.append(incident, ORDER_FAILED, BOT, text, {"digest": digest, "order": order})
    current = work.incidents.get(incident)
    announce(work, current, "notice", arg=f"asked.{digest[:12]}", once=f"asked-{event.seq}")
