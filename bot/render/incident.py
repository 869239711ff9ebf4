"""The incident's card, its pages and its summary."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.domain.chat import Block, Button, Fields, Link, Message, Paragraph, Style, Tone
from bot.domain.ci_logs.log import SHA_LABEL, find_commit
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.presses import SILENCE_CHOICES, UNTIL_RESOLVED, Verb, encode_press
from bot.render.links import Links, link_to
from bot.render.words import (
    write_clock,
    write_count,
    write_line,
    write_people,
    write_sentence,
    write_span,
    write_until,
)

#: Labels that say where it is, most telling first; the rest is on the source's page.
_PLACES: Final = ("path", "route", "handler", "code", "status", "instance", "pod", "namespace", "cluster", "region")
_SILENCE: Final = {
    "1h": ("Silence 1 h", "s"),
    "4h": ("Silence 4 h", "l"),
    UNTIL_RESOLVED: ("Silence until resolved", "u"),
}


def render_card(incident: Incident, *, now: datetime, names: Mapping[str, str], links: Links) -> Message:
    """Return the one card of an incident, edited in place through its life."""
    blocks: list[Block] = [Paragraph(text=_say_state(incident, now, names))]
    description = incident.annotations.get("description") or incident.annotations.get("summary", "")
    if description and write_line(description) != write_line(incident.title):
        blocks.append(Paragraph(text=write_line(description, 600)))
    blocks.append(Fields(items=tuple(_facts(incident, now, names))))
    blocks.extend(_links(incident, links))
    return Message(
        incident=incident.id,
        slot="card",
        headline=f"{incident.id} {name_problem(incident)}",
        tone=_tone(incident),
        blocks=tuple(blocks),
        buttons=tuple(_card_buttons(incident, now)),
        in_thread=False,
    )


def render_page(
    incident: Incident, people: Sequence[str], level: int, *, now: datetime, names: Mapping[str, str], links: Links
) -> Message:
    """Return the page of one level: it rings `people` while nobody has acknowledged, and says so afterwards."""
    slot, problem = name_slot(f"page:{level}", incident), name_problem(incident)
    if incident.state is not IncidentState.TRIGGERED:
        text = _say_state(incident, now, names)
        return Message(
            incident=incident.id, slot=slot, headline=f"Page ended: {problem}", blocks=(Paragraph(text=text),)
        )
    if level < incident.page_level:
        text = f"Not acknowledged by {write_people(people, names)}; the next level was paged."
        return Message(
            incident=incident.id, slot=slot, headline=f"Escalated: {problem}", blocks=(Paragraph(text=text),)
        )
    since = f"{incident.severity.value}, since {write_clock(incident.alert_started_at, now)}"
    before = "Nobody has acknowledged the page before this one. " if level > 0 else ""
    blocks: list[Block] = [Paragraph(text=f"{write_sentence(since)} {before}Acknowledge to stop the page.")]
    blocks.extend(link for link in (links.to_incident(incident.id),) if link)
    return Message(
        incident=incident.id,
        slot=slot,
        headline=f"{write_people(people, names)}: {problem}",
        tone=Tone.BAD,
        blocks=tuple(blocks),
        buttons=(_acknowledge(incident), _escalate(incident)),
        rings=tuple(people),
    )


def render_help(
    incident: Incident, people: Sequence[str], level: int, *, now: datetime, names: Mapping[str, str], links: Links
) -> Message:
    """Return the page of a level that was called to an incident which somebody has: there is nothing to acknowledge."""
    since = f"{incident.severity.value}, since {write_clock(incident.alert_started_at, now)}"
    link = links.to_incident(incident.id)
    said = Paragraph(text=f"{write_sentence(since)} {_say_state(incident, now, names)} Help is wanted.")
    return Message(
        incident=incident.id,
        slot=name_slot(f"page:{level}", incident),
        headline=f"{write_people(people, names)}: {name_problem(incident)}",
        tone=Tone.BAD,
        blocks=(said, *([link] if link else [])),
        buttons=(_escalate(incident),),
        rings=tuple(people),
    )


def render_closed(
    incident: Incident,
    *,
    now: datetime,
    names: Mapping[str, str],
    links: Links,
    milestones: Sequence[tuple[str, datetime]] = (),
) -> Message:
    """Return the summary of a resolved incident. `milestones` are steps worth a duration: ("Patch approved", at)."""
    end = incident.resolved_at or now
    lasted = write_span(end - incident.alert_started_at)
    facts = [
        ("Began", write_clock(incident.alert_started_at, now)),
        ("Noticed", f"after {write_span(incident.opened_at - incident.alert_started_at)}"),
        *((what, f"after {write_span(at - incident.alert_started_at)}") for what, at in milestones),
        ("Resolved", f"{write_clock(end, now)}, {_say_closer(incident, names)}"),
        ("Had it", write_people([incident.owner] if incident.owner else [], names)),
        ("Alerts", write_count(incident.alerts_seen, "alert")),
    ]
    link = links.to_incident(incident.id)
    return Message(
        incident=incident.id,
        slot=name_slot("closed", incident),
        headline=f"{incident.id} resolved after {lasted}",
        tone=Tone.GOOD,
        blocks=(
            Paragraph(text=write_sentence(name_problem(incident))),
            Fields(items=tuple(facts)),
            *([link] if link else []),
        ),
    )


def name_slot(slot: str, incident: Incident) -> str:
    """Return the slot's name in this round: a reopened incident gets new messages, not edits of old ones."""
    return slot if incident.round <= 1 else f"{slot}#{incident.round}"


def name_problem(incident: Incident) -> str:
    """Return "checkout: half of all requests fail", without the service twice."""
    title = write_line(incident.title)
    return (
        title if incident.service.lower() in title.lower() or not incident.service else f"{incident.service}: {title}"
    )


def _tone(incident: Incident) -> Tone:
    if not incident.is_open:
        return Tone.GOOD
    if incident.state is not IncidentState.TRIGGERED:
        return Tone.WARN
    return {Severity.CRITICAL: Tone.BAD, Severity.WARNING: Tone.WARN, Severity.INFO: Tone.CALM}[incident.severity]


def _say_state(incident: Incident, now: datetime, names: Mapping[str, str]) -> str:
    owner = write_people([incident.owner], names) if incident.owner else "Somebody"
    if incident.state is IncidentState.TRIGGERED:
        return "Nobody has it yet."
    if incident.state is IncidentState.ACKNOWLEDGED:
        return f"{owner} has it, since {write_clock(incident.changed_at, now)}."
    if incident.state is IncidentState.MITIGATED:
        return f"Mitigated at {write_clock(incident.changed_at, now)}; not resolved yet. {owner} has it."
    end = incident.resolved_at or incident.changed_at
    lasted = write_span(end - incident.alert_started_at)
    return f"Resolved at {write_clock(end, now)} {_say_closer(incident, names)}, after {lasted}."


def _say_closer(incident: Incident, names: Mapping[str, str]) -> str:
    if not incident.resolved_by:
        return "when the alert cleared"
    return f"by {names.get(incident.resolved_by, incident.resolved_by)}"


def _facts(incident: Incident, now: datetime, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "Since", write_clock(incident.alert_started_at, now)
    yield "Severity", incident.severity.value
    yield "Service", incident.service or "unknown"
    value = incident.annotations.get("value", "")
    if value:
        yield "Value", write_line(value, 60)
    places = [f"{name}={incident.labels[name]}" for name in _PLACES if incident.labels.get(name)]
    yield from (("CI run", said) for said in (_say_ci_run(incident),) if said)
    if places:
        yield "Where", write_line(" ".join(places[:4]), 120)
    yield "Alerts", f"{incident.firing:,} firing, {incident.alerts_seen:,} received"
    if incident.truncated:
        yield "Left out", f"{write_count(incident.truncated, 'alert')} by the sender"
    if incident.owner and not incident.is_open:  # while it is open, the first line says who has it
        yield "Owner", names.get(incident.owner, incident.owner)
    if incident.silenced_until is not None and incident.is_silenced(now):
        yield "Silenced", write_until(incident.silenced_until, now)


def _say_ci_run(incident: Incident) -> str:
    """Return which run the alert is about, "" where it is about none."""
    workflow, branch, sha = (incident.labels.get(label, "") for label in ("workflow", "branch", SHA_LABEL))
    if not workflow or not find_commit(incident.labels):
        return ""
    where = f" on branch {write_line(branch, 80)}" if branch else ""
    return f"{write_line(workflow, 80)}{where}, commit {sha[:12]}"


def _links(incident: Incident, links: Links) -> Iterator[Link]:
    candidates = (
        link_to("Runbook", incident.runbook_url),
        link_to("Dashboard", incident.dashboard_url),
        link_to("CI run" if _say_ci_run(incident) else "Source", incident.source_url),
        links.to_incident(incident.id),
    )
    yield from (link for link in candidates if link)


def _acknowledge(incident: Incident) -> Button:
    return Button(id=encode_press(Verb.ACK, incident.id), label="Acknowledge", key="a", style=Style.PRIMARY)


def _escalate(incident: Incident) -> Button:
    press = encode_press(Verb.ESCALATE, incident.id, arg=str(incident.page_level))
    return Button(id=press, label="Escalate", key="e")


def _card_buttons(incident: Incident, now: datetime) -> Iterator[Button]:
    if not incident.is_open:
        return
    if incident.state is IncidentState.TRIGGERED:
        yield _acknowledge(incident)
    yield _escalate(incident)
    yield Button(id=encode_press(Verb.RESOLVE, incident.id), label="Resolve", key="r")
    if incident.is_silenced(now):
        return
    for choice in SILENCE_CHOICES:
        label, key = _SILENCE[choice]
        yield Button(id=encode_press(Verb.SILENCE, incident.id, arg=choice), label=label, key=key)
