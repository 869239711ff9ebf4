"""Promises to show something in chat. What is shown is rendered when it is sent, from the state then."""

from bot.domain.incident import Incident
from bot.ports.work import UnitOfWork

BOT = "nightshift"
CHAT = "chat:"


def announce(work: UnitOfWork, incident: Incident, what: str, *, arg: str = "", once: str = "") -> None:
    """Promise to bring one message of an incident up to date in each of its channels.

    `what` names the message ("card", "page", "status", "patch", "verdict", …) and `arg` which one of its kind.
    With `once` the message is promised at most once under that name; else once for each change of the timeline.
    """
    seq, _ = work.timeline.head()
    version = once or f"{seq}.{incident.alerts_seen}"
    for channel in incident.channels:
        payload = {"what": what, "incident": incident.id, "arg": arg}
        work.effects.intend(f"{what}:{incident.id}:{arg}:{channel}:{version}", CHAT + channel, payload)


def refresh_card(work: UnitOfWork, incident: str) -> Incident:
    """Promise to bring the incident's card up to date, and return the incident as it stands."""
    current = work.incidents.get(incident)
    announce(work, current, "card")
    return current
