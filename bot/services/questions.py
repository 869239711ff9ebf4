"""Questions in an incident's thread: the model looks them up with what only reads, and answers in words.

It has the functions of `modelling` that a run of the model needs; a question's run is named "INC-7:1?2".
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.investigation import Job
from bot.domain.playbook import choose_playbook
from bot.domain.question import Question, read_question
from bot.domain.runs.transcript import Conclusion, EndReason
from bot.domain.timeline import TimelineEvent
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
PATIENCE: Final = 600.0
"""Seconds: who asks at night has found it out without us by then."""
_MARK: Final = "?"
_NO_MODEL: Final = "No model is configured, so nobody can look that up. /help lists what I understand."


def is_question(run: str) -> bool:
    return _MARK in run


def ask_question(
    work: UnitOfWork, incident: str, person: str, text: str, rules: Rulebook, *, showing: Showing = NOTHING
) -> str:
    """Let the model answer a question about an incident, open or not. Raises `Refused`."""
    question = read_question(text)
    if not rules.has_model:
        raise Refused(_NO_MODEL, Reason.NOT_FOUND)
    current = work.incidents.get(incident)
    if current.service not in rules.services or choose_playbook(rules.playbooks, current.labels) is None:
        raise Refused(f"Nothing is known of the service of {incident}, so there is nothing to read.", Reason.NOT_FOUND)
    asked = list_questions(work, incident)
    if sum(not tell_answer(work, event) for event in asked) >= MAX_WAITING:
        raise Refused(f"{MAX_WAITING} questions wait for their answers already. Ask again then.", Reason.CONFLICT)
    run = f"{current.run}{_MARK}{len(asked) + 1}"
    data = {"run": run, "number": str(len(asked) + 1), "question": question, **showing.data}
    work.timeline.append(incident, ASKED, person, f"{rules.name_of(person)} asked: {question}", data)
    args = {"incident": incident, "run": run, "attempt": "0", "since": work.now.isoformat()}
    work.phases.enqueue(PHASE, run, args)
    return showing.end("The model is looking it up. The answer comes here.")


def list_questions(work: UnitOfWork, incident: str) -> list[TimelineEvent]:
    """Return what was asked about an incident, oldest first."""
    return [event for event in work.timeline.of(incident) if event.kind == ASKED]


def tell_answer(work: UnitOfWork, asked: TimelineEvent) -> str:
    """Return the answer to a question, "" while there is none."""
    told = [event for event in work.timeline.of(asked.incident) if event.kind == ANSWERED]
    return next((event.data["answer"] for event in told if event.data["run"] == asked.data["run"]), "")


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
        questions=tuple(_list_asked(work, asked[: mine + 1], rules))[-MAX_BEFORE:],
    )


def _list_asked(work: UnitOfWork, asked: Sequence[TimelineEvent], rules: Rulebook) -> list[Question]:
    """Return the question that is to be answered, and before it those that have an answer."""
    *before, mine = (
        Question(person=rules.name_of(event.actor), text=event.data["question"], answer=tell_answer(work, event))
        for event in asked
    )
    return [*(question for question in before if question.answer), mine]


def is_wanted(work: UnitOfWork, incident: str, run: str) -> bool:
    """Say whether the answer is still to be given."""
    asked = next((event for event in list_questions(work, incident) if event.data["run"] == run), None)
    return asked is not None and not tell_answer(work, asked)


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
    """Give the answer, or say why there is none, once."""
    asked = next((event for event in list_questions(work, incident) if event.data["run"] == run), None)
    if asked is None or tell_answer(work, asked):
        return
    work.timeline.append(incident, ANSWERED, BOT, "The model answered", {"run": run, "answer": text[:MAX_ANSWER]})
    announce(work, work.incidents.get(incident), "answer", arg=asked.data["number"])


def conclude_model(work: UnitOfWork, incident: str, run: str, conclusion: Conclusion, _rules: Rulebook) -> bool:
    """Give the model's last words as the answer. May be repeated. False: it proposes no patch."""
    text = conclusion.text.strip()
    if conclusion.why is EndReason.LIMIT:
        early = f"The model's run ended early: {text.rstrip('.')}. Ask again later, or about less."
        text = "\n\n".join(filter(None, [conclusion.so_far.strip(), early]))
    elif conclusion.why is not EndReason.DONE:
        text = "\n\n".join(filter(None, [text, "The model's run ended early; ask again, about less."]))
    end_model(work, incident, run, text or "The model found no answer.")
    return False
