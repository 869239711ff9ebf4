"""Servers of metrics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.metrics.metric import Series


@dataclass(frozen=True, kw_only=True)
class MetricQuestion:
    """One query in [since, until], a value every `step` seconds counted back from `until`.

    A source stops after `seconds`, and refuses an answer of more than `max_bytes`.
    """

    expr: str
    since: datetime
    until: datetime
    step: float
    max_bytes: int = 4 * 1024 * 1024
    seconds: float = 9.0


@dataclass(frozen=True, kw_only=True)
class MetricAnswer:
    """Series whose values are finite, in the order of time; none is "no data". `notes` says what they lack."""

    series: tuple[Series, ...] = ()
    notes: tuple[str, ...] = ()


class MetricSource(Protocol):
    """A server that answers PromQL. Raises `Unavailable` or `Rejected`, naming query, range and server."""

    @property
    def name(self) -> str: ...

    def read(self, question: MetricQuestion) -> MetricAnswer:
        """Ask once. What comes is unredacted. May be repeated."""
        ...

    def check(self) -> str:
        """Ask the cheapest question there is, and say in words that it was answered."""
        ...
