"""What reduction reads from: logs that can be read again, as blocks of whole lines."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol


class BlockSource(Protocol):
    """One log. `blocks` begins at the beginning each time and never raises: `notes` says what could not be read."""

    @property
    def name(self) -> str: ...

    @property
    def near(self) -> datetime:
        """Return when it was written last, aware: what its times leave out is taken from there."""
        ...

    @property
    def notes(self) -> list[str]: ...

    def blocks(self) -> Iterator[bytes]: ...
