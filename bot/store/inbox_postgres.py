"""The inbox as a table of PostgreSQL: the same deliveries for several front processes.

Who takes a delivery in is decided where it counts: in the unit that takes it in (`bot.store.leases.SqlTaken`). So the
drainers of two processes may look at the same rows, and still each delivery is taken in once.
"""

import time
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from bot.errors import Reason, Unavailable
from bot.ports.clock import Clock
from bot.store.inbox import COUNT, Answer, Inbox, Job, Link
from bot.store.postgres import CONNECT, libpq_url

RECOUNT_SECONDS: Final = 1.0


class _Link:
    """A psycopg connection that is opened again when it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = self._connect()

    def _connect(self) -> "psycopg.Connection[Any]":
        try:
            return psycopg.connect(self._url, autocommit=True, **CONNECT)
        except psycopg.Error as error:
            raise Unavailable(f"PostgreSQL does not answer: {error}", Reason.UNREACHABLE, 1.0) from error

    @property
    def in_transaction(self) -> bool:
        status = self._connection.info.transaction_status
        return status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}

    def begin(self) -> None:
        """Begin a transaction, on a new connection where the old one is gone."""
        if not self._connection.closed:
            try:
                self._connection.execute("BEGIN")
            except psycopg.OperationalError:
                self._connection.close()
            else:
                return
        self._connection = self._connect()
        self._connection.execute("BEGIN")

    def roll_back(self) -> None:
        """Leave the transaction, or the connection where it cannot be left."""
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def execute(self, statement: str, values: tuple[object, ...] = (), /) -> Answer:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)

    def close(self) -> None:
        self._connection.close()


class PostgresInbox(Inbox):
    """Deliveries in the table `delivery`. The limit counts what waits in all processes, a second late."""

    def __init__(self, url: str, clock: Clock, *, max_pending: int) -> None:
        self._url = libpq_url(url)
        self._counted = -RECOUNT_SECONDS
        super().__init__(Path(), clock, max_pending=max_pending)

    def _open(self) -> Link:
        return _Link(self._url)

    def _commits_alone(self, job: Job) -> bool:  # noqa: ARG002 -- the base's signature
        """A lost connection is found at BEGIN."""
        return False

    def _begin(self, connection: Link) -> None:
        assert isinstance(connection, _Link)
        connection.begin()
        now = time.monotonic()
        if now - self._counted >= RECOUNT_SECONDS:
            (self._pending,) = connection.execute(COUNT).fetchone()
            self._counted = now

    def _roll_back(self, connection: Link) -> None:
        assert isinstance(connection, _Link)
        connection.roll_back()

    def _insert(self, connection: Link, values: tuple[str, float, bytes]) -> object:
        statement = "INSERT INTO delivery (source, received_at, body) VALUES (?, ?, ?) RETURNING id"
        return connection.execute(statement, values).fetchone()[0]
