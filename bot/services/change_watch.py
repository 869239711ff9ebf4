"""A change that people merge or close on the forge themselves: noticed by webhook and by looking, told once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.domain.change import Change, ChangeState, MergeRule
from bot.domain.ci import CIState
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.ci_follow import service_of
from bot.services.deploy import refuse_deploy, show_progress, start_deploy
from bot.services.merging import is_merging, merges_itself
from bot.services.proposing import ENDED_BY_HAND, PROPOSED, change_data, find_change
from bot.services.rollout import push_key
from bot.services.rulebook import Rulebook

PHASE: Final = "look"
LONGEST: Final = timedelta(minutes=30)
LAST: Final = timedelta(days=14)
"""After so long nobody expects a word any more; a webhook still brings one."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Which change is looked at, and where."""

    forge: str
    repository: str
    branch: str
    number: int


def plan_look(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> Look | None:
    """Return the change to look at; None when it has ended, or Nightshift is merging it. Raises `Refused`."""
    service, change = service_of(work, incident, rules), find_change(work, incident, digest)
    effect = work.effects.get(push_key(work.approvals.get(incident, digest)))
    if not service.forge or effect is None or not _is_watched(work, incident, digest, change):
        return None
    assert change is not None
    return Look(
        forge=service.forge,
        repository=effect.payload["repository"],
        branch=effect.payload["branch"],
        number=change.number,
    )


def look_again(work: UnitOfWork, args: Mapping[str, str]) -> None:
    """Plan the next look at a change that is open still: later and later, and not for ever. May be repeated."""
    incident, digest = args["incident"], args["digest"]
    if "round" not in args or not _is_open(find_change(work, incident, digest)):
        return
    told = [e.at for e in work.timeline.of(incident) if e.kind == PROPOSED and e.data["digest"].startswith(digest)]
    if told and work.now - told[0] < LAST:
        waited = timedelta(seconds=float(args["waited"]))
        _plan(work, incident, digest, number=int(args["round"]) + 1, wait=min(waited * 2, LONGEST))


def start_watching(work: UnitOfWork, incident: str, digest: str, *, first: timedelta) -> None:
    """Begin to look at a change that was proposed, for the first time after `first`. May be repeated."""
    if _is_open(find_change(work, incident, digest)):
        _plan(work, incident, digest, number=0, wait=first)


def hear_changes(work: UnitOfWork, heads: Iterable[str]) -> None:
    """A forge says that changes ended at these commits: look at those that are ours. Its word alone decides nothing."""
    for sha in dict.fromkeys(heads):
        known = work.ci_runs.find(sha)
        if known is not None and _is_open(find_change(work, *known)):
            incident, digest = known
            args = {"incident": incident, "digest": digest}
            work.phases.enqueue(PHASE, f"{incident}:{digest[:12]}:{work.now.isoformat()}", args)


def record_look(work: UnitOfWork, incident: str, digest: str, found: Change | None, rules: Rulebook) -> None:
    """Tell once that a change was merged or closed by hand; what an approval set going with the merge follows."""
    change = find_change(work, incident, digest)
    if found is None or found.state is ChangeState.OPEN or not _is_watched(work, incident, digest, change):
        return
    assert change is not None
    if found.number != change.number:
        return
    digest = work.drafts.get(incident, digest).digest
    as_what = f" as {found.merged_sha[:12]}" if found.merged_sha else ""
    is_merged = found.state is ChangeState.MERGED
    how = f"merged by hand{as_what}" if is_merged else "closed by hand, nothing was merged"
    data = change_data(digest, found) | {"about": _judge(work, incident, digest, found)}
    work.timeline.append(incident, ENDED_BY_HAND, BOT, f"Change {found.number} was {how}", data)
    show_progress(work, incident, digest)
    announce(work, work.incidents.get(incident), "notice", arg=f"hand.{digest[:12]}", once=f"hand-{digest[:12]}")
    if is_merged:
        _deploy(work, incident, digest, found, rules)


def _judge(work: UnitOfWork, incident: str, digest: str, found: Change) -> str:
    """Return what a merge by hand means for what was approved."""
    if found.state is ChangeState.CLOSED:
        return f"{work.drafts.get(incident, digest).branch} is as it was."
    runs = [run for known, run in work.ci_runs.of(incident) if known == digest]
    if not runs or runs[-1].sha != found.sha:
        return f"It was merged at {found.sha[:12]}, which is not the commit that was approved."
    if runs[-1].state is not CIState.PASSED:
        return f"CI had not passed: it was {runs[-1].state.value}."
    return "CI was green for exactly this commit."


def _deploy(work: UnitOfWork, incident: str, digest: str, found: Change, rules: Rulebook) -> None:
    """Deploy only what people said yes to: the approved commit, green, where the approval included the deployment."""
    service = service_of(work, incident, rules)
    if not service.deploy_job or service.merge is MergeRule.NEVER:
        return
    runs = [run for known, run in work.ci_runs.of(incident) if known == digest]
    is_green = bool(runs) and runs[-1].sha == found.sha and runs[-1].state is CIState.PASSED
    if is_green and merges_itself(work, incident, digest, service):
        start_deploy(work, incident, digest, found.merged_sha, rules)
        return
    why = "nobody approved that here" if is_green else "CI is not green for exactly the commit that was approved"
    refuse_deploy(work, incident, digest, f"it was merged by hand, and {why}")


def _is_open(change: Change | None) -> bool:
    return change is not None and change.state is ChangeState.OPEN


def _is_watched(work: UnitOfWork, incident: str, digest: str, change: Change | None) -> bool:
    """A merge of our own that is under way is told by who carries it out."""
    return _is_open(change) and not is_merging(work, incident, digest)


def _plan(work: UnitOfWork, incident: str, digest: str, *, number: int, wait: timedelta) -> None:
    digest = work.drafts.get(incident, digest).digest
    seconds = str(wait.total_seconds())
    args = {"incident": incident, "digest": digest, "round": str(number), "waited": seconds}
    work.phases.enqueue(PHASE, f"{incident}:{digest[:12]}:{number}", args, delay=wait)
