"""Metrics: what is asked of a metric server, what it answered, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

Point = tuple[float, float]
"""Seconds since 1970, and a finite value. Where there was no value there is no point."""

MAX_SHOWN: Final = 6
"""Series of one query that are kept and plotted."""
MAX_QUERIES: Final = 8
"""Queries of one investigation."""


class Over(StrEnum):
    """On which side of a threshold it is bad."""

    ABOVE = ">"
    FROM = ">="
    BELOW = "<"
    DOWN_TO = "<="
    EQUAL = "=="
    OTHER = "!="


@dataclass(frozen=True, kw_only=True)
class Threshold:
    over: Over
    value: float

    def is_met(self, value: float) -> bool:
        """Say whether a value is on the bad side."""
        return {
            Over.ABOVE: value > self.value,
            Over.FROM: value >= self.value,
            Over.BELOW: value < self.value,
            Over.DOWN_TO: value <= self.value,
            Over.EQUAL: value == self.value,
            Over.OTHER: value != self.value,
        }[self.over]

    @property
    def is_low(self) -> bool:
        """Say whether small values are the bad ones."""
        return self.over in {Over.BELOW, Over.DOWN_TO}


@dataclass(frozen=True, kw_only=True)
class MetricQuery:
    """One PromQL query by name. `$label` in a matcher's quotes stands for the alert's label.

    `unit` is "ratio" (1 = 100 %), "percent", "seconds", "bytes", or any word to write after the number. `whole` is the
    alerting rule's expression where `expr` is only the part of it that has values while nothing fires.
    """

    name: str
    title: str
    expr: str
    unit: str = ""
    threshold: Threshold | None = None
    whole: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of an answer, its points in the order of time."""

    labels: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()

    @property
    def name(self) -> str:
        """Return `instance="shop-1", job="shop"`, or the metric's name where there is no other label."""
        labels = [f'{name}="{value}"' for name, value in sorted(self.labels.items()) if name != "__name__"]
        return ", ".join(labels) or self.labels.get("__name__", "") or "all together"

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(value for _, value in self.points)


@dataclass(frozen=True, kw_only=True)
class MetricRead:
    """What the front process read of one query, as it came. `fault` says why nothing of it could be had."""

    query: MetricQuery
    since: datetime
    until: datetime
    step: float
    series: tuple[Series, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""


class Turn(StrEnum):
    """What a metric did around the alert."""

    CROSSED = "crossed"
    CHANGED = "changed"
    STAYED = "stayed"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is kept of one query: the series that tell most, the alert's own first, and what they say.

    `evidence` is the id of the piece of evidence that tells the same in words; `left_out` counts further series.
    `turned_at` is when it crossed its threshold or changed.
    """

    query: MetricQuery
    evidence: str
    since: datetime
    until: datetime
    step: float
    alert_at: datetime
    series: tuple[Series, ...]
    left_out: int
    turn: Turn
    claim: str
    turned_at: datetime | None = None
