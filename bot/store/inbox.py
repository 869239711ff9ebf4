"""The inbox: alert deliveries as they came, stored before their sender gets its 2xx.

A file of its own with its own thread and connection, so that nothing else can make a sender wait. Deliveries that
arrive together share one commit: one commit's p99 was 1 ms, a row in the engine per alert 368 ms and more (measured).
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from bot.errors import Reason, Refused, Unavailable
from bot.ports.clock import Clock
from bot.ports.deliveries import Delivery, InboxDepth
from bot.ports.faults import reach

BATCH: Final = 512
KEEP_SECONDS: Final = 35 * 24 * 3600
COUNT: Final = "SELECT COUNT(*) FROM delivery WHERE state = 'pending'"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    received_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    error TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_state ON delivery (state, id);
"""


class Answer(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...  # noqa: ANN401 -- a row, whose columns the statement names

    def __iter__(self) -> Iterator[Any]: ...


class Link(Protocol):
    """A connection that commits when it is told to. Values stand where a statement has "?"."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, statement: str, values: tuple[object, ...] = (), /) -> Answer: ...

    def close(self) -> None: ...


class Job(NamedTuple):
    """Work for the thread. What is one statement commits by itself when nothing else waits."""

    work: Callable[[Link], object]
    future: "Future[object]"
    is_one_statement: bool


class Inbox:
    """Deliveries in `inbox.db`. All calls may come from any task; one thread owns the connection."""

    def __init__(self, path: Path, clock: Clock, *, max_pending: int) -> None:
        self._path = path
        self._clock = clock
        self._max_pending = max_pending
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # How many deliveries wait, and by how many this transaction changes that: written by the thread alone.
        self._pending = 0
        self._change = 0
        self._has_news = False
        self._listeners: list[Callable[[], None]] = []
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, name="inbox", daemon=True)
        self._thread.start()
        self._ready.result(timeout=30)

    def on_delivery(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that puts a delivery in line, in the inbox's thread; it must not block.

        Not after every commit: whoever looks for deliveries commits too, and would wake itself for ever.
        """
        self._listeners.append(listener)

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(timeout=10)

    async def keep(self, source: str, body: bytes) -> int:
        """Store a delivery; return its number once it is on disk. Raises `Unavailable` on overload or a full disk."""
        if self._pending + self._jobs.qsize() >= self._max_pending:
            raise Unavailable("The inbox is full; send again later.", Reason.OVERLOADED, 5.0)
        received = self._clock.now().timestamp()

        def insert(connection: Link) -> object:
            self._change += 1
            self._has_news = True
            return self._insert(connection, (source, received, body))

        number = await self._do(insert, is_one_statement=True)
        return int(str(number))

    async def next(self, limit: int = BATCH) -> Sequence[Delivery]:
        """Return the oldest deliveries not yet taken in."""
        return await self._select("state = 'pending' ORDER BY id LIMIT ?", (limit,))

    async def dead_letters(self) -> Sequence[Delivery]:
        return await self._select("state = 'dead' ORDER BY id DESC LIMIT ?", (200,))

    async def tail(self, after: int, limit: int = 100) -> Sequence[Delivery]:
        """Return deliveries newer than number `after`; negative: the last of them."""
        if after < 0:
            return list(reversed(await self._select("TRUE ORDER BY id DESC LIMIT ?", (min(-after, limit),))))
        return await self._select("id > ? ORDER BY id LIMIT ?", (after, limit))

    async def settle(self, numbers: Sequence[int]) -> None:
        """Mark deliveries as taken in. Repeating it is harmless."""
        await self._mark(numbers, "done")

    async def bury(self, number: int, error: str) -> None:
        """Keep a delivery that cannot be read as a dead letter."""
        await self._mark([number], "dead", error)

    async def revive(self, number: int) -> None:
        """Put a dead letter back in line. Raises `Refused` when there is none of that number."""

        def update(connection: Link) -> object:
            statement = "UPDATE delivery SET state = 'pending', error = '' WHERE id = ? AND state = 'dead'"
            revived = connection.execute(statement, (number,)).rowcount
            self._change += revived
            self._has_news = self._has_news or revived > 0
            return revived

        if await self._do(update) != 1:
            raise Refused(
                f"There is no dead letter {number}; `nightshift alert dead-letters` lists them.", Reason.NOT_FOUND
            )

    async def depth(self) -> InboxDepth:
        now = self._clock.now().timestamp()

        def count(connection: Link) -> object:
            pending, oldest = connection.execute(
                "SELECT COUNT(*), MIN(received_at) FROM delivery WHERE state = 'pending'"
            ).fetchone()
            (dead,) = connection.execute("SELECT COUNT(*) FROM delivery WHERE state = 'dead'").fetchone()
            age = max(0.0, now - oldest) if oldest is not None else 0.0
            return InboxDepth(pending=pending, oldest_seconds=age, dead=dead)

        depth = await self._do(count)
        assert isinstance(depth, InboxDepth)
        return depth

    async def prune(self) -> None:
        """Forget what was taken in more than 35 days ago."""
        limit = self._clock.now().timestamp() - KEEP_SECONDS
        await self._do(lambda c: c.execute("DELETE FROM delivery WHERE state = 'done' AND received_at < ?", (limit,)))

    async def _mark(self, numbers: Sequence[int], state: str, error: str = "") -> None:
        def update(connection: Link) -> object:
            for start in range(0, len(numbers), BATCH):
                some = numbers[start : start + BATCH]
                places = ",".join("?" * len(some))
                statement = f"UPDATE delivery SET state = ?, error = ? WHERE state = 'pending' AND id IN ({places})"  # noqa: S608 -- places alone
                self._change -= connection.execute(statement, (state, error, *some)).rowcount
            return None

        await self._do(update)

    async def _select(self, where: str, values: tuple[int, ...]) -> Sequence[Delivery]:
        def select(connection: Link) -> object:
            query = f"SELECT id, source, received_at, body, error FROM delivery WHERE {where}"  # noqa: S608 -- fixed texts
            return [
                Delivery(id=i, source=s, received_at=datetime.fromtimestamp(r, UTC), body=b, error=e)
                for i, s, r, b, e in connection.execute(query, values)
            ]

        rows = await self._do(select)
        assert isinstance(rows, list)
        return rows

    async def _do(self, work: Callable[[Link], object], *, is_one_statement: bool = False) -> object:
        if not self._thread.is_alive():
            raise Unavailable("The inbox is closed.", Reason.UNREACHABLE)
        future: Future[object] = Future()
        self._jobs.put(Job(work, future, is_one_statement))
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        """The thread: everything that waits goes into one transaction, then everybody is told."""
        try:
            connection = self._open()
            (self._pending,) = connection.execute(COUNT).fetchone()
        except (sqlite3.Error, Unavailable) as error:
            self._ready.set_exception(Unavailable(f"The inbox cannot be opened: {error}", Reason.UNREACHABLE))
            return
        self._ready.set_result(None)
        while (first := self._jobs.get()) is not None:
            jobs = [first]
            while len(jobs) < BATCH:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._jobs.put(None)
                    break
                jobs.append(following)
            self._commit(connection, jobs)
        connection.close()

    def _open(self) -> Link:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        return connection

    def _commits_alone(self, job: Job) -> bool:
        """Return whether a job needs no BEGIN and COMMIT: each waits for the interpreter beside a busy thread."""
        return job.is_one_statement

    def _begin(self, connection: Link) -> None:
        connection.execute("BEGIN IMMEDIATE")

    def _roll_back(self, connection: Link) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _insert(self, connection: Link, values: tuple[str, float, bytes]) -> object:
        assert isinstance(connection, sqlite3.Connection)
        statement = "INSERT INTO delivery (source, received_at, body) VALUES (?, ?, ?)"
        return connection.execute(statement, values).lastrowid

    def _commit(self, connection: Link, asked: Sequence[Job]) -> None:
        jobs = [job for job in asked if job.future.set_running_or_notify_cancel()]
        results: list[object] = []
        self._change, self._has_news = 0, False
        try:
            is_alone = len(jobs) == 1 and self._commits_alone(jobs[0])
            if not is_alone:
                self._begin(connection)
                results.extend(job.work(connection) for job in jobs)
            reach("inbox.commit.before")
            if is_alone:
                results.append(jobs[0].work(connection))
            else:
                connection.execute("COMMIT")
            reach("inbox.commit.after")
        except Exception as error:  # noqa: BLE001 -- the inbox's border: the thread must outlive what it cannot store
            self._roll_back(connection)
            failure = Unavailable(f"The inbox could not store it: {error}", Reason.OVERLOADED, 5.0)
            for job in jobs:
                job.future.set_exception(failure)
            return
        self._pending += self._change
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
        for listener in self._listeners if self._has_news else ():
            listener()
