"""One after another, in the order in which they came."""

import threading
from collections import deque

from bot.errors import Reason, Unavailable


class Turn:
    """One unit of this process after another, where the database takes one at a time anyway.

    SQLite lets whoever comes meanwhile sleep and look again, up to 100 ms each time, and whoever looks first is next: a
    press could wait for seconds beside forty channels that send (measured).
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._guard = threading.Lock()
        self._is_taken = False
        self._line: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        """Raises `Unavailable` like a database that is locked for too long."""
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            gate = threading.Lock()
            gate.acquire()  # opened by whoever is before us
            self._line.append(gate)
        if gate.acquire(timeout=self._patience):
            return
        with self._guard:
            if gate in self._line:
                self._line.remove(gate)
                raise Unavailable("The store has more to do than it can.", Reason.OVERLOADED, 1.0)

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._line:
                self._line.popleft().release()
            else:
                self._is_taken = False
