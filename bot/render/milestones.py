"""The steps of an incident that are worth a duration in its summary."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.domain.timeline import TimelineEvent
from bot.render.words import write_people

_APPROVED: Final = "approved"
_NAMES: Final = {
    "paged": "Paged",
    "acknowledged": "Acknowledged",
    "patch_ready": "Patch ready",
    _APPROVED: "Approved",
    "break_glass": "Break-glass, to be reviewed",
    "pushed": "Pushed",
    "rolled_back": "Rollback ordered",
    "ci_passed": "CI green",
    "ci_failed": "CI red",
}


def list_milestones(events: Sequence[TimelineEvent], names: Mapping[str, str]) -> list[tuple[str, datetime]]:
    """Return each step with its time, oldest first. Several approvals of one patch are one step: the last vote."""
    voters: dict[str, list[str]] = {}
    found: dict[str, tuple[str, datetime]] = {}
    for event in events:
        if event.kind not in _NAMES:
            continue
        key, label = str(event.seq), _NAMES[event.kind]
        if event.kind == _APPROVED:
            key = f"{_APPROVED} {event.data.get('digest', '')}"
            who = voters.setdefault(key, [])
            who.append(event.actor)
            label = f"{label} by {write_people(who, names)}"
            found.pop(key, None)
        found[key] = (label, event.at)
    return list(found.values())
