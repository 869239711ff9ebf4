"""The store on SQLite."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text
from sqlmodel import SQLModel

from bot.domain.chat import Message
from bot.errors import Reason, Refused, Unavailable
from bot.store.board import SqlBoard
from bot.store.database import SqlStore, lock_state, migrate, open_engine
from bot.store.sessions import SqlSessions
from tests.contract.store_suite import (
    AlertMemoryContract,
    IncidentContract,
    KeepsakeContract,
    OutboxContract,
    PatchContract,
    StoreContract,
    StoreRig,
    TrailContract,
    incident,
)
from tests.worldkit import NOW, FixedClock, PhaseLog, make_store


@pytest.fixture
def rig(tmp_path) -> StoreRig:
    clock = FixedClock()
    phases = PhaseLog(clock)
    return StoreRig(
        store=make_store(tmp_path, clock, phases),
        clock=clock,
        phases=phases,
        another=lambda: make_store(tmp_path, clock, phases, fresh=False),
    )


class TestStore(StoreContract):
    """Units of work."""


class TestIncidents(IncidentContract):
    """Incidents."""


class TestAlerts(AlertMemoryContract):
    """What is known of each alert."""


class TestPatches(PatchContract):
    """Stages, drafts, approvals, CI runs."""


class TestOutbox(OutboxContract):
    """Effects, postings, chat events, phases."""


class TestKeepsakes(KeepsakeContract):
    """Past incidents and told changes."""


class TestTrail(TrailContract):
    """The timeline."""


def sqlite_store(rig: StoreRig) -> SqlStore:
    assert isinstance(rig.store, SqlStore)
    return rig.store


def pragma(store: SqlStore, name: str) -> str:
    with store.engine.connect() as connection:
        return str(connection.execute(text(f"PRAGMA {name}")).scalar())


def test_the_migrations_make_the_tables_that_the_code_expects(rig):
    with sqlite_store(rig).engine.connect() as connection:
        options = {
            "version_table": "nightshift_version",
            # The text index and the tables that SQLite keeps for it.
            "include_object": lambda _object, name, kind, *_rest: kind != "table" or not name.startswith("past_text"),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_migrating_again_changes_nothing(rig):
    store = sqlite_store(rig)
    with store.begin() as work:
        work.incidents.add(incident())
    migrate(store.engine)
    with store.begin() as work:
        assert work.incidents.get("INC-1").key == "k"


def test_commits_are_on_disk_before_they_are_done(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    store = SqlStore(engine, FixedClock(), PhaseLog(FixedClock()).of_session)
    assert (pragma(store, "synchronous"), pragma(store, "journal_mode"), pragma(store, "foreign_keys")) == (
        "2",
        "wal",
        "1",
    )
    engine.dispose()


def test_a_full_disk_is_unavailable_everywhere_and_recovers_by_itself(rig):
    store = sqlite_store(rig)
    board, sessions = SqlBoard(store, rig.clock), SqlSessions(store)
    message = Message(incident="INC-1", slot="card", headline="x" * 200_000)
    limit = [int(pragma(store, "page_count"))]

    @event.listens_for(store.engine, "begin")
    def fill(connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0]}")

    with pytest.raises(Unavailable), store.begin() as work:
        work.effects.intend("k", "t", {"text": "x" * 200_000})
    with pytest.raises(Unavailable):
        board.put("m1", message)
    with pytest.raises(Unavailable):
        sessions.create_session("x" * 200_000, "0" * 64, NOW)
    limit[0] = 1_000_000
    with store.begin() as work:
        assert work.effects.intend("k", "t", {"text": "x" * 200_000})
    board.put("m1", message)


def test_a_locked_database_is_unavailable_and_recovers(rig, tmp_path):
    store = sqlite_store(rig)
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA busy_timeout=1"))
    other = sqlite3.connect(tmp_path / "nightshift.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as trouble, store.begin():
        pass
    assert trouble.value.retry_after
    other.execute("ROLLBACK")
    other.close()
    with store.begin() as work:
        work.incidents.add(incident())


class TestListeners:
    @pytest.fixture
    def told(self, rig) -> list[str]:
        told: list[str] = []
        sqlite_store(rig).on_commit(told.extend)
        return told

    def test_hear_of_new_promises(self, rig, told):
        with rig.store.begin() as work:
            work.effects.intend("k", "t", {})
            assert not told, "not before it is committed"
        assert told == ["t"]

    def test_do_not_hear_of_anything_else(self, rig, told):
        with rig.store.begin() as work:
            work.effects.intend("k", "t", {})
        told.clear()
        with rig.store.begin() as work:
            work.effects.intend("k", "t", {})
            work.effects.next_of("t")
            work.timeline.append("INC-1", "a", "b", "c")
        assert not told

    def test_do_not_hear_of_what_was_rolled_back(self, rig, told):
        with pytest.raises(RuntimeError), rig.store.begin() as work:  # noqa: PT012 -- the unit fails as a whole
            work.effects.intend("k", "t", {})
            raise RuntimeError
        assert not told


class TestTheStateFolder:
    def test_belongs_to_one_process(self, tmp_path):
        held = lock_state(tmp_path / "state")
        with pytest.raises(Refused) as refusal:
            lock_state(tmp_path / "state")
        assert refusal.value.reason is Reason.CONFLICT
        held.close()
        lock_state(tmp_path / "state").close()

    def test_is_for_its_owner_alone(self, tmp_path):
        lock_state(tmp_path / "state").close()
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    path = tmp_path / "nightshift.db"
    path.write_text("Not a database at all, but somebody's notes.\n")
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(Refused, match=r"nightshift\.db cannot be read .*Put a backup in its place") as refusal:
        migrate(engine)
    engine.dispose()
    assert refusal.value.reason is Reason.BAD_INPUT
    assert path.read_text() == "Not a database at all, but somebody's notes.\n"
