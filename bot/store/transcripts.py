"""The rows of model runs, append-only."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from bot.domain.transcript import Step, StepKind
from bot.store.rows import StepRow


class SqlTranscripts:
    """`bot.ports.work.Transcripts` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def add(self, step: Step) -> bool:
        count = self._session.exec(select(func.count()).where(StepRow.run == step.run)).one()
        if step.seq != count:
            return False
        self._session.add(
            StepRow(run=step.run, seq=step.seq, kind=step.kind.value, key=step.key, at=self._now, body=step.body)
        )
        self._session.flush()
        return True

    def of(self, run: str) -> tuple[Step, ...]:
        query = select(StepRow).where(StepRow.run == run).order_by(col(StepRow.seq))
        return tuple(
            Step(run=row.run, seq=row.seq, kind=StepKind(row.kind), key=row.key, body=row.body)
            for row in self._session.exec(query)
        )
