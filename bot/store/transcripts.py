"""The rows of model runs, append-only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, func, insert
from sqlalchemy.types import TypeEngine
from sqlmodel import Session, SQLModel, col, select

from bot.domain.runs.transcript import Step, StepKind
from bot.store.rows import StageRow, StepRow
from bot.store.trouble import as_unavailable

_TABLE = SQLModel.metadata.tables["step"]
_COLUMNS = ("run", "seq", "kind", "key", "at", "body")
_VALUES = {name: bindparam(f"new_{name}", type_=_TABLE.c[name].type) for name in _COLUMNS}
_NEWEST = select(func.max(_TABLE.c.seq)).where(_TABLE.c.run == _VALUES["run"]).scalar_subquery()
_IS_NEXT = func.coalesce(_NEWEST, -1) + 1 == _VALUES["seq"]
_INSERT = insert(_TABLE).from_select(_COLUMNS, select(*_VALUES.values()).where(_IS_NEXT))
_COUNTED = {"preserve_rowcount": True}
"""Else psycopg's count of an INSERT is lost, and every row looks refused."""


class StepWriter:
    """Appends rows of model runs, each in a transaction of its own.

    Two are written for each step of the agent, so the statement is compiled once and goes to the driver as it is. On
    SQLite it is a transaction of its own that begins by writing: a row costs 0.13 to 0.15 ms of CPU, in a transaction
    of SQLAlchemy's 0.35, and on a connection that nobody shares 0.1 (measured).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        compiled = _INSERT.compile(dialect=engine.dialect)
        self._statement = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._order: Sequence[str] | None = compiled.positiontup if compiled.positional else None
        own_type: TypeEngine[datetime] = _TABLE.c.at.type.dialect_impl(engine.dialect)
        self._write_time = own_type.bind_processor(engine.dialect) or _as_it_is

    def add(self, step: Step, at: datetime) -> bool:
        """Append a row; False when another stands in its place, or one before it is missing. Raises `Unavailable`."""
        values = {
            **self._constants,
            "new_run": step.run,
            "new_seq": step.seq,
            "new_kind": step.kind.value,
            "new_key": step.key,
            "new_at": self._write_time(at),
            "new_body": step.body,
        }
        given = values if self._order is None else tuple(values[name] for name in self._order)
        with as_unavailable():
            if self._is_sqlite:
                return self._add_alone(given)
            with self._engine.begin() as connection:
                return connection.exec_driver_sql(self._statement, given, execution_options=_COUNTED).rowcount == 1

    def _add_alone(self, given: Sequence[Any] | Mapping[str, Any]) -> bool:
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(self._statement, given)
            return cursor.rowcount == 1
        finally:
            connection.close()


def _as_it_is(at: datetime) -> object:
    return at


class SqlTranscripts:
    """`bot.ports.work.Transcripts` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, run: str) -> tuple[Step, ...]:
        query = select(StepRow).where(StepRow.run == run).order_by(col(StepRow.seq))
        return tuple(
            Step(run=row.run, seq=row.seq, kind=StepKind(row.kind), key=row.key, body=row.body)
            for row in self._session.exec(query)
        )

    def times(self, run: str) -> Mapping[int, datetime]:
        return dict(self._session.exec(select(StepRow.seq, StepRow.at).where(StepRow.run == run)).all())


def read_times(session: Session, run: str) -> tuple[Mapping[str, datetime], Mapping[int, datetime]]:
    """Return when each stage of a run was stored, and when each row of its model."""
    stages = session.exec(select(StageRow.stage, StageRow.at).where(StageRow.run == run))
    steps = session.exec(select(StepRow.seq, StepRow.at).where(StepRow.run == run))
    return dict(stages.all()), dict(steps.all())
