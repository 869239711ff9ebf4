"""How long one question to the model waits before it is asked again, and after how many tries it is given up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bot.errors import Reason, Unavailable

TRIES: Final = 3
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 10.0
BUSY_SECONDS: Final = 60.0
BUSY: Final = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED})


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How the loop waits between tries."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random


class Patience:
    """How long one question waits before it is asked again. What waits longer is put off by whoever runs the agent."""

    def __init__(self) -> None:
        self._failures = 0
        self._wait = FIRST_WAIT
        self._busy = 0.0

    def wait_after(self, error: Unavailable, jitter: float) -> float | None:
        """Return the seconds to wait, None where the question is given up. `jitter` is a number from 0 to 1.

        A server that is full is waited for, longer than it says, so that not all come back at once; only failures
        are counted.
        """
        pause = max(self._wait * jitter, error.retry_after or 0.0)
        if error.reason in BUSY:
            pause = self._wait * (1 + jitter) / 2 + (error.retry_after or 0.0)
            self._busy += pause
            is_over = self._busy > BUSY_SECONDS
        else:
            self._failures += 1
            is_over = self._failures >= TRIES or error.reason is Reason.TIMEOUT
        self._wait = min(self._wait * 4, LONGEST_WAIT)
        return None if is_over or (error.retry_after or 0.0) > LONGEST_WAIT else pause
