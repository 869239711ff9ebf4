"""What is open now, at one glance: pinned in chats, and at home in the app."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.domain.chat import Block, Message, Paragraph, Tone
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.urgency import sort_by_urgency
from bot.render.incident import name_problem
from bot.render.links import Links, link_to
from bot.render.words import write_clock, write_count, write_people

SLOT: Final = "summary"
MAX_SHOWN: Final = 15
"""Incidents in one summary: it has to fit one message of every chat."""


def render_summary(incidents: Sequence[Incident], *, now: datetime, names: Mapping[str, str], links: Links) -> Message:
    """Return the summary of the open ones among these. It names no ages: it changes when something happens."""
    waiting = sort_by_urgency(incident for incident in incidents if incident.is_open)
    blocks: list[Block] = []
    for incident in waiting[:MAX_SHOWN]:
        blocks.append(Paragraph(text=f"{incident.id} {name_problem(incident)}\n{_say_state(incident, now, names)}"))
        page = links.to_incident(incident.id)
        link = link_to(f"Open {incident.id}", page.url) if page else None
        blocks += [link] if link else []
    if len(waiting) > MAX_SHOWN:
        blocks.append(Paragraph(text=f"And {len(waiting) - MAX_SHOWN} more: /incident list"))
    is_are = "is" if len(waiting) == 1 else "are"
    return Message(
        incident="",
        slot=SLOT,
        headline=f"{write_count(len(waiting), 'incident')} {is_are} open" if waiting else "No incident is open",
        tone=_tone(waiting),
        blocks=tuple(blocks),
        is_pinned=True,
    )


def _say_state(incident: Incident, now: datetime, names: Mapping[str, str]) -> str:
    owner = f"{write_people([incident.owner], names)} has it" if incident.owner else "nobody has it yet"
    state = f"mitigated, {owner}" if incident.state is IncidentState.MITIGATED else owner
    return f"{incident.severity.value.capitalize()}, since {write_clock(incident.alert_started_at, now)}: {state}."


def _tone(waiting: Sequence[Incident]) -> Tone:
    if not waiting:
        return Tone.GOOD
    first = waiting[0]
    is_bad = first.severity is Severity.CRITICAL and first.state is IncidentState.TRIGGERED
    return Tone.BAD if is_bad else Tone.WARN
