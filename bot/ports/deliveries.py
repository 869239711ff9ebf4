"""Raw alert deliveries between their storing and their taking in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One raw delivery of an authenticated sender. `error` says why a dead letter could not be read."""

    id: int
    source: str
    received_at: datetime
    body: bytes
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class InboxDepth:
    """How much waits, the age of the oldest in seconds, and how many dead letters there are."""

    pending: int
    oldest_seconds: float
    dead: int


class DeliveryQueue(Protocol):
    """What is stored but not taken in yet."""

    async def next(self, limit: int = 512) -> Sequence[Delivery]:
        """Return the oldest deliveries not yet taken in."""
        ...

    async def settle(self, numbers: Sequence[int]) -> None:
        """Mark deliveries as taken in. May be repeated."""
        ...

    async def bury(self, number: int, error: str) -> None:
        """Keep a delivery that cannot be read as a dead letter."""
        ...
