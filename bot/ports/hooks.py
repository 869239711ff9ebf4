"""Hooks: other programs that want to be told when a run changes its state."""

from typing import Protocol


class Hook(Protocol):
    """One address that is told."""

    async def tell(self, event: str, body: bytes) -> None:
        """Deliver one event. Raises `Unavailable` (tell it again) or `Rejected` (never). May be repeated: the receiver
        knows an event by its id."""
        ...

    async def close(self) -> None: ...
