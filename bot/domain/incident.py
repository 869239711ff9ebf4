"""Incidents: what is wrong, since when, and who has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

REOPEN_WINDOW = timedelta(minutes=30)


class IncidentState(StrEnum):
    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


def worst_of(severities: Iterable[Severity]) -> Severity:
    """Return the most severe; a warning where there is none."""
    order = list(Severity)
    return min(severities, key=order.index, default=Severity.WARNING)


class RunState(StrEnum):
    """The investigation of one incident."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_NEXT: Mapping[IncidentState, frozenset[IncidentState]] = {
    IncidentState.TRIGGERED: frozenset({IncidentState.ACKNOWLEDGED, IncidentState.MITIGATED, IncidentState.RESOLVED}),
    IncidentState.ACKNOWLEDGED: frozenset({IncidentState.MITIGATED, IncidentState.RESOLVED}),
    IncidentState.MITIGATED: frozenset({IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED}),
    IncidentState.RESOLVED: frozenset({IncidentState.TRIGGERED}),
}


def states_before(target: IncidentState) -> frozenset[IncidentState]:
    """Return the states from which an incident may enter `target`."""
    return frozenset(state for state, following in _NEXT.items() if target in following)


DECLARED: Final = "Declared"
"""The `alertname` of an incident that a person opened."""


def severity_of(labels: Mapping[str, str]) -> Severity:
    """Read the usual `severity` label; anything unknown counts as a warning."""
    value = labels.get("severity", "").lower()
    if value in {"critical", "page", "error", "high", "p1", "emergency"}:
        return Severity.CRITICAL
    if value in {"info", "information", "low", "none", "p4", "p5"}:
        return Severity.INFO
    return Severity.WARNING


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One problem with one service. `key` merges alerts: same key, same incident.

    `id` is what people say ("INC-12"); `round` counts how often it was opened; `firing` counts the alerts
    that still fire, `alerts_seen` every delivery merged into it, `runs` the investigations begun.
    """

    id: str
    key: str
    title: str
    service: str
    severity: Severity
    state: IncidentState
    opened_at: datetime
    changed_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    alert_started_at: datetime
    source_url: str = ""
    dashboard_url: str = ""
    owner: str | None = None
    page_level: int = 0
    round: int = 1
    channels: tuple[str, ...] = ()
    escalation: str = "default"
    firing: int = 0
    alerts_seen: int = 0
    truncated: int = 0
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    silenced_until: datetime | None = None
    run_state: RunState = RunState.QUEUED
    runs: int = 1

    @property
    def is_declared(self) -> bool:
        """Say whether a person opened it: no alert tells when it is over, so people do."""
        return self.labels.get("alertname") == DECLARED

    @property
    def is_open(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    @property
    def runbook_url(self) -> str:
        return self.annotations.get("runbook_url", "")

    @property
    def run(self) -> str:
        """Return the name of the present investigation."""
        return f"{self.id}:{self.runs}"

    def is_silenced(self, now: datetime) -> bool:
        return self.silenced_until is not None and now < self.silenced_until

    def may_reopen(self, now: datetime) -> bool:
        """A resolved incident takes its alert back for 30 minutes."""
        return self.resolved_at is not None and now - self.resolved_at <= REOPEN_WINDOW
