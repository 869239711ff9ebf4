"""Which of several open incidents needs somebody first."""

from collections.abc import Iterable

from bot.domain.incident import Incident, IncidentState, Severity

_SEVERITIES = list(Severity)
_STATES = list(IncidentState)


def sort_by_urgency(incidents: Iterable[Incident]) -> list[Incident]:
    """Return them most urgent first: by severity, then those that nobody has, then the oldest."""
    return sorted(incidents, key=_rank)


def _rank(incident: Incident) -> tuple[int, int, float]:
    return (
        _SEVERITIES.index(incident.severity),
        _STATES.index(incident.state),
        incident.alert_started_at.timestamp(),
    )
