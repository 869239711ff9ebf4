"""A contact that is dead: it is told, the next one follows at once, and where none is left the next level is paged."""

from collections.abc import Iterator

from bot.domain.incident import Incident
from bot.domain.oncall import plan_page
from bot.ports.work import Effect, EffectState, UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.contacts import PAGE, key_of
from bot.services.paging import escalate_due
from bot.services.rulebook import Rulebook

UNREACHED = "not_contacted"
NOTICE = "contact"


def record_unreached(work: UnitOfWork, effect: Effect, why: str, rules: Rulebook) -> None:
    """Settle a promise that cannot be kept, tell it in the incident's thread, and see to it that somebody is woken."""
    is_ours = work.effects.settle(effect.key, EffectState.FAILED, why)
    if not is_ours or effect.payload["what"] != PAGE:
        return
    incident = work.incidents.get(effect.payload["incident"])
    person, contact, level = effect.payload["person"], effect.payload["contact"], int(effect.payload["level"])
    data = {"person": person, "contact": contact, "following": _following(work, effect, incident, rules)}
    text = f"{rules.name_of(person)} was not reached by {contact}: {why}"[:500]
    event = work.timeline.append(incident.id, UNREACHED, BOT, text, data)
    announce(work, incident, "notice", arg=f"{NOTICE}.{event.seq}", once="told")
    if all(_is_dead(work, key) for key in _keys_of(incident, level, rules)):
        escalate_due(work, incident.id, round_=incident.round, level=level + 1, rules=rules)


def _following(work: UnitOfWork, effect: Effect, incident: Incident, rules: Rulebook) -> str:
    """Return the contact that is used instead, "" where none is left."""
    person, level = effect.payload["person"], int(effect.payload["level"])
    known = rules.roster.people.get(person)
    for contact in known.contacts if known else ():
        promised = work.effects.get(key_of(incident, level, person, contact.name))
        is_next = promised is not None and promised.payload["before"] == effect.key
        if promised is not None and is_next and promised.state is EffectState.INTENDED:
            return contact.name
    return ""


def _keys_of(incident: Incident, level: int, rules: Rulebook) -> Iterator[str]:
    """Yield every promise that would wake somebody of a level; one of nobody for whom chat is all there is."""
    plan = plan_page(rules.escalation(incident.escalation), level)
    for person in plan.people if plan else ():
        known = rules.roster.people.get(person)
        yield from (key_of(incident, level, person, contact.name) for contact in (known.contacts if known else ()))
        if known is None or not known.contacts:
            yield ""


def _is_dead(work: UnitOfWork, key: str) -> bool:
    promised = work.effects.get(key)
    return promised is not None and promised.state is EffectState.FAILED
