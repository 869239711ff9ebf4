"""The model's part of an incident: it follows triage, holds nothing up, and adds its answer when there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.approval import ApprovalState
from bot.domain.approvals.subject import Subject
from bot.domain.evidence import Check
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import Drafted, Job
from bot.domain.playbook import choose_playbook
from bot.domain.runs.todo import TodoItem, find_todo
from bot.domain.runs.transcript import Conclusion, EndReason, Proposal, Step
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import Store, UnitOfWork
from bot.services.announce import BOT, announce, refresh_card
from bot.services.drafting import ask_approval, build_draft
from bot.services.pause import require_running
from bot.services.rulebook import Rulebook
from bot.services.standing import find_requester
from bot.services.suggesting import ask_suggestion
from bot.services.triage import describe_job
from bot.services.wishes import base_run, find_wish, list_feedback

PHASE = "model"
QUEUED, WAITS, ENDED = "model_queued", "model_waits", "model_ended"
ASKED, REPLIED = "model_asked", "model_told"
CUT = "model_cut"
_STARTS = frozenset({QUEUED, WAITS, ASKED, REPLIED, CUT, "resumed"})
FIRST_WAIT, LONGEST_WAIT = 5.0, 60.0
MAX_WORDS = 600


@dataclass(frozen=True, kw_only=True)
class ModelArgs:
    """What the phase is about: which run, which try, and when the first try was."""

    incident: str
    run: str
    attempt: int
    since: datetime


def read_args(raw: Mapping[str, str]) -> ModelArgs:
    return ModelArgs(
        incident=raw["incident"],
        run=raw["run"],
        attempt=int(raw["attempt"]),
        since=datetime.fromisoformat(raw["since"]),
    )


def start_model(work: UnitOfWork, incident: str, run: str) -> None:
    """Queue the model's run; the same run is queued once."""
    current = work.incidents.get(incident)
    if current.run != run or not current.is_open:
        return
    args = {"incident": incident, "run": run, "attempt": "0", "since": work.now.isoformat()}
    work.phases.enqueue(PHASE, run, args)
    _tell(work, current, QUEUED, "The model is looking for a fix")


def start_wished(
    work: UnitOfWork,
    incident: Incident,
    run: str,
    *,
    text: str = "The model is drafting another patch, as it was asked to",
) -> None:
    """Queue a run that a person asked for."""
    args = {"incident": incident.id, "run": run, "attempt": "0", "since": work.now.isoformat()}
    work.phases.enqueue(PHASE, run, args)
    _tell(work, incident, QUEUED, text, run=run)


def plan_model(work: UnitOfWork, incident: str, *, run: str, folder: str, rules: Rulebook) -> Job | None:
    """Return what the model gets: the investigation with its results. None when nobody needs it any more."""
    current = work.incidents.get(incident)
    playbook = choose_playbook(rules.playbooks, current.labels)
    if not is_wanted(work, incident, run) or playbook is None or current.service not in rules.services:
        return None
    job = describe_job(work, current, playbook, folder=folder, rules=rules)
    done, feedback = work.investigations.of(base_run(run)), list_feedback(work, incident, rules)
    return replace(job, run=run, done=done, feedback=feedback)


def is_wanted(work: UnitOfWork, incident: str, run: str) -> bool:
    """Say whether the model's answer still matters: the same run, still open, no patch approved, not ended."""
    current = work.incidents.get(incident)
    decided = {ApprovalState.APPROVED, ApprovalState.EXECUTED}
    if current.run != base_run(run) or not current.is_open:
        return False
    patches = [approval for approval in work.approvals.of(incident) if approval.subject is Subject.PATCH]
    if any(approval.state in decided for approval in patches):
        return False
    return not has_ended(work, incident, run)


def tell_end(work: UnitOfWork, incident: str, run: str) -> str:
    """Return how a run of the model ended, "" while it has not."""
    ended = [event for event in work.timeline.of(incident) if event.kind == ENDED and event.data.get("run") == run]
    return ended[0].text if ended else ""


def has_ended(work: UnitOfWork, incident: str, run: str) -> bool:
    """Say whether it was told how a run of the model ended."""
    return bool(tell_end(work, incident, run))


def record_step(store: Store, step: Step) -> Step:
    """Store the next row of a run. Raises `Refused` where another worker was here first."""
    if not store.append(step):
        raise Refused("Another worker has taken this run over.", Reason.CONFLICT)
    return step


def tell_cut(work: UnitOfWork, incident: str, run: str) -> None:
    """Say so where a run goes on that was cut off, as by a kill: it has rows since it was last started in order."""
    times = work.transcripts.times(run)
    starts = [event.at for event in work.timeline.of(incident) if event.kind in _STARTS]
    if not times or not starts or max(times.values()) <= max(starts):
        return
    text = (
        "The model's work was cut off (Nightshift ended). It goes on where it was; at most one answer is asked for anew"
    )
    work.timeline.append(incident, CUT, BOT, text, {"run": run})


def show_todo(work: UnitOfWork, step: Step) -> None:
    """Promise to show the list that a row of a run holds, in the incident's status."""
    current = work.incidents.get(base_run(step.run).partition(":")[0])
    announce(work, current, "status", once=f"todo-{step.run}-{step.seq}")


def find_plan(work: UnitOfWork, incident: Incident) -> tuple[TodoItem, ...]:
    """Return the list of the model that is at work on an incident, empty where none is or it wrote none."""
    queued = [event.data["run"] for event in work.timeline.of(incident.id) if event.kind == QUEUED]
    run = next((run for run in reversed(queued) if is_wanted(work, incident.id, run)), "")
    return find_todo(work.transcripts.of(run)) if run else ()


def wait_for_model(work: UnitOfWork, args: ModelArgs, *, why: str, retry_after: float | None, patience: float) -> None:
    """Ask again later, and say so once; give up when the patience is over."""
    if not is_wanted(work, args.incident, args.run):
        return
    wait = max(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(args.attempt, 8)), min(retry_after or 0.0, patience))
    current, until = work.incidents.get(args.incident), args.since + timedelta(seconds=patience)
    if work.now + timedelta(seconds=wait) > until:
        end_model(work, args.incident, args.run, f"No answer of the model: {why}. The result without it stands")
        return
    following = {"incident": args.incident, "run": args.run, "since": args.since.isoformat()}
    following["attempt"] = str(args.attempt + 1)
    work.phases.enqueue(PHASE, f"{args.run}:{args.attempt + 1}", following, delay=timedelta(seconds=wait))
    if not any(event.kind == WAITS and event.data.get("run") == args.run for event in work.timeline.of(current.id)):
        text = f"{why}. The result without the model stands; it is asked again until {until:%H:%M} UTC"
        _tell(work, current, WAITS, text, run=args.run)


def end_model(work: UnitOfWork, incident: str, run: str, text: str, *, actor: str = BOT) -> None:
    """Note how the model's run ended, once; another `actor` is a person who cancelled it."""
    current = work.incidents.get(incident)
    if has_ended(work, incident, run):
        return
    data = {"run": run} | ({"cancelled": actor} if actor != BOT else {})
    work.timeline.append(incident, ENDED, actor, text, data)
    announce(work, current, "status")
    _withdraw_questions(work, current, run)
    wish = find_wish(work, incident, run)
    if wish is not None:
        announce(work, current, "patch", arg=wish.data["digest"][:12])


def _withdraw_questions(work: UnitOfWork, incident: Incident, run: str) -> None:
    """Promise to take the buttons from what a run asked people and did not hear."""
    events = work.timeline.of(incident.id)
    heard = {event.data["number"] for event in events if event.kind == REPLIED}
    for asked in events:
        if asked.kind == ASKED and asked.data["run"] == run and asked.data["number"] not in heard:
            announce(work, incident, "question", arg=asked.data["number"], once="over")


def cancel_model(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """End the model's work on an incident because a person says so; it stops within a second. Raises `Refused`."""
    current = work.incidents.get(incident)
    queued = [event.data["run"] for event in work.timeline.of(current.id) if event.kind == QUEUED]
    going = [run for run in dict.fromkeys(queued) if is_wanted(work, current.id, run)]
    if not going:
        raise Refused(f"The model is not at work on {current.id}; there is nothing to cancel.", Reason.STALE)
    for run in going:
        text = f"{rules.name_of(person)} cancelled the model's work. What was found without it stands"
        end_model(work, current.id, run, text, actor=person)
    return f"The model's work on {current.id} is cancelled. What was found without it stands."


def conclude_model(work: UnitOfWork, incident: str, run: str, conclusion: Conclusion, rules: Rulebook) -> bool:
    """Propose the best patch of a finished run beside what was proposed before; False when none is proposed.

    May be repeated. An unverified patch never stands beside a verified one, and at most three wait for a decision.
    """
    if not is_wanted(work, incident, run):
        return False
    require_running(work, incident)
    best = conclusion.best
    wish = find_wish(work, incident, run)
    why = _find_objection(work, incident, best) if best else "It proposes no patch"
    if best and not why:
        try:
            _propose(work, incident, conclusion, rules, run=run, wish=wish)
        except Refused as refusal:
            why = f"Its patch is not proposed: {refusal}"
    is_limit = conclusion.why is EndReason.LIMIT
    said = " ".join((conclusion.so_far if is_limit else conclusion.text).split())[:MAX_WORDS]
    ended = "The model has answered" + ("" if conclusion.why is EndReason.DONE else "; its run ended early")
    if is_limit and not said and not best:
        ended = "The model's run ended early"
    ended += f": {conclusion.text.rstrip('.')}" if is_limit else ""
    what = f'It proposes "{best.title}"' if best and not why else why.rstrip(".")
    tried = _tell_repairs(conclusion) if conclusion.repairs or not why else ""
    what += f". {tried[0].upper()}{tried[1:]}" if tried else ""
    told = "So far it says" if is_limit else "In its words"
    end_model(work, incident, run, f"{ended}. {what}. {told}: {said or 'nothing'}")
    ask_suggestion(work, incident, run, conclusion, rules)
    return bool(best) and not why


def _find_objection(work: UnitOfWork, incident: str, best: Proposal) -> str:
    drafts = work.drafts.of(incident)
    open_digests = {approval.digest for approval in work.approvals.of(incident) if approval.is_open}
    waiting = [draft for draft in drafts if draft.digest in open_digests]
    if any(draft.patch.text == best.patch for draft in drafts):
        return "It comes to the same patch as before"
    verified = [draft for draft in waiting if draft.verified is not None and draft.verified.is_verified]
    if verified and not best.verified.is_verified:
        return "Its patch did not hold in the sandbox, so the verified one stands alone"
    return ""


def _propose(
    work: UnitOfWork,
    incident: str,
    conclusion: Conclusion,
    rules: Rulebook,
    *,
    run: str = "",
    wish: TimelineEvent | None = None,
) -> None:
    """Ask for the approval of the model's patch; one that a person asked for takes the place of the old one."""
    current, best = work.incidents.get(incident), conclusion.best
    assert best is not None
    notes = ("drafted by the model", *filter(None, [_tell_repairs(conclusion)]))
    drafted = Drafted(base=best.base, patch=best.patch, title=best.title, culprit=None, notes=notes)
    draft = replace(build_draft(work, current, drafted, best.verified, rules), approvers=conclusion.approvers)
    requester = find_requester(work, incident, run) or find_requester(work, incident, current.run)
    takes = (wish.data["digest"],) if wish is not None else ()
    ask_approval(work, current, draft, rules, requester=requester, takes=takes)
    if current.run_state in {RunState.DONE, RunState.FAILED}:
        work.incidents.save(replace(current, run_state=RunState.WAITING))
        refresh_card(work, incident)


def _tell_repairs(conclusion: Conclusion) -> str:
    """Say how often the model repaired its patch, and whether that helped; "" where its first one held."""
    best = conclusion.best
    if best is None or (best.verified.is_verified and not conclusion.repairs):
        return ""
    if best.verified.after is Check.UNKNOWN and not best.verified.broken:
        return "it could not be tried in the sandbox"
    times = {0: "", 1: " after 1 repair"}.get(conclusion.repairs, f" after {conclusion.repairs} repairs")
    return f"it {'holds' if best.verified.is_verified else 'does not hold'} in the sandbox{times}"


def _tell(work: UnitOfWork, incident: Incident, kind: str, text: str, *, run: str = "") -> None:
    work.timeline.append(incident.id, kind, BOT, text, {"run": run or incident.run})
    announce(work, incident, "status")
