"""Opening the database, and the unit of work over it."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlmodel import Session

from bot.domain.runs.transcript import Step
from bot.errors import Reason, Refused
from bot.ports.clock import Clock
from bot.ports.faults import reach
from bot.ports.work import (
    AccountLinks,
    Alerts,
    Approvals,
    ChatEvents,
    CIRuns,
    Deliveries,
    Drafts,
    Effects,
    GreenLogs,
    Images,
    Incidents,
    Investigations,
    LinkCodes,
    ModelSpend,
    PastIncidents,
    Phases,
    Postings,
    Switches,
    Timeline,
    ToldChanges,
    Transcripts,
    UnitOfWork,
)
from bot.store.green_logs import SqlGreenLogs
from bot.store.images import SqlImages
from bot.store.incidents import SqlAlerts, SqlIncidents, SqlInvestigations
from bot.store.leases import FileTaken, SqlTaken
from bot.store.linking import SqlAccountLinks, SqlLinkCodes
from bot.store.outbox import PROMISED, SqlChatEvents, SqlEffects, SqlPostings, SqlSwitches, SqlTimeline
from bot.store.past import SqlPastIncidents
from bot.store.patches import SqlApprovals, SqlCIRuns, SqlDrafts
from bot.store.postgres import Member, open_postgres
from bot.store.spending import SqlModelSpend
from bot.store.told import SqlToldChanges
from bot.store.transcripts import SqlTranscripts, StepWriter
from bot.store.trouble import as_unavailable
from bot.store.turn import Turn

BUSY_MS = 10_000
NEWEST = "0009"
VERSION_TABLE = "nightshift_version"


def open_engine(url: str) -> Engine:
    """Open a database. SQLite: WAL, synchronous=FULL, and BEGIN IMMEDIATE, since a deferred transaction that
    turns from reading to writing fails at once when another one wrote meanwhile (measured).

    Its first use raises `Refused` where the file is no database.
    """
    if not url.startswith("sqlite"):
        return open_postgres(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise Refused(
                f"{engine.url.database} cannot be read ({error}). Put a backup in its place (nightshift restore), or "
                "move it away to begin anew.",
                Reason.BAD_INPUT,
            ) from error
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's event signature
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def open_session(engine: Engine) -> Iterator[Session]:
    """Open one transaction; commits at the end, rolls back when the block raises. Raises `Unavailable`."""
    with as_unavailable(), Session(engine, expire_on_commit=False) as session, session.begin():
        session.connection()  # begins now, so that a unit's time is read when its turn has come
        yield session


def read_revision(connection: Connection) -> str:
    """Return the revision of the tables, "" where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")))  # noqa: S608 -- a constant


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest revision. Alembic is loaded only when there is something to do: it costs 0.2 s."""
    with engine.connect() as connection:
        if read_revision(connection) == NEWEST:
            return
    from alembic import command  # noqa: PLC0415 -- see above
    from alembic.config import Config  # noqa: PLC0415 -- see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def lock_state(folder: Path) -> IO[str]:
    """Make sure that this is the only front process on a state folder; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = (folder / "lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise Refused(
            f"Another Nightshift runs on {folder}. Stop it, or choose another server.state_dir.", Reason.CONFLICT
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


@dataclass
class SqlUnit:
    """`bot.ports.work.UnitOfWork` over one session."""

    now: datetime
    incidents: Incidents
    alerts: Alerts
    investigations: Investigations
    transcripts: Transcripts
    drafts: Drafts
    approvals: Approvals
    ci_runs: CIRuns
    green_logs: GreenLogs
    effects: Effects
    deliveries: Deliveries
    postings: Postings
    timeline: Timeline
    chat_events: ChatEvents
    phases: Phases
    switches: Switches
    told_changes: ToldChanges
    past_incidents: PastIncidents
    account_links: AccountLinks
    link_codes: LinkCodes
    model_spend: ModelSpend
    images: Images


def _unit(session: Session, now: datetime, phases: Phases, member: Member | None) -> SqlUnit:
    return SqlUnit(
        now=now,
        incidents=SqlIncidents(session),
        alerts=SqlAlerts(session, now),
        investigations=SqlInvestigations(session, now),
        transcripts=SqlTranscripts(session),
        drafts=SqlDrafts(session),
        approvals=SqlApprovals(session),
        ci_runs=SqlCIRuns(session, now),
        green_logs=SqlGreenLogs(session),
        effects=SqlEffects(session, now, member),
        deliveries=SqlTaken(session) if member else FileTaken(),
        postings=SqlPostings(session),
        timeline=SqlTimeline(session, now),
        chat_events=SqlChatEvents(session, now),
        phases=phases,
        switches=SqlSwitches(session),
        told_changes=SqlToldChanges(session, now),
        past_incidents=SqlPastIncidents(session),
        account_links=SqlAccountLinks(session),
        link_codes=SqlLinkCodes(session, now),
        model_spend=SqlModelSpend(session, now),
        images=SqlImages(session, now),
    )


class SqlStore:
    """`bot.ports.work.Store`. `phases` makes the phase queue of one session, so that a phase starts with its commit.

    `member` is set where this is one of several processes on one database.
    """

    def __init__(
        self, engine: Engine, clock: Clock, phases: Callable[[Session], Phases], member: Member | None = None
    ) -> None:
        self.engine = engine
        self._clock = clock
        self._phases = phases
        self._member = member
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self._steps = StepWriter(engine)
        self._turn = Turn(BUSY_MS / 1000) if engine.dialect.name == "sqlite" else nullcontext()

    def on_commit(self, listener: Callable[[Collection[str]], None]) -> None:
        """Tell `listener` the targets of new effects after each commit that holds some, in the committing thread; it
        must not block.

        Not after every commit: whoever looks for effects opens a unit too, and would wake itself for ever.
        """
        self._listeners.append(listener)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        with self._turn, open_session(self.engine) as session:
            yield _unit(session, self._clock.now(), self._phases(session), self._member)
            reach("store.commit.before")
        reach("store.commit.after")
        if targets := session.info.get(PROMISED):
            for listener in self._listeners:
                listener(targets)

    def append(self, step: Step) -> bool:
        return self._steps.add(step, self._clock.now())
