"""Paging: who is rung, when the next level follows, and what stops it."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.incident import Incident, IncidentState
from bot.domain.oncall import plan_page
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce, refresh_card
from bot.services.contacts import ring_contacts
from bot.services.rulebook import Rulebook

SILENCES = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "until-resolved": timedelta(days=3650)}
LONGEST_TIMER = timedelta(days=1)


def page(work: UnitOfWork, incident: Incident, level: int, rules: Rulebook) -> bool:
    """Page one level and start the timer of the next; False when there is no such level."""
    plan = plan_page(rules.escalation(incident.escalation), level)
    if plan is None:
        return False
    work.incidents.save(replace(incident, page_level=level))
    people = ", ".join(rules.name_of(person) for person in plan.people)
    work.timeline.append(incident.id, "paged", BOT, f"Paged {people}", {"level": str(level)})
    announce(work, incident, "page", arg=str(level), once=f"round-{incident.round}")
    for earlier in range(level):
        announce(work, incident, "page", arg=str(earlier))
    ring_contacts(work, incident, plan, rules)
    if plan.next_after is not None:
        following = {"incident": incident.id, "round": str(incident.round), "level": str(level + 1)}
        work.phases.enqueue("escalate", f"{incident.id}:{incident.round}:{level + 1}", following, delay=plan.next_after)
    return True


def is_called_to_help(work: UnitOfWork, incident: Incident, level: int) -> bool:
    """Say whether a level was paged for an incident that somebody had already: only a person does that."""
    if incident.state is not IncidentState.ACKNOWLEDGED:
        return False
    told = [e for e in work.timeline.of(incident.id) if e.kind in {"paged", "acknowledged"}]
    taken = max((event.seq for event in told if event.kind == "acknowledged"), default=0)
    return any(event.seq > taken and event.data.get("level") == str(level) for event in told)


def escalate_due(work: UnitOfWork, incident: str, *, round_: int, level: int, rules: Rulebook) -> bool:
    """Page the next level because nobody acknowledged in time; False when that is not called for now.

    A silence only puts it off: when it ends and still nobody has the incident, the level is paged.
    """
    current = work.incidents.get(incident)
    is_due = current.state is IncidentState.TRIGGERED and current.round == round_ and current.page_level == level - 1
    if not is_due:
        return False
    if current.silenced_until is not None and current.is_silenced(work.now):
        if current.silenced_until - work.now <= LONGEST_TIMER:
            again = {"incident": incident, "round": str(round_), "level": str(level)}
            key = f"{incident}:{round_}:{level}:{current.silenced_until.timestamp():.0f}"
            work.phases.enqueue("escalate", key, again, delay=current.silenced_until - work.now)
        return False
    paged = page(work, current, level, rules)
    refresh_card(work, incident)
    return paged


def acknowledge(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """Take the incident: paging stops. Raises `Refused` when somebody else has it or it is over."""
    current = work.incidents.get(incident)
    if not work.incidents.advance(incident, IncidentState.ACKNOWLEDGED, work.now):
        if current.owner == person and current.is_open:
            raise Refused(f"You have {incident} already.", Reason.ALREADY_DONE)
        raise Refused(_why_not(current, rules), Reason.ALREADY_DONE)
    work.incidents.save(replace(work.incidents.get(incident), owner=person))
    work.timeline.append(incident, "acknowledged", person, f"{rules.name_of(person)} acknowledged")
    refresh_card(work, incident)
    _refresh_pages(work, current)
    return f"{incident} is yours. Paging has stopped."


def escalate(work: UnitOfWork, incident: str, person: str, *, left: str, rules: Rulebook) -> str:
    """Page the next level now. `left` is the level the button left behind: two presses at once escalate once."""
    current = work.incidents.get(incident)
    if not current.is_open:
        raise Refused(_why_not(current, rules), Reason.ALREADY_DONE)
    if left and int(left) != current.page_level:
        raise Refused(f"{incident} was escalated already.", Reason.ALREADY_DONE)
    following = plan_page(rules.escalation(current.escalation), current.page_level + 1)
    if following is None:
        raise Refused("Everybody on the escalation policy has been paged.", Reason.NOT_FOUND)
    work.timeline.append(incident, "escalated", person, f"{rules.name_of(person)} escalated")
    page(work, work.incidents.get(incident), following.level, rules)
    refresh_card(work, incident)
    return f"Paged {', '.join(rules.name_of(p) for p in following.people)}."


def silence(work: UnitOfWork, incident: str, person: str, *, length: str, rules: Rulebook) -> str:
    """Stop paging for a while; the incident stays open and keeps counting its alerts."""
    current = work.incidents.get(incident)
    if not current.is_open:
        raise Refused(_why_not(current, rules), Reason.ALREADY_DONE)
    until = work.now + SILENCES[length]
    work.incidents.save(replace(current, silenced_until=until))
    words = "until it is resolved" if length == "until-resolved" else f"for {length}"
    work.timeline.append(incident, "silenced", person, f"{rules.name_of(person)} silenced it {words}")
    refresh_card(work, incident)
    return f"{incident} will not page {words}. Alertmanager itself is not silenced."


def resolve(work: UnitOfWork, incident: str, by: str, rules: Rulebook) -> str:
    """Close an incident. Raises `Refused` when it is closed already."""
    current = work.incidents.get(incident)
    if not work.incidents.advance(incident, IncidentState.RESOLVED, work.now):
        raise Refused(_why_not(current, rules), Reason.ALREADY_DONE)
    work.incidents.save(
        replace(
            work.incidents.get(incident),
            resolved_at=work.now,
            resolved_by=None if by == BOT else by,
            silenced_until=None,
        )
    )
    who = "The alert cleared" if by == BOT else f"{rules.name_of(by)} resolved it"
    work.timeline.append(incident, "resolved", by, who)
    closed = refresh_card(work, incident)
    _refresh_pages(work, closed)
    announce(work, closed, "closed", once=f"round-{closed.round}")
    return f"{incident} is resolved."


def _refresh_pages(work: UnitOfWork, incident: Incident) -> None:
    """The pages that rang lose their buttons."""
    for level in range(incident.page_level + 1):
        announce(work, incident, "page", arg=str(level))


def _why_not(incident: Incident, rules: Rulebook) -> str:
    if not incident.is_open:
        return f"{incident.id} is resolved already."
    return f"{rules.name_of(incident.owner)} has {incident.id} already."
