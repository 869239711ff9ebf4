"""Spares an idle SQLite store the engine's polls.

dbos asks for work about nine times a second, and a question costs 1 to 8 ms of CPU: 3 to 8 % of a core while nothing
happens (measured). On SQLite one process writes, so nothing can have become due unless something was committed, or a
delay is over. SQLite tells the first in 20 µs: `PRAGMA data_version`, as one connection sees it, changes with every
commit of another. Waking a thread costs more than that, so one of dbos's threads looks each second, and the others
rest until it finds something. The names replaced here are dbos's own and not public: the version is pinned, and tests
hold them.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dbos._sys_db import SystemDatabase

SETTLED: Final = 5.0
"""Seconds without a commit after which the store is still: a phase frees its place a little after its last commit."""
LONGEST: Final = 60.0
"""Seconds of stillness after which the engine looks all the same."""
REST: Final = 10.0
"""Seconds that a thread rests at most, should the one that looks be held up."""

_Found = TypeVar("_Found")


class Stillness:
    """Says whether a store is still. All calls may come from any thread."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved = threading.Condition(threading.Lock())
        self._is_over = False
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=ON")
        self._version = -1
        self._since = clock()

    def close(self) -> None:
        self._connection.close()

    def is_still(self) -> bool:
        """Return whether nobody committed for `SETTLED` seconds; False again for as long after `LONGEST` of them."""
        with self._moved:
            return self._look()

    def rest(self) -> bool:
        """Return whether the store is still, after having waited while it was for another thread to find it moved."""
        with self._moved:
            if not self._look():
                return False
            since = self._since
            self._moved.wait_for(lambda: self._is_over or self._since != since, REST)
            return self._look()

    def end_rest(self) -> None:
        """Let nobody rest any more."""
        with self._moved:
            self._is_over = True
            self._moved.notify_all()

    def _look(self) -> bool:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        now = self._clock()
        if version != self._version or now - self._since > LONGEST:
            self._version, self._since = version, now
            self._moved.notify_all()
        return now - self._since >= SETTLED

    def is_due(self) -> bool:
        """Return whether the delay of a phase is over."""
        statement = "SELECT MIN(delay_until_epoch_ms) FROM workflow_status WHERE status = 'DELAYED'"
        with self._moved:
            (due,) = self._connection.execute(statement).fetchone()
        return due is not None and due <= time.time() * 1000


def spare(database: SystemDatabase, stillness: Stillness) -> None:
    """Let dbos's polls of this database end before they begin while it is still."""
    replaced: Any = database
    scopes, delayed, cancel = (
        database.dequeue_scopes,
        database.transition_delayed_workflows,
        database.cancel_timed_out_workflows,
    )

    def move_delayed() -> None:
        if not stillness.is_still() or stillness.is_due():
            delayed()

    replaced.dequeue_scopes = lambda queue: [] if stillness.rest() else scopes(queue)
    replaced.transition_delayed_workflows = move_delayed
    replaced.cancel_timed_out_workflows = lambda limit: [] if stillness.is_still() else cancel(limit)
    replaced.get_queue = _remember(stillness.is_still, database.get_queue)
    replaced.list_queues = _remember(stillness.rest, database.list_queues)
    replaced.list_schedules = _remember(stillness.rest, database.list_schedules)


def _remember(is_still: Callable[[], bool], ask: Callable[..., _Found]) -> Callable[..., _Found]:
    """Answer as last time while the store is still."""
    answers: dict[str, _Found] = {}

    def answer(*args: object, **options: object) -> _Found:
        key = repr((args, options))
        if key not in answers or not is_still():
            answers[key] = ask(*args, **options)
        return answers[key]

    return answer
