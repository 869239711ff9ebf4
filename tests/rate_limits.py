"""How often a chat service lets itself be called: what comes too soon is refused, and told how long to wait."""

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Window:
    """So many calls in any so many seconds."""

    count: int
    seconds: float


@dataclass(kw_only=True)
class Limits:
    """Windows by name, each for itself in every place: "channel" in C1 and in C2."""

    windows: Mapping[str, Window]
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0
    _calls: defaultdict[tuple[str, str], deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def take(self, **places: str) -> float:
        """Count a call and return 0; or refuse it, and return the seconds until it may come."""
        now, wait = time.monotonic(), 0.0
        for name, place in places.items():
            window, calls = self.windows[name], self._calls[name, place]
            while calls and calls[0] <= now - window.seconds:
                calls.popleft()
            if len(calls) >= window.count:
                wait = max(wait, calls[-window.count] + window.seconds - now)
        if wait > 0:
            self.refused += 1
            return wait
        for key in places.items():
            self._calls[key].append(now)
            self.accepted[key] += 1
        return 0.0

    def left(self, name: str, place: str) -> tuple[int, float]:
        """Return how many calls are free now, and the seconds until all are."""
        window, calls = self.windows[name], self._calls[name, place]
        until = calls[-1] + window.seconds - time.monotonic() if calls else 0.0
        return max(0, window.count - len(calls)), max(0.0, until)

    def least_seconds(self) -> float:
        """Return how long all that was accepted must take, however it is sent."""
        times = [
            (count - 1) // self.windows[name].count * self.windows[name].seconds
            for (name, _), count in self.accepted.items()
        ]
        return max(times, default=0.0)


def slack() -> Limits:
    """One message a second in a channel, five of them at once; edits at 50 a minute."""
    return Limits(windows={"channel": Window(count=5, seconds=5.0), "edits": Window(count=50, seconds=60.0)})


def discord() -> Limits:
    """Five calls in five seconds for each route of a channel, fifty in five minutes to open threads, fifty a second in
    all."""
    return Limits(
        windows={
            "route": Window(count=5, seconds=5.0),
            "threads": Window(count=50, seconds=300.0),
            "all": Window(count=50, seconds=1.0),
        }
    )


def telegram() -> Limits:
    """One message a second in a chat, a burst of twenty; twenty a minute in a group; thirty a second in all."""
    return Limits(
        windows={
            "chat": Window(count=20, seconds=20.0),
            "group": Window(count=20, seconds=60.0),
            "all": Window(count=30, seconds=1.0),
        }
    )


def whatsapp() -> Limits:
    """One message in six seconds to a person, 45 of them at once on credit; eighty a second in all."""
    return Limits(windows={"person": Window(count=45, seconds=270.0), "all": Window(count=80, seconds=1.0)})


def whole_seconds(wait: float) -> int:
    """Return a wait as services tell it."""
    return max(1, math.ceil(wait))
