"""How much a server may say in one session: a server that talks without end is cut off, not read."""

from typing import Final

from bot.errors import Reason, Rejected

MAX_MESSAGE: Final = 4 * 1024 * 1024
MAX_SESSION: Final = 8 * 1024 * 1024
MAX_MESSAGES: Final = 500
"""Messages of one session: each costs the front process some time, however small it is."""


class Meter:
    """Counts what one session read. `fault` is set by whoever found that it is too much."""

    def __init__(self) -> None:
        self.fault = ""
        self._read = 0
        self._messages = 0

    def add(self, size: int, messages: int = 1) -> bool:
        """Count bytes and messages; False where they are too many."""
        self._read += size
        self._messages += messages
        if self._read > MAX_SESSION:
            self.fault = self.fault or f"said more than {MAX_SESSION // 1024**2} MiB"
        if self._messages > MAX_MESSAGES:
            self.fault = self.fault or f"sent more than {MAX_MESSAGES:,} messages"
        return not self.fault

    def check(self, server: str) -> None:
        """Raise `Rejected` where the server said too much."""
        if self.fault:
            raise Rejected(f"{server} {self.fault}", Reason.TOO_LARGE)
