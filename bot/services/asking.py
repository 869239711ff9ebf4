"""What the model asks people: posted once, with its answers as buttons, and answered once: by a press, by words in the
thread, or by the clock.

Nothing is parked: the model's phase ends with the question, and its answer starts the phase again, in one transaction.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.ask import MAX_ASKS, MAX_WORDS, Inquiry, bound_ask, choose_answer
from bot.domain.incident import RunState
from bot.domain.oncall import plan_page
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services import modelling
from bot.services.announce import BOT, announce
from bot.services.modelling import ASKED, REPLIED, ModelArgs
from bot.services.rulebook import Rulebook

TIMER: Final = "unanswered"
OVER: Final = "The model does not wait for an answer any more"


def ask_people(work: UnitOfWork, args: ModelArgs, ask: Inquiry, rules: Rulebook) -> None:
    """Put a question of the model's to people, and start its clock. May be repeated: it is asked once."""
    if not modelling.is_wanted(work, args.incident, args.run):
        return
    asked = list_asked(work, args.incident)
    if any(event.data["run"] == args.run and event.data["key"] == ask.key for event in asked):
        return
    if sum(event.data["run"] == args.run for event in asked) >= MAX_ASKS:
        raise Refused(f"The model asked more than {MAX_ASKS} questions.", Reason.BUDGET)
    ask, current = bound_ask(ask), work.incidents.get(args.incident)
    number = str(len(asked) + 1)
    data = {
        "run": args.run,
        "key": ask.key,
        "number": number,
        "question": ask.question,
        "answers": json.dumps(ask.answers, ensure_ascii=False),
        "attempt": str(args.attempt),
        "people": json.dumps(_find_people(work, args.incident, rules)),
        "was": current.run_state.value,
    }
    work.timeline.append(args.incident, ASKED, BOT, f"The model asks: {ask.question}", data)
    if current.run_state is RunState.DONE:
        work.incidents.save(replace(current, run_state=RunState.WAITING))
    announce(work, current, "question", arg=number, once="asked")
    announce(work, current, "status")
    timer = {"incident": args.incident, "number": number}
    work.phases.enqueue(TIMER, f"{args.incident}:question:{number}", timer, delay=rules.question_wait)


def _find_people(work: UnitOfWork, incident: str, rules: Rulebook) -> list[str]:
    """Return whom the question names: who has the incident, else who is on call for it."""
    current = work.incidents.get(incident)
    if current.owner:
        return [current.owner]
    plan = plan_page(rules.escalation(current.escalation), 0)
    return list(plan.people) if plan else []


def list_asked(work: UnitOfWork, incident: str) -> list[TimelineEvent]:
    """Return what the model asked about an incident, oldest first."""
    return [event for event in work.timeline.of(incident) if event.kind == ASKED]


def find_reply(work: UnitOfWork, asked: TimelineEvent) -> TimelineEvent | None:
    """Return what came of a question, None while it waits."""
    told = (event for event in work.timeline.of(asked.incident) if event.kind == REPLIED)
    return next((event for event in told if event.data["number"] == asked.data["number"]), None)


def tell_reply(work: UnitOfWork, incident: str, run: str, key: str) -> str:
    """Return what the model gets for its question, "" while there is nothing."""
    asked = list_asked(work, incident)
    mine = next((event for event in asked if event.data["run"] == run and event.data["key"] == key), None)
    reply = find_reply(work, mine) if mine else None
    return reply.data["reply"] if reply else ""


def tell_end(work: UnitOfWork, asked: TimelineEvent) -> str:
    """Return how a question ended, "" while somebody may answer it."""
    reply = find_reply(work, asked)
    if reply is None and modelling.is_wanted(work, asked.incident, asked.data["run"]):
        return ""
    return reply.text if reply else OVER


def find_waiting(work: UnitOfWork, incident: str) -> TimelineEvent | None:
    """Return the newest question that still waits for an answer, None where there is none."""
    waiting = (event for event in reversed(list_asked(work, incident)) if find_reply(work, event) is None)
    return next((event for event in waiting if modelling.is_wanted(work, incident, event.data["run"])), None)


def press_answer(work: UnitOfWork, incident: str, arg: str, person: str, rules: Rulebook) -> str:
    """Take a button's answer ("2.1": the second question's first answer). Raises `Refused` where it comes too late."""
    number, _, choice = arg.partition(".")
    asked = next((event for event in list_asked(work, incident) if event.data["number"] == number), None)
    answers = read_answers(asked) if asked else ()
    if asked is None or int(choice) > len(answers):
        raise Refused("Nightshift did not make this button. Nothing was done.", Reason.BAD_INPUT)
    return _answer(work, asked, person, answers[int(choice) - 1], rules)


def say_answer(work: UnitOfWork, asked: TimelineEvent, person: str, text: str, rules: Rulebook) -> str:
    """Take what somebody wrote in the thread as the answer. Raises `Refused`."""
    said = " ".join(text.split())
    if not 0 < len(said) <= MAX_WORDS:
        raise Refused(f"Say it in {MAX_WORDS:,} characters at most.", Reason.TOO_LARGE)
    return _answer(work, asked, person, choose_answer(read_answers(asked), said) or said, rules)


def read_answers(asked: TimelineEvent) -> tuple[str, ...]:
    return tuple(json.loads(asked.data["answers"]))


def read_people(asked: TimelineEvent) -> tuple[str, ...]:
    return tuple(json.loads(asked.data["people"]))


def _answer(work: UnitOfWork, asked: TimelineEvent, person: str, answer: str, rules: Rulebook) -> str:
    known = find_reply(work, asked)
    if known is not None:
        raise Refused(f"{known.text} already. Nothing was changed.", Reason.ALREADY_DONE)
    if not modelling.is_wanted(work, asked.incident, asked.data["run"]):
        raise Refused(f"{OVER}.", Reason.STALE)
    name = rules.name_of(person)
    _reply(work, asked, person, f'{name} answered "{answer}"', reply=f"{name} answered: {answer}")
    return f'The model gets your answer: "{answer}".'


def expire_question(work: UnitOfWork, incident: str, number: str, rules: Rulebook) -> None:
    """Tell the model that nobody answered. Does nothing where somebody has. May be repeated."""
    asked = next((event for event in list_asked(work, incident) if event.data["number"] == number), None)
    if asked is None or find_reply(work, asked) is not None:
        return
    if not modelling.is_wanted(work, incident, asked.data["run"]):
        _close(work, asked, OVER, BOT, reply="")
        return
    text = f"Nobody answered within {_write_wait(rules.question_wait)}"
    _reply(work, asked, BOT, text, reply=f"{text}. Go on without an answer.")


def _write_wait(wait: timedelta) -> str:
    seconds = round(wait.total_seconds())
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"


def _reply(work: UnitOfWork, asked: TimelineEvent, actor: str, text: str, *, reply: str) -> None:
    """Keep the answer and let the run go on."""
    _close(work, asked, text, actor, reply=reply)
    run, attempt = asked.data["run"], str(int(asked.data["attempt"]) + 1)
    args = {"incident": asked.incident, "run": run, "attempt": attempt, "since": work.now.isoformat()}
    work.phases.enqueue(modelling.PHASE, f"{run}:q{asked.data['number']}", args)


def _close(work: UnitOfWork, asked: TimelineEvent, text: str, actor: str, *, reply: str) -> None:
    data = {"run": asked.data["run"], "number": asked.data["number"], "reply": reply}
    work.timeline.append(asked.incident, REPLIED, actor, text, data)
    current = work.incidents.get(asked.incident)
    waits = any(approval.is_open for approval in work.approvals.of(asked.incident))
    if current.run_state is RunState.WAITING and asked.data["was"] == RunState.DONE and not waits:
        work.incidents.save(replace(current, run_state=RunState.DONE))
    announce(work, current, "question", arg=asked.data["number"], once="answered")
    announce(work, current, "status")
