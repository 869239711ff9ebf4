"""PostgreSQL, for several front processes on one database.

Every transaction of the store takes one advisory lock first, as SQLite's BEGIN IMMEDIATE does: units follow one
another over all processes, so that the timeline's chain has no gap, effects get their numbers in the order of their
commits, and what holds on SQLite holds here. A process that is stopped in the middle of a unit loses its session, and
with it the lock, after `UNIT_IDLE_MS`.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from bot.errors import ConfigError, Problem

UNIT_LOCK: Final = 5_640_001
REAPER_LOCK: Final = 5_640_002
UNIT_IDLE_MS: Final = 5_000
LOCK_WAIT_MS: Final = 10_000
STATEMENT_MS: Final = 30_000
POOL: Final = 5
BOARD_CHANNEL: Final = "nightshift_board"

_SESSION: Final = {
    "idle_in_transaction_session_timeout": UNIT_IDLE_MS,
    "lock_timeout": LOCK_WAIT_MS,
    "statement_timeout": STATEMENT_MS,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 2,
}
CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "application_name": "nightshift",
    "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
}
"""How every connection is opened: a server or a client that went away without a word is noticed within seconds."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of several front processes on a database. Its `executor` id is new at each start."""

    executor: str
    lease_seconds: float


def driver_url(url: str) -> str:
    """Return the address for the driver we use. Raises `ConfigError`, which does not repeat the address."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        what = "is no address of a database; write postgresql+psycopg://user:password@host/name"
        raise ConfigError([Problem(where="database_url", what=what)]) from None
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def open_postgres(url: str, *, serialised: bool = True) -> Engine:
    """Open a database. Without `serialised` its transactions wait for no unit of the store: for leases alone."""
    size = POOL if serialised else 2
    engine = create_engine(url, connect_args=CONNECT, pool_pre_ping=True, pool_size=size, max_overflow=0)
    if serialised:

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's event signature
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UNIT_LOCK})")

    return engine


def libpq_url(url: str) -> str:
    """Return the address as psycopg itself reads it, for connections outside a pool."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
