"""The rows of model runs, append-only."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import bindparam, func, insert
from sqlmodel import Session, SQLModel, col, select

from bot.domain.transcript import Step, StepKind
from bot.store.incidents import changed_rows
from bot.store.rows import StageRow, StepRow

# Two rows a step: one plain statement costs half of what mapped objects do (0.4 ms, measured).
_TABLE = SQLModel.metadata.tables["step"]
_COLUMNS = ("run", "seq", "kind", "key", "at", "body")
_VALUES = {name: bindparam(f"new_{name}", type_=_TABLE.c[name].type) for name in _COLUMNS}
_NEWEST = select(func.max(_TABLE.c.seq)).where(_TABLE.c.run == _VALUES["run"]).scalar_subquery()
_IS_NEXT = func.coalesce(_NEWEST, -1) + 1 == _VALUES["seq"]
_INSERT = (
    insert(_TABLE)
    .from_select(_COLUMNS, select(*_VALUES.values()).where(_IS_NEXT))
    .execution_options(preserve_rowcount=True)  # else psycopg's count of an INSERT is lost, and every row looks refused
)


class SqlTranscripts:
    """`bot.ports.work.Transcripts` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def add(self, step: Step) -> bool:
        row = {"run": step.run, "seq": step.seq, "kind": step.kind.value, "key": step.key, "body": step.body}
        values = {f"new_{name}": value for name, value in (row | {"at": self._now}).items()}
        return changed_rows(self._session.execute(_INSERT, values)) == 1

    def of(self, run: str) -> tuple[Step, ...]:
        query = select(StepRow).where(StepRow.run == run).order_by(col(StepRow.seq))
        return tuple(
            Step(run=row.run, seq=row.seq, kind=StepKind(row.kind), key=row.key, body=row.body)
            for row in self._session.exec(query)
        )


def read_times(session: Session, run: str) -> tuple[Mapping[str, datetime], Mapping[int, datetime]]:
    """Return when each stage of a run was stored, and when each row of its model."""
    stages = session.exec(select(StageRow.stage, StageRow.at).where(StageRow.run == run))
    steps = session.exec(select(StepRow.seq, StepRow.at).where(StepRow.run == run))
    return dict(stages.all()), dict(steps.all())
