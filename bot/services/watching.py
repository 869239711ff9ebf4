"""Watching: the model looks at an incident again and again, as a person asked for, and tells what changed.

A watch is rows alone: who began it and its schedule, and of each look a question (`bot/services/questions.py`) with its
answer. One delayed phase stands for the next look, so a watch goes on after a restart, a deploy, or a kill.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from bot.domain.timeline import TimelineEvent
from bot.domain.watch import BEGUN, ENDED, Looked, Verdict, Watch, read_look, read_watch, write_length
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.questions import list_answers, list_looked, queue_question, require_known
from bot.services.rulebook import Rulebook

PHASE: Final = "watching"


def start_watch(work: UnitOfWork, incident: str, person: str, words: Sequence[str], rules: Rulebook) -> str:
    """Begin a watch, in the place of one that there may be, and take its first look. Raises `Refused`."""
    every, lasts, question = read_watch(words, rules.watch_shortest)
    current = work.incidents.get(incident)
    require_known(current, rules)
    before = find_watch(work, incident)
    if before is not None:
        _end(work, before, incident, person, f"{rules.name_of(person)} began another watch")
    number = sum(event.kind == BEGUN for event in work.timeline.of(incident)) + 1
    watch = Watch(number=number, person=person, question=question, began=work.now, every=every, until=work.now + lasts)
    schedule = f"every {write_length(every)} for {write_length(lasts)}"
    data = {"watch": str(number), "every": str(every.total_seconds()), "until": watch.until.isoformat()}
    text = f"{rules.name_of(person)} wants {incident} watched {schedule}: {question}"
    work.timeline.append(incident, BEGUN, person, text, data | {"question": question})
    announce(work, current, "watch", arg=str(number))
    take_look(work, {"incident": incident, "watch": str(number), "place": "0"}, rules)
    return f"The model looks now and {schedule}. What changed comes here. To end it: /incident watch stop {incident}"


def stop_watch(work: UnitOfWork, incident: str, person: str, rules: Rulebook, *, number: str = "") -> str:
    """End a watch because a person says so. Raises `Refused` where there is none, or another one by now."""
    watch = find_watch(work, work.incidents.get(incident).id)
    if watch is None or number not in {"", str(watch.number)}:
        raise Refused(f"{incident} is not watched any more. Nothing was changed.", Reason.ALREADY_DONE)
    _end(work, watch, incident, person, f"{rules.name_of(person)} ended the watch")
    return f"{incident} is not watched any more."


def find_watch(work: UnitOfWork, incident: str) -> Watch | None:
    """Return the watch over an incident, None where there is none, or it has ended."""
    events = work.timeline.of(incident)
    ended = {event.data["watch"] for event in events if event.kind == ENDED}
    begun = [event for event in events if event.kind == BEGUN and event.data["watch"] not in ended]
    return _read(begun[-1]) if begun else None


def get_watch(work: UnitOfWork, incident: str, number: str) -> Watch | None:
    """Return a watch by its number, ended or not."""
    begun = (event for event in work.timeline.of(incident) if event.kind == BEGUN and event.data["watch"] == number)
    return next(map(_read, begun), None)


def tell_end(work: UnitOfWork, incident: str, number: str) -> str:
    """Return why a watch ended, "" while it goes on."""
    ended = (event for event in work.timeline.of(incident) if event.kind == ENDED and event.data["watch"] == number)
    return next((event.text for event in ended), "")


def _read(begun: TimelineEvent) -> Watch:
    return Watch(
        number=int(begun.data["watch"]),
        person=begun.actor,
        question=begun.data["question"],
        began=begun.at,
        every=timedelta(seconds=float(begun.data["every"])),
        until=datetime.fromisoformat(begun.data["until"]),
    )


def list_looks(work: UnitOfWork, incident: str, number: str) -> list[Looked]:
    """Return the looks of a watch that are over, oldest first."""
    answers = list_answers(work, incident)
    looks = []
    for asked in list_looked(work, incident, number):
        answer = answers.get(asked.data["run"])
        if answer is not None:
            verdict, words = Verdict(answer.data["verdict"]), read_look(answer.data["answer"])[1]
            looks.append(Looked(number=int(asked.data["look"]), at=asked.at, verdict=verdict, words=words))
    return looks


def take_look(work: UnitOfWork, args: Mapping[str, str], rules: Rulebook) -> None:
    """Ask the model to look, and plan the next look. May be repeated: a place in the schedule is looked at once.

    While the model is still at the look before, as where it is slow, away or paused, there is no other: looks never
    pile up.
    """
    incident, number, place = args["incident"], args["watch"], int(args["place"])
    watch = find_watch(work, incident)
    if watch is None or str(watch.number) != number:
        return
    mine = list_looked(work, incident, number)
    is_free = not mine or mine[-1].data["run"] in list_answers(work, incident)
    is_new = all(int(event.data["place"]) < place for event in mine)
    if is_free and is_new and work.now < watch.until + watch.every:
        _ask(work, watch, incident, place, len(mine) + 1, rules)
    plan_look(work, args)


def plan_look(work: UnitOfWork, args: Mapping[str, str]) -> None:
    """Plan the look after one, or end the watch where its time is over. May be repeated."""
    incident, number, place = args["incident"], args["watch"], int(args["place"])
    watch = find_watch(work, incident)
    if watch is None or str(watch.number) != number:
        return
    following = watch.find_next(place, work.now)
    if following is None:
        _end(work, watch, incident, BOT, "The time of the watch is over")
        return
    place, due = following
    following_args = {"incident": incident, "watch": number, "place": str(place)}
    work.phases.enqueue(PHASE, f"{incident}:{number}:{place}", following_args, delay=due - work.now)


def _ask(work: UnitOfWork, watch: Watch, incident: str, place: int, look: int, rules: Rulebook) -> None:
    told = f"Look {look} for {rules.name_of(watch.person)}: {watch.question}"
    data = {"watch": str(watch.number), "look": str(look), "place": str(place)}
    queue_question(work, work.incidents.get(incident), watch.person, watch.question, told=told, data=data)


def _end(work: UnitOfWork, watch: Watch, incident: str, actor: str, text: str) -> None:
    work.timeline.append(incident, ENDED, actor, text, {"watch": str(watch.number)})
    announce(work, work.incidents.get(incident), "watch", arg=str(watch.number))
