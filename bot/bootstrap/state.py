"""Where state is kept: SQLite files of one process, or a PostgreSQL database that several processes share."""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine as Database
from sqlmodel import Session

from bot.engine.lease import Keeper, Lengths
from bot.engine.phases import EXECUTOR, Engine
from bot.errors import Reason, Refused
from bot.ports.clock import Clock, SystemClock
from bot.settings import Settings
from bot.store.board import SqlBoard
from bot.store.database import NEWEST, SqlStore, migrate, open_engine, read_revision
from bot.store.inbox import Inbox
from bot.store.inbox_postgres import PostgresInbox
from bot.store.leases import Leases
from bot.store.notices import Notices, publish_change
from bot.store.postgres import Member, driver_url, open_postgres
from bot.store.trouble import as_unavailable

STORE_FILE: Final = "nightshift.db"
INBOX_FILE: Final = "inbox.db"


@dataclass(frozen=True, kw_only=True)
class State:
    """The store with its inbox and its engine. `keeper` is there where several processes share them."""

    engine: Engine
    store: SqlStore
    inbox: Inbox
    board: SqlBoard
    keeper: Keeper | None = None


def store_url(settings: Settings) -> str:
    """Return the address of the store's database; it may hold a password, so it is for drivers only."""
    if settings.database_url is not None:
        return driver_url(settings.database_url.get_secret_value())
    return f"sqlite:///{settings.server.state_dir.absolute() / STORE_FILE}"


def open_for_reading(settings: Settings) -> Database:
    """Open the store of a Nightshift that need not be running. Raises `Refused` where there is none."""
    path = settings.server.state_dir.absolute() / STORE_FILE
    if settings.database_url is None and not path.exists():
        raise Refused(f"There is no store at {path}.", Reason.NOT_FOUND)
    return open_engine(store_url(settings))


class _NoPhases:
    """Reading needs no phases."""

    def __init__(self, _session: Session) -> None:
        pass

    def enqueue(self, *_args: object, **_options: object) -> None:
        raise Refused("This command only reads.", Reason.NOT_ALLOWED)


@contextlib.contextmanager
def read_store(settings: Settings) -> Iterator[SqlStore]:
    """Open the store for reading, whether Nightshift runs or not. Raises `Refused` where there is none, or one of
    another revision, and `Unavailable` where it does not answer."""
    engine = open_for_reading(settings)
    try:
        _check_revision(engine, is_file=settings.database_url is None)
        yield SqlStore(engine, SystemClock(), _NoPhases)
    finally:
        engine.dispose()


def _check_revision(engine: Database, *, is_file: bool) -> None:
    with as_unavailable(), engine.connect() as connection:
        revision = read_revision(connection)
    if not revision and not is_file:
        raise Refused("There is no store in this database yet: the first start makes it.", Reason.NOT_FOUND)
    if not revision:
        lost = f"No tables are in {engine.url.database}: restore a backup, or move it away to begin anew."
        raise Refused(lost, Reason.BAD_INPUT)
    if revision != NEWEST:
        age, how = ("newer", "use the newer one") if revision > NEWEST else ("older", "start it, which brings it up")
        raise Refused(f"The store is {age} ({revision}) than this Nightshift ({NEWEST}): {how}.", Reason.CONFLICT)


@contextlib.contextmanager
def open_empty_store(folder: Path) -> Iterator[SqlStore]:
    """Make a store of its own, for a command that leaves nothing behind: no phase and no effect follows from it."""
    engine = open_engine(f"sqlite:///{folder / STORE_FILE}")
    try:
        migrate(engine)
        yield SqlStore(engine, SystemClock(), _NoPhases)
    finally:
        engine.dispose()


def open_state(settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack) -> State:
    """Open everything that outlives the process; `stack` closes it."""
    database = open_engine(store_url(settings))
    stack.callback(database.dispose)
    with as_unavailable():
        migrate(database)
    if settings.database_url is not None:
        return _open_shared(settings, clock, stack, database)
    engine = Engine(database, poll_seconds=settings.limits.poll_seconds, executor=EXECUTOR)
    store = SqlStore(database, clock, engine.phases_of)
    path = settings.server.state_dir / INBOX_FILE
    inbox = Inbox(path, clock, max_pending=settings.limits.inbox_pending)
    stack.callback(inbox.close)
    return State(engine=engine, store=store, inbox=inbox, board=SqlBoard(store, clock))


def _open_shared(settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, database: Database) -> State:
    url, limits = store_url(settings), settings.limits
    member = Member(executor=_new_executor(), lease_seconds=limits.lease_seconds)
    engine = Engine(database, poll_seconds=limits.poll_seconds, executor=member.executor)
    store = SqlStore(database, clock, engine.phases_of, member)
    inbox = PostgresInbox(url, clock, max_pending=limits.inbox_pending)
    stack.callback(inbox.close)
    board = SqlBoard(store, clock, publish_change)
    stack.callback(Notices(url, board.wake).close)
    beats = open_postgres(url, serialised=False)
    stack.callback(beats.dispose)
    lengths = Lengths(lease=limits.lease_seconds, beat=limits.beat_seconds, stuck=limits.stuck_seconds)
    keeper = Keeper(Leases(beats, member), lengths, engine.take_over)
    return State(engine=engine, store=store, inbox=inbox, board=board, keeper=keeper)


def _new_executor() -> str:
    """Return an id that no process had before: one that comes back from the dead is not taken for its successor."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(6)}"
