"""A message that a platform took and then did not deliver: it is written down, and a page goes on to the next level."""

from bot.domain.chat import Reply, Undelivered
from bot.domain.oncall import plan_page
from bot.errors import Refused
from bot.ports.work import UnitOfWork
from bot.services.access import find_person
from bot.services.announce import BOT
from bot.services.paging import escalate_due
from bot.services.rulebook import Rulebook


def note_undelivered(work: UnitOfWork, missed: Undelivered, rules: Rulebook) -> None:
    """Say on the timeline who was not reached; page the next level now where that was everybody of this one."""
    if work.chat_events.claim(missed.channel, missed.event) is not None:
        return
    person = find_person(work, missed.channel, missed.account, rules)
    name = person.name if person is not None else "Somebody"
    text = f"{name} was not reached on {missed.channel}: {missed.why}"
    work.chat_events.answer(missed.channel, missed.event, Reply(text=text))
    try:
        current = work.incidents.get(missed.incident)
    except Refused:
        return
    work.timeline.append(current.id, "not_delivered", BOT, text[:500])
    plan = plan_page(rules.escalation(current.escalation), current.page_level)
    slot, _, round_ = missed.slot.partition("#")
    is_newest = slot == f"page:{current.page_level}" and (round_ or "1") == str(current.round)
    if plan is not None and is_newest and person is not None and set(plan.people) <= {person.id}:
        escalate_due(work, current.id, round_=current.round, level=current.page_level + 1, rules=rules)
