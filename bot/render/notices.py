"""Messages about Nightshift itself: what it could not read, what it does not do, what it does later."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.domain.chat import Bullets, Message, Paragraph, Tone
from bot.domain.incident import Incident
from bot.render.incident import name_slot
from bot.render.words import write_clock, write_line, write_people, write_sentence


def render_dead_letter(
    source: str, why: str, *, letter: str, people: Sequence[str], names: Mapping[str, str], incident: str = ""
) -> Message:
    """Return the page about a delivery that was kept but not understood; it rings `people`."""
    return Message(
        incident=incident,
        slot=f"dead-letter:{letter}",
        headline=f"Nightshift could not read an alert from {write_line(source, 60)}",
        tone=Tone.BAD,
        blocks=(
            Paragraph(text=f"{write_people(people, names)}, something may be wrong that has no incident yet."),
            Paragraph(text=f"Reason: {write_sentence(write_line(why, 300))}"),
            Paragraph(text="The delivery is kept. What to do:"),
            Bullets(
                items=(
                    "read it: nightshift alert dead-letters",
                    f"after mending the cause: nightshift alert replay {letter}",
                )
            ),
        ),
        rings=tuple(people),
        in_thread=False,
    )


def render_paused(by: str, *, at: datetime, now: datetime, names: Mapping[str, str], resumed: bool = False) -> Message:
    """Return the notice that the agent and all pushes are off, or on again. Pages are never off."""
    who = f"{write_people([by], names)} at {write_clock(at, now)}"
    if resumed:
        return Message(
            incident="",
            slot="paused",
            headline="Nightshift works again",
            tone=Tone.GOOD,
            blocks=(Paragraph(text=f"Resumed by {who}. What waited goes on now."),),
            in_thread=False,
        )
    return Message(
        incident="",
        slot="paused",
        headline="Nightshift is paused",
        tone=Tone.WARN,
        blocks=(
            Paragraph(text=f"Paused by {who}."),
            Paragraph(text="No investigation starts and nothing is pushed. Alerts, cards and pages go on as always."),
        ),
        in_thread=False,
    )


def render_deferred(incident: Incident, what: str, why: str, *, until: datetime | None, now: datetime) -> Message:
    """Return the notice that something is done later, and when (None: once the cause is gone)."""
    when = f"Next try at {write_clock(until, now)}." if until else "It goes on by itself once that is over."
    return Message(
        incident=incident.id,
        slot=name_slot("deferred", incident),
        headline=f"Not yet: {write_line(what)}",
        tone=Tone.WARN,
        blocks=(Paragraph(text=f"{write_sentence(why)} {when}"),),
    )
