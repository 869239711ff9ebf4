"""What everybody in a channel should see: an incident that became worse."""

from collections.abc import Mapping
from datetime import datetime

from bot.domain.chat import Message, Paragraph, Tone
from bot.domain.incident import Incident, Severity
from bot.render.incident import name_problem, name_slot
from bot.render.words import write_clock, write_people, write_sentence


def render_raised(incident: Incident, said: str, at: datetime, *, now: datetime, names: Mapping[str, str]) -> Message:
    """Return the news that an incident's severity rose, for its thread and the channel around it. It rings nobody."""
    owner = f"{write_people([incident.owner], names)} has it." if incident.owner else "Nobody has it yet."
    return Message(
        incident=incident.id,
        slot=name_slot(f"raised:{incident.severity.value}", incident),
        headline=f"{incident.id} is {incident.severity.value} now: {name_problem(incident)}",
        tone=Tone.BAD if incident.severity is Severity.CRITICAL else Tone.WARN,
        blocks=(Paragraph(text=f"{write_clock(at, now)}: {write_sentence(said)} {owner}"),),
        is_broadcast=True,
    )
