"""Raw alert deliveries, from their sender's request to their taking in."""

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
    """What is stored but not taken in yet, as the drainer sees it."""

    async def next(self, limit: int = 512) -> Sequence[Delivery]:
        """Return the oldest deliveries not yet taken in."""
        ...

    async def settle(self, numbers: Sequence[int]) -> None:
        """Mark deliveries as taken in. May be repeated."""
        ...

    async def bury(self, number: int, error: str) -> None:
        """Keep a delivery that cannot be read as a dead letter."""
        ...


class DeliveryBox(Protocol):
    """The same deliveries, as the web server sees them."""

    async def keep(self, source: str, body: bytes) -> int:
        """Store a delivery; return its number once it is on disk. Raises `Unavailable` (the answer is 503)."""
        ...

    async def dead_letters(self) -> Sequence[Delivery]:
        """Return the newest 200 dead letters, newest first."""
        ...

    async def revive(self, number: int) -> None:
        """Put a dead letter back in line. Raises `Refused` when there is none of that number."""
        ...

    async def tail(self, after: int, limit: int = 100) -> Sequence[Delivery]:
        """Return deliveries with a number above `after`, oldest first; negative: the last so many."""
        ...

    async def depth(self) -> InboxDepth: ...
