"""A chat that takes no page: another channel takes it within two minutes, and the admins are told there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.incident import Incident, IncidentState
from bot.domain.timeline import TimelineEvent
from bot.ports.work import Effect, UnitOfWork
from bot.services.announce import BOT, CHAT, announce
from bot.services.rulebook import Rulebook

DEAD = "channel_dead"
NOTICE = "channel"
PATIENCE = timedelta(seconds=60)
"""How long after a page its channel may be waited for; the longest pause between two tries is another minute."""


def note_trouble(work: UnitOfWork, effect: Effect, why: str, until: datetime | None, *, rules: Rulebook) -> None:
    """Hear that a chat did not take something, and when it is tried again (None: never). A page that comes too late
    by that, also one in line behind it, goes to another channel of the incident, or else to the next one there is."""
    behind = work.effects.next_of(effect.target) if until is not None else ()
    for one in behind or (effect,):
        if one.payload["what"] == "page" and _is_late(work, one, until):
            _pass_on(work, one, why=why, rules=rules)


def has_no_chat(work: UnitOfWork, incident: Incident) -> bool:
    """Say whether no channel that there is has taken the newest page."""
    return any(not event.data["following"] for event in _find_dead(work, incident))


def _is_late(work: UnitOfWork, page: Effect, until: datetime | None) -> bool:
    """Say whether a page still has to ring somebody, and cannot in time."""
    incident, level = work.incidents.get(page.payload["incident"]), page.payload["arg"]
    if incident.state is not IncidentState.TRIGGERED or level != str(incident.page_level):
        return False
    paged = [event.at for event in work.timeline.of(incident.id) if event.kind == "paged"]
    return until is None or until - paged[-1] >= PATIENCE


def _find_dead(work: UnitOfWork, incident: Incident) -> Sequence[TimelineEvent]:
    """Return what was told of dead channels since the newest page."""
    told = work.timeline.of(incident.id)
    paged = max((event.seq for event in told if event.kind == "paged"), default=0)
    return [event for event in told if event.kind == DEAD and event.seq > paged]


def _pass_on(work: UnitOfWork, page: Effect, *, why: str, rules: Rulebook) -> None:
    incident, channel = work.incidents.get(page.payload["incident"]), page.target.removeprefix(CHAT)
    dead = {event.data["channel"] for event in _find_dead(work, incident)}
    if channel in dead:
        return
    following = _choose(incident, rules, {*dead, channel})
    data = {"channel": channel, "following": following}
    event = work.timeline.append(incident.id, DEAD, BOT, f"{channel} did not take the page: {why}"[:500], data)
    if following and following not in incident.channels:
        incident = replace(incident, channels=(*incident.channels, following))
        work.incidents.save(incident)
        announce(work, incident, "card", once="first")
        announce(work, incident, "page", arg=str(incident.page_level), once=f"round-{incident.round}")
    announce(work, incident, "notice", arg=f"{NOTICE}.{event.seq}", once="told")


def _choose(incident: Incident, rules: Rulebook, dead: set[str]) -> str:
    """Return the channel that has the page too, or shall have it; "" where none is left."""
    return next((channel for channel in (*incident.channels, *rules.channels) if channel not in dead), "")
