"""Promises to show something in chat. What is shown is rendered when it is sent, from the state then."""

from datetime import UTC, datetime, timedelta

from bot.domain.incident import Incident
from bot.ports.work import UnitOfWork

BOT = "nightshift"
CHAT = "chat:"
SUMMARY = "summary"
_SUMMARY_SECONDS = 10
_SUMMARY_MARGIN = timedelta(seconds=2)
"""What commits this late after its time still finds its promise unsent."""


def announce(
    work: UnitOfWork,
    incident: Incident,
    what: str,
    *,
    arg: str = "",
    once: str = "",
    not_before: datetime | None = None,
) -> None:
    """Promise to bring one message of an incident up to date in each of its channels.

    `what` names the message ("card", "page", "status", "patch", "verdict", …) and `arg` which one of its kind.
    With `once` the message is promised at most once under that name; else once for each change of the timeline.
    With `not_before` it may wait until then, and what is promised after it is sent first.
    """
    seq, _ = work.timeline.head()
    version = once or f"{seq}.{incident.alerts_seen}"
    for channel in incident.channels:
        payload = {"what": what, "incident": incident.id, "arg": arg}
        key = f"{what}:{incident.id}:{arg}:{channel}:{version}"
        work.effects.intend(key, CHAT + channel, payload, not_before=not_before)


def refresh_card(work: UnitOfWork, incident: str) -> Incident:
    """Promise to bring the incident's card up to date, and return the incident as it stands."""
    current = work.incidents.get(incident)
    announce(work, current, "card")
    return current


def refresh_summary(work: UnitOfWork, channel: str) -> None:
    """Promise to bring a channel's summary up to date within 12 seconds, once for all that happens until then: chats
    let a bot write 20 messages a minute, and the incidents themselves need most of that."""
    due = (int((work.now + _SUMMARY_MARGIN).timestamp()) // _SUMMARY_SECONDS + 1) * _SUMMARY_SECONDS
    payload = {"what": SUMMARY, "incident": "", "arg": ""}
    at = datetime.fromtimestamp(due, UTC)
    work.effects.intend(f"{SUMMARY}:{channel}:{due}", CHAT + channel, payload, not_before=at)


def refresh_counts(work: UnitOfWork, incident: str) -> None:
    """Promise the card's new counts at the next even second: chats let a message be edited about once a second (Slack
    50 times a minute), and other news of the incident need some of that."""
    current = work.incidents.get(incident)
    now = work.now.replace(microsecond=0)
    announce(work, current, "card", not_before=now + timedelta(seconds=2 - now.second % 2))
