"""Questions in an incident's thread: the model looks them up with what only reads, and answers in words.

It has the functions of `modelling` that a run of the model needs; a question's run is named "INC-7:1?2".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.incident import Incident
from bot.domain.investigation import Job
from bot.domain.playbook import choose_playbook
from bot.domain.question import Question, read_question
from bot.domain.runs.transcript import Conclusion, EndReason
from bot.domain.timeline import TimelineEvent
from bot.domain.watch import BEGUN, ENDED, Look, Verdict, read_look
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.images import NOTHING, Showing
from bot.services.modelling import FIRST_WAIT, LONGEST_WAIT, PHASE, ModelArgs
from bot.services.rulebook import Rulebook
from bot.services.triage import describe_job
from bot.services.wishes import base_run, list_feedback

ASKED, ANSWERED = "question_asked", "question_answered"
MAX_WAITING: Final = 3
MAX_ANSWER: Final = 3_000
MAX_BEFORE: Final = 4
MAX_NEWS: Final = 20
PATIENCE: Final = 600.0
"""Seconds: who asks at night has found it out without us by then."""
_MARK: Final = "?"
_Answered = tuple[TimelineEvent, Mapping[str, str]]
"""A question, and what the row of its answer holds."""
_OWN: Final = frozenset({ASKED, ANSWERED, BEGUN, ENDED})
_NO_MODEL: Final = "No model is configured, so nobody can look that up. /help lists what I understand."


def is_question(run: str) -> bool:
    return _MARK in run


def ask_question(
    work: UnitOfWork, incident: str, person: str, text: str, rules: Rulebook, *, showing: Showing = NOTHING
) -> str:
    """Let the model answer a question about an incident, open or not. Raises `Refused`."""
    question = read_question(text)
    current = work.incidents.get(incident)
    require_known(current, rules)
    answers = list_answers(work, incident)
    asked = (event for event in list_questions(work, incident) if not is_look(event))
    if sum(event.data["run"] not in answers for event in asked) >= MAX_WAITING:
        raise Refused(f"{MAX_WAITING} questions wait for their answers already. Ask again then.", Reason.CONFLICT)
    told = f"{rules.name_of(person)} asked: {question}"
    queue_question(work, current, person, question, told=told, data=showing.data)
    return showing.end("The model is looking it up. The answer comes here.")


def require_known(incident: Incident, rules: Rulebook) -> None:
    """Raises `Refused` where there is no model, or nothing that it could read about the incident."""
    if not rules.has_model:
        raise Refused(_NO_MODEL, Reason.NOT_FOUND)
    if incident.service not in rules.services or choose_playbook(rules.playbooks, incident.labels) is None:
        text = f"Nothing is known of the service of {incident.id}, so there is nothing to read."
        raise Refused(text, Reason.NOT_FOUND)


def queue_question(
    work: UnitOfWork, incident: Incident, person: str, question: str, *, told: str, data: Mapping[str, str]
) -> None:
    """Keep a question, and start the model's run that answers it. `data` is what else is to be known of it."""
    number = str(len(list_questions(work, incident.id)) + 1)
    run = f"{incident.run}{_MARK}{number}"
    about = {"run": run, "number": number, "question": question}
    work.timeline.append(incident.id, ASKED, person, told, about | dict(data))
    args = {"incident": incident.id, "run": run, "attempt": "0", "since": work.now.isoformat()}
    work.phases.enqueue(PHASE, run, args)


def list_questions(work: UnitOfWork, incident: str) -> list[TimelineEvent]:
    """Return what was asked about an incident, oldest first."""
    return [event for event in work.timeline.of(incident) if event.kind == ASKED]


def is_look(asked: TimelineEvent) -> bool:
    """Say whether a watch asked, and not a person."""
    return "watch" in asked.data


def list_looked(work: UnitOfWork, incident: str, watch: str) -> list[TimelineEvent]:
    """Return the questions of one watch, oldest first."""
    return [event for event in list_questions(work, incident) if event.data.get("watch") == watch]


def list_answers(work: UnitOfWork, incident: str) -> Mapping[str, TimelineEvent]:
    """Return what came of the questions about an incident, by the run of the question."""
    return {event.data["run"]: event for event in work.timeline.of(incident) if event.kind == ANSWERED}


def find_question(work: UnitOfWork, incident: str, run: str) -> TimelineEvent | None:
    """Return the question that a run is to answer, None where nobody asked it."""
    return next((event for event in list_questions(work, incident) if event.data["run"] == run), None)


def plan_model(work: UnitOfWork, incident: str, *, run: str, folder: str, rules: Rulebook) -> Job | None:
    """Return what the model gets: the investigation so far, and the question. None when nobody waits for it."""
    current = work.incidents.get(incident)
    playbook = choose_playbook(rules.playbooks, current.labels)
    if not is_wanted(work, incident, run) or playbook is None or current.service not in rules.services:
        return None
    job = describe_job(work, current, playbook, folder=folder, rules=rules)
    asked = list_questions(work, incident)
    mine = next(number for number, event in enumerate(asked) if event.data["run"] == run)
    return replace(
        job,
        run=run,
        done=work.investigations.of(base_run(run)),
        feedback=list_feedback(work, incident, rules),
        questions=tuple(_list_asked(work, asked[: mine + 1], rules)),
        look=_describe_look(work, current, asked[mine]) if is_look(asked[mine]) else None,
    )


def _list_asked(work: UnitOfWork, asked: Sequence[TimelineEvent], rules: Rulebook) -> list[Question]:
    """Return the question that is to be answered, and before it those that have an answer and matter to it: for a
    person those of people, and the looks that saw a change; for a look the first of its watch, the newest changes, and
    the look before it, so that what is known is not told as new."""
    *earlier, mine = asked
    if is_look(mine):
        own = _list_seen(work, mine)
        changes = [pair for pair in own[1:-1] if _is_change(pair[1])]
        told = [*own[:1], *changes[-(MAX_BEFORE - 2) :], *own[1:][-1:]]
    else:
        told = [pair for pair in _add_answers(work, earlier) if not is_look(pair[0]) or _is_change(pair[1])]
        told = told[-MAX_BEFORE:]
    return [
        Question(person=rules.name_of(event.actor), text=event.data["question"], answer=answer)
        for event, answer in (*((event, answer["answer"]) for event, answer in told), (mine, ""))
    ]


def _add_answers(work: UnitOfWork, asked: Sequence[TimelineEvent]) -> list[_Answered]:
    """Return questions with what came of them, without those that have no answer."""
    answers = list_answers(work, asked[0].incident) if asked else {}
    return [(event, answers[event.data["run"]].data) for event in asked if event.data["run"] in answers]


def _list_seen(work: UnitOfWork, look: TimelineEvent) -> list[_Answered]:
    """Return the looks before one in its watch in which the model saw something, with what it said."""
    before = [event for event in list_looked(work, look.incident, look.data["watch"]) if event.seq < look.seq]
    return [pair for pair in _add_answers(work, before) if pair[1]["verdict"] != Verdict.MISSED]


def _is_change(answer: Mapping[str, str]) -> bool:
    return answer.get("verdict") == Verdict.CHANGED


def _describe_look(work: UnitOfWork, incident: Incident, asked: TimelineEvent) -> Look:
    """Return what a look is about: how the incident stands, and what the timeline says since the last one that saw
    something."""
    before = [event for event, _ in _list_seen(work, asked)]
    since = before[-1].seq if before else asked.seq
    rows = (event for event in work.timeline.of(incident.id) if event.seq > since and event.kind not in _OWN)
    news = [f"{event.at:%d %b %H:%M:%S} {' '.join(event.text.split())[:200]}" for event in rows]
    return Look(
        number=int(asked.data["look"]),
        state=f"{incident.state.value}, alerts so far: {incident.alerts_seen}",
        before=before[-1].at if before else None,
        news=tuple(news[-MAX_NEWS:]),
    )


def is_wanted(work: UnitOfWork, incident: str, run: str) -> bool:
    """Say whether the answer is still to be given."""
    kinds = {event.kind for event in work.timeline.of(incident) if event.data.get("run") == run}
    return ASKED in kinds and ANSWERED not in kinds


def wait_for_model(work: UnitOfWork, args: ModelArgs, *, why: str, retry_after: float | None, patience: float) -> None:
    """Ask again later, and say so in the end if it stays away."""
    if not is_wanted(work, args.incident, args.run):
        return
    wait = max(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(args.attempt, 8)), min(retry_after or 0.0, patience))
    if work.now + timedelta(seconds=wait) > args.since + timedelta(seconds=min(patience, PATIENCE)):
        end_model(work, args.incident, args.run, f"The model gave no answer: {why}. Ask again later.")
        return
    following = {"incident": args.incident, "run": args.run, "since": args.since.isoformat()}
    following["attempt"] = str(args.attempt + 1)
    work.phases.enqueue(PHASE, f"{args.run}:{args.attempt + 1}", following, delay=timedelta(seconds=wait))


def end_model(work: UnitOfWork, incident: str, run: str, text: str) -> None:
    """Say why there is no answer, once."""
    _tell(work, incident, run, text, Verdict.MISSED)


def conclude_model(work: UnitOfWork, incident: str, run: str, conclusion: Conclusion, _rules: Rulebook) -> bool:
    """Give the model's last words as the answer. May be repeated. False: it proposes no patch."""
    text = said = conclusion.text.strip()
    if conclusion.why is EndReason.LIMIT:
        said = conclusion.so_far.strip()
        early = f"The model's run ended early: {text.rstrip('.')}. Ask again later, or about less."
        text = "\n\n".join(filter(None, [said, early]))
    elif conclusion.why is not EndReason.DONE:
        text = "\n\n".join(filter(None, [said, "The model's run ended early; ask again, about less."]))
    verdict = read_look(text)[0] if said else Verdict.MISSED
    _tell(work, incident, run, text or "The model found no answer.", verdict)
    return False


def _tell(work: UnitOfWork, incident: str, run: str, text: str, verdict: Verdict) -> None:
    asked = find_question(work, incident, run)
    if asked is None or not is_wanted(work, incident, run):
        return
    current, is_of_watch = work.incidents.get(incident), is_look(asked)
    told = f"The model looked: {verdict}" if is_of_watch else "The model answered"
    data = {"run": run, "answer": text[:MAX_ANSWER]} | ({"verdict": verdict.value} if is_of_watch else {})
    work.timeline.append(incident, ANSWERED, BOT, told, data)
    if is_of_watch:
        announce(work, current, "watch", arg=asked.data["watch"])
    if not is_of_watch or verdict is Verdict.CHANGED:
        announce(work, current, "answer", arg=asked.data["number"])
