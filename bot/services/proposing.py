"""The change on the forge: proposed once after the push, and remembered as the forge last told it."""

from dataclasses import dataclass
from typing import Final

from bot.domain.approvals.order import Order
from bot.domain.approvals.statement import build_statement, statement_digest
from bot.domain.change import Change, ChangeRequest, ChangeState
from bot.domain.ci import Trigger
from bot.domain.timeline import TimelineEvent
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.ci_follow import service_of
from bot.services.dispatch import start_order
from bot.services.rollout import give_up_push
from bot.services.rulebook import Rulebook

PROPOSED, MERGED, ENDED_BY_HAND = "proposed", "merged", "change_ended"
KINDS: Final = frozenset({PROPOSED, MERGED, ENDED_BY_HAND})
FOLLOWING: Final = frozenset(
    {
        "merge_refused",
        "deploy_refused",
        "deployed",
        "deploy_failed",
        "deploy_unknown",
        "watch_cleared",
        "watch_failed",
    }
)
"""What is told of a change after it was proposed."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is to be proposed on which forge; `statement` is the digest of the approval's statement."""

    forge: str
    request: ChangeRequest
    statement: str


def find_change(work: UnitOfWork, incident: str, digest: str) -> Change | None:
    """Return the change of a patch as it was last told, None where there is none."""
    told = [event.data for event in work.timeline.of(incident) if event.kind in KINDS]
    mine = [data for data in told if data.get("digest", "").startswith(digest)]
    if not mine:
        return None
    data = mine[-1]
    return Change(
        number=int(data["number"]),
        state=ChangeState(data["state"]),
        sha=data["sha"],
        url=data["url"],
        merged_sha=data["merged"],
    )


def find_ending(work: UnitOfWork, incident: str, digest: str) -> TimelineEvent | None:
    """Return the event that tells that people merged or closed the change of a patch themselves."""
    told = [event for event in work.timeline.of(incident) if event.kind == ENDED_BY_HAND]
    return next((event for event in told if event.data["digest"].startswith(digest)), None)


def tell_change(work: UnitOfWork, incident: str, digest: str) -> str:
    """Return how the change of a patch stands and what followed, in a line; "" where there is none."""
    change = find_change(work, incident, digest)
    if change is None:
        return ""
    words = [f"change {change.number} {change.state.value}" + (f" {change.url}" if change.url else "")]
    told = [event for event in work.timeline.of(incident) if event.data.get("digest", "").startswith(digest)]
    last = [event.text for event in told if event.kind in FOLLOWING]
    return " · ".join([*words, *last[-1:]])


def plan_proposal(work: UnitOfWork, incident: str, digest: str, sha: str, rules: Rulebook) -> Proposal | None:
    """Return what is to be proposed, without its body; None where that is done. Raises `Refused`."""
    service = service_of(work, incident, rules)
    draft = work.drafts.get(incident, digest)
    if not service.forge or find_change(work, incident, draft.digest) is not None:
        return None
    statement = statement_digest(build_statement(work.approvals.get(incident, draft.digest)))
    request = ChangeRequest(
        repository=service.repository,
        branch=draft.push_branch,
        target=draft.branch,
        sha=sha,
        title=draft.title,
        body="",
    )
    return Proposal(forge=service.forge, request=request, statement=statement)


def record_change(
    work: UnitOfWork, incident: str, digest: str, change: Change, *, pushed: str, rules: Rulebook
) -> None:
    """Note the change; where it is what makes CI run, CI is followed from here on."""
    draft = work.drafts.get(incident, digest)
    if find_change(work, incident, draft.digest) is None:
        text = f"Proposed as change {change.number}" + (f": {change.url}" if change.url else "")
        work.timeline.append(incident, PROPOSED, BOT, text, change_data(draft.digest, change))
        announce(work, work.incidents.get(incident), "patch", arg=draft.digest[:12])
    if service_of(work, incident, rules).trigger is Trigger.PULL_REQUEST:
        start_order(work, Order(incident=incident, digest=draft.digest), pushed)


def refuse_change(work: UnitOfWork, incident: str, digest: str, why: str, rules: Rulebook) -> None:
    """The forge took no change: people are told. Where only a change makes CI run, there will be no verdict."""
    text = f"Pushed, but no change was proposed: {why}"
    work.timeline.append(incident, "change_refused", BOT, text, {"digest": digest})
    name = work.incidents.get(incident).service
    if name not in rules.services or rules.services[name].trigger is Trigger.PULL_REQUEST:
        give_up_push(work, incident, digest, why)
        return
    announce(work, work.incidents.get(incident), "notice", arg=f"change.{digest[:12]}", once=f"change-{digest[:12]}")


def change_data(digest: str, change: Change) -> dict[str, str]:
    """Return how a change stands in the timeline."""
    return {
        "digest": digest,
        "number": str(change.number),
        "state": change.state.value,
        "sha": change.sha,
        "url": change.url,
        "merged": change.merged_sha,
    }
