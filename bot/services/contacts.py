"""Contacts: the promises to wake people outside of chat, each until somebody takes the incident."""

from datetime import UTC

from bot.domain.incident import Incident, IncidentState
from bot.domain.oncall import PagePlan
from bot.ports.work import Effect, EffectState, UnitOfWork
from bot.services.announce import BOT
from bot.services.dead_channel import has_no_chat
from bot.services.rulebook import Rulebook

CONTACT = "contact:"
PAGE = "page"
TEST = "test"
REACHED = "contacted"


def key_of(incident: Incident, level: int, person: str, contact: str) -> str:
    """Return the key of one contact's promise: once for each level of each round."""
    return f"{CONTACT}{incident.id}:{incident.round}:{level}:{person}:{contact}"


def ring_contacts(work: UnitOfWork, incident: Incident, plan: PagePlan, rules: Rulebook) -> None:
    """Promise the contacts of everybody on a level, each after its time.

    Whoever is called to an incident that somebody has cannot acknowledge it: only their first contact is used.
    """
    for person in plan.people:
        known = rules.roster.people.get(person)
        contacts = known.contacts if known else ()
        before = ""
        for contact in contacts if incident.state is IncidentState.TRIGGERED else contacts[:1]:
            key = key_of(incident, plan.level, person, contact.name)
            payload = {"what": PAGE, "incident": incident.id, "level": str(plan.level), "person": person}
            payload |= {"contact": contact.name, "before": before, "standing": _standing(incident)}
            due = work.now + contact.after if contact.after else None
            work.effects.intend(key, _target(person, contact.name), payload, not_before=due)
            before = key


def promise_test(work: UnitOfWork, person: str, rules: Rulebook) -> tuple[str, ...]:
    """Promise a test of each contact of a person, at most once a minute; return those that are tested."""
    known = rules.roster.people.get(person)
    return tuple(
        contact.name
        for contact in (known.contacts if known else ())
        if work.effects.intend(
            f"{CONTACT}{TEST}:{person}:{contact.name}:{work.now.astimezone(UTC):%Y-%m-%dT%H:%M}",
            _target(person, contact.name),
            {"what": TEST, "person": person, "contact": contact.name},
        )
    )


def is_called_for(work: UnitOfWork, effect: Effect) -> bool:
    """Say whether a promise still stands: nobody has taken, silenced or closed the incident since it was made."""
    if effect.payload["what"] == TEST:
        return True
    return _standing(work.incidents.get(effect.payload["incident"])) == effect.payload["standing"]


def is_due(work: UnitOfWork, effect: Effect) -> bool:
    """Say whether a promise is to be kept now: its time has come, or what comes before it, contact or chat, is dead."""
    if effect.not_before is None or effect.not_before <= work.now:
        return True
    if effect.attempts:
        return False
    if not effect.payload["before"]:
        return has_no_chat(work, work.incidents.get(effect.payload["incident"]))
    before = work.effects.get(effect.payload["before"])
    return before is not None and before.state is EffectState.FAILED


def record_reached(work: UnitOfWork, effect: Effect, rules: Rulebook) -> None:
    """Say on the timeline that a contact was used, unless another process was faster."""
    if work.effects.settle(effect.key, EffectState.DONE) and effect.payload["what"] == PAGE:
        name, contact = rules.name_of(effect.payload["person"]), effect.payload["contact"]
        work.timeline.append(effect.payload["incident"], REACHED, BOT, f"Paged {name} by {contact}")


def _target(person: str, contact: str) -> str:
    return f"{CONTACT}{person}/{contact}"


def _standing(incident: Incident) -> str:
    """Return what changes when somebody acknowledges, silences, resolves or reopens an incident."""
    at = incident.changed_at.astimezone(UTC).isoformat()
    until = incident.silenced_until.astimezone(UTC).isoformat() if incident.silenced_until else ""
    return f"{incident.round} {incident.state.value} {at} {until}"
