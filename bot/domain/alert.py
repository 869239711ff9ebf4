"""Alerts as their senders describe them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AlertStatus(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


def fingerprint_labels(labels: Mapping[str, str]) -> str:
    """Return 16 hex characters that identify a label set, whatever its order."""
    digest = hashlib.sha256()
    for name in sorted(labels):
        digest.update(name.encode() + b"\x00" + labels[name].encode() + b"\x01")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One firing or resolved condition. `starts_at` is the sender's time, aware."""

    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: datetime
    ends_at: datetime | None = None
    source_url: str = ""

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "unnamed alert")

    @property
    def summary(self) -> str:
        """The sender's own sentence, or the alert's name when there is none."""
        return self.annotations.get("summary") or self.annotations.get("description") or self.name


@dataclass(frozen=True, kw_only=True)
class AlertGroup:
    """One delivery: alerts that the sender grouped. `truncated` counts those it left out.

    `commits` are full ids of commits whose CI or change has news: whoever waits for them looks again now.
    """

    source: str
    group_key: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    dashboard_url: str = ""
    commits: tuple[str, ...] = ()
