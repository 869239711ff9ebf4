"""Notices of what takes no page any more, a contact or a chat: what is done instead, and who can mend it."""

from collections.abc import Mapping, Sequence

from bot.domain.chat import Message, Paragraph, Tone
from bot.domain.timeline import TimelineEvent
from bot.render.words import write_people


def render_unreached(event: TimelineEvent, *, slot: str, admins: Sequence[str], names: Mapping[str, str]) -> Message:
    """Return the notice that a contact is dead. It rings nobody."""
    contact, following = event.data["contact"], event.data["following"]
    instead = f"The next contact, {following}, is used now." if following else "There is no further contact."
    place = f"{contact} of people.{event.data['person']}.contacts, then try nightshift page test"
    return _tell(event, slot=slot, instead=instead, mend=f"{_name(admins, names)} {place}.")


def render_dead_channel(event: TimelineEvent, *, slot: str, admins: Sequence[str], names: Mapping[str, str]) -> Message:
    """Return the notice that a chat took no page. It rings nobody: the page itself does, elsewhere."""
    channel, following = event.data["channel"], event.data["following"]
    instead = f"The page is in {following}." if following else "No other channel is left."
    return _tell(event, slot=slot, instead=instead, mend=f"{_name(admins, names)} channels.{channel}.")


def _name(admins: Sequence[str], names: Mapping[str, str]) -> str:
    return f"{write_people(admins, names)}: mend" if admins else "Mend"


def _tell(event: TimelineEvent, *, slot: str, instead: str, mend: str) -> Message:
    text = Paragraph(text=f"{instead} {mend}")
    return Message(incident=event.incident, slot=slot, headline=event.text, tone=Tone.WARN, blocks=(text,))
