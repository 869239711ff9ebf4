"""Merging: only where the policy says so and CI is green for exactly that commit; never forced."""

from dataclasses import dataclass

from bot.domain.approvals.order import Order
from bot.domain.change import Change, ChangeState, MergeRule
from bot.domain.ci import CIRequest, CIRun, CIState
from bot.domain.service import Service
from bot.errors import Reason, Refused
from bot.ports.work import EffectState, UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.ci_follow import ask_checks, service_of
from bot.services.deploy import show_progress, start_deploy
from bot.services.proposing import MERGED, change_data, find_change
from bot.services.rollout import push_key
from bot.services.rulebook import Rulebook


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """A merge that was decided: change `number` at `sha`, and how to ask once more whether CI is green for it."""

    forge: str
    ci: str
    repository: str
    branch: str
    number: int
    sha: str
    checks: CIRequest


def merge_if_green(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> None:
    """Start the merge where the policy leaves it to Nightshift and everything is there. May be repeated."""
    current = work.incidents.get(incident)
    service = rules.services.get(current.service)
    if service is None or not current.is_open:  # whoever resolved it decides about the rest
        return
    if not merges_itself(work, incident, digest, service):
        return
    change = find_change(work, incident, digest)
    run = _green_run(work, incident, digest)
    if change is None or run is None or _refusals(work, incident, digest):
        return
    if change.state is ChangeState.OPEN:
        _start_merge(work, incident, digest, change, run.sha)


def is_merging(work: UnitOfWork, incident: str, digest: str) -> bool:
    """Say whether a merge was decided here and has not ended."""
    effect = work.effects.get(_merge_key(work, incident, digest))
    return effect is not None and effect.state is EffectState.INTENDED


def merges_itself(work: UnitOfWork, incident: str, digest: str, service: Service) -> bool:
    """Say whether the policy merges what is green: today's, and the one under which people approved."""
    push = work.effects.get(push_key(work.approvals.get(incident, digest)))
    agreed = push.payload.get("merge") if push is not None else None
    return service.merge is MergeRule.GREEN and agreed == MergeRule.GREEN.value


def may_merge(work: UnitOfWork, incident: str, digest: str, service: Service) -> bool:
    """Say whether a person may be offered to merge: the policy asks, CI is green, the change is open."""
    change = find_change(work, incident, digest)
    if service.merge is MergeRule.NEVER or change is None or change.state is not ChangeState.OPEN:
        return False
    waits = work.effects.get(_merge_key(work, incident, digest)) is not None
    is_left = _refusals(work, incident, digest) > 0 or not work.incidents.get(incident).is_open
    is_asked = is_left or not merges_itself(work, incident, digest, service)
    return is_asked and not waits and _green_run(work, incident, digest) is not None


def order_merge(work: UnitOfWork, incident: str, digest: str, person: str, rules: Rulebook) -> str:
    """A person merges what is green. Raises `Refused`; two presses are one merge."""
    service = service_of(work, incident, rules)
    digest = work.drafts.get(incident, digest).digest
    change = find_change(work, incident, digest)
    if person not in rules.policy.approvers:
        raise Refused("Merging takes an approver that the policy names.", Reason.NOT_ALLOWED)
    if service.merge is MergeRule.NEVER:
        raise Refused(f'Nightshift does not merge here: services.{service.name}.merge is "never".', Reason.NOT_ALLOWED)
    if change is None:
        raise Refused("No change was proposed for this patch.", Reason.NOT_FOUND)
    run = _green_run(work, incident, digest)
    if run is None:
        raise Refused("CI is not green for this patch; it is not merged.", Reason.NOT_ALLOWED)
    if change.state is not ChangeState.OPEN or work.effects.get(_merge_key(work, incident, digest)) is not None:
        raise Refused(f"Change {change.number} is merged or on its way already.", Reason.ALREADY_DONE)
    text = f"{rules.name_of(person)} ordered the merge of change {change.number} at {run.sha[:12]}"
    work.timeline.append(incident, "merge_ordered", person, text, {"digest": digest, "sha": run.sha})
    _start_merge(work, incident, digest, change, run.sha)
    return f"Merging change {change.number} at {run.sha[:12]}, if it still stands there and is green."


def plan_merge(work: UnitOfWork, incident: str, digest: str, rules: Rulebook) -> MergePlan | None:
    """Return the merge that was decided; None when it is done or given up. Raises `Refused` where a rule forbids it."""
    effect = work.effects.get(_merge_key(work, incident, digest))
    if effect is None or effect.state is not EffectState.INTENDED:
        return None
    service = service_of(work, incident, rules)
    draft = work.drafts.get(incident, digest)
    run = _green_run(work, incident, digest)
    if service.merge is MergeRule.NEVER or not service.forge:
        raise Refused("the policy does not let Nightshift merge any more", Reason.NOT_ALLOWED)
    if run is None or run.sha != effect.payload["sha"]:
        raise Refused("CI is not green for this commit any more", Reason.CONFLICT)
    return MergePlan(
        forge=service.forge,
        ci=service.ci,
        repository=service.repository,
        branch=draft.push_branch,
        number=int(effect.payload["number"]),
        sha=run.sha,
        checks=ask_checks(work, Order(incident=incident, digest=draft.digest), run.sha, service),
    )


def record_merge(work: UnitOfWork, incident: str, digest: str, change: Change, rules: Rulebook) -> None:
    """Note the merge; what is to be deployed is ordered next."""
    if not work.effects.settle(_merge_key(work, incident, digest), EffectState.DONE):
        return
    digest = work.drafts.get(incident, digest).digest
    text = f"Merged change {change.number}" + (f" as {change.merged_sha[:12]}" if change.merged_sha else "")
    work.timeline.append(incident, MERGED, BOT, text, change_data(digest, change))
    show_progress(work, incident, digest)
    start_deploy(work, incident, digest, change.merged_sha, rules)


def refuse_merge(work: UnitOfWork, incident: str, digest: str, why: str) -> None:
    """The merge may not or cannot happen: say why. Nothing is forced, and a person may try again."""
    if not work.effects.settle(_merge_key(work, incident, digest), EffectState.FAILED, why):
        return
    digest = work.drafts.get(incident, digest).digest
    times = _refusals(work, incident, digest)
    work.timeline.append(incident, "merge_refused", BOT, f"Not merged: {why}", {"digest": digest})
    show_progress(work, incident, digest)
    notice = f"merge.{digest[:12]}"
    announce(work, work.incidents.get(incident), "notice", arg=notice, once=f"{notice}:{times}")


def _start_merge(work: UnitOfWork, incident: str, digest: str, change: Change, sha: str) -> None:
    key = _merge_key(work, incident, digest)
    payload = {"number": str(change.number), "sha": sha, "digest": digest}
    if work.effects.intend(key, f"merge:{incident}", payload):
        work.phases.enqueue("merge", key.removeprefix("merge:"), {"incident": incident, "digest": digest})
        show_progress(work, incident, digest)


def _green_run(work: UnitOfWork, incident: str, digest: str) -> CIRun | None:
    """Return the run of a patch if it passed, and nothing newer says otherwise."""
    runs = [run for known, run in work.ci_runs.of(incident) if known.startswith(digest)]
    return runs[-1] if runs and runs[-1].state is CIState.PASSED else None


def _refusals(work: UnitOfWork, incident: str, digest: str) -> int:
    told = [event for event in work.timeline.of(incident) if event.kind == "merge_refused"]
    return len([event for event in told if event.data["digest"].startswith(digest)])


def _merge_key(work: UnitOfWork, incident: str, digest: str) -> str:
    """Return the name of the present try to merge: a refused one stays refused, the next is a person's."""
    return f"merge:{incident}:{digest[:12]}:{_refusals(work, incident, digest) + 1}"
