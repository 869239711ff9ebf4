"""Alerts as their senders describe them."""

import hashlib
from collections.abc import Mapping, Sequence
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
class LastWord:
    """The newest word that is known of one alert: when it began, and whether that is over."""

    starts_at: datetime
    is_over: bool

    def settles(self, alert: Alert) -> bool:
        """Say whether an event was told before: it began earlier, it is over, or this is its beginning again."""
        if alert.starts_at != self.starts_at:
            return alert.starts_at < self.starts_at
        return self.is_over or alert.status is AlertStatus.FIRING


@dataclass(frozen=True, kw_only=True)
class AlertGroup:
    """One delivery: alerts that the sender grouped. `truncated` counts those it left out.

    `commits` are full ids of commits whose CI or change has news: whoever waits for them looks again now; at those in
    `ended` a change was merged or closed. `repeats` says whether the sender repeats what still fires; one that does not
    tells of each event once.
    """

    source: str
    group_key: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    dashboard_url: str = ""
    commits: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    repeats: bool = True


def drop_old_words(alerts: Sequence[Alert], known: Mapping[str, LastWord]) -> tuple[Alert, ...]:
    """Return the words that are not settled by what is `known` by fingerprint, or by an end told before them."""
    last = dict(known)
    fresh: list[Alert] = []
    for alert in alerts:
        before = last.get(alert.fingerprint)
        if before is not None and before.settles(alert):
            continue
        fresh.append(alert)
        if alert.status is AlertStatus.RESOLVED:
            last[alert.fingerprint] = LastWord(starts_at=alert.starts_at, is_over=True)
    return tuple(fresh)
