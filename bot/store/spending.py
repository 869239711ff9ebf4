"""What runs of the model used, a row for each run and day."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlmodel import Session, SQLModel, col

from bot.domain.models.spending import Spent
from bot.store.rows import SpendRow

_TABLE: Final = SQLModel.metadata.tables["model_spend"]
_NAMES: Final = tuple(measure.name for measure in fields(Spent))
_SUMS: Final = tuple(func.coalesce(func.sum(_TABLE.c[name]), 0) for name in _NAMES)


class SqlModelSpend:
    """`bot.ports.work.ModelSpend` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now
        self._day = now.astimezone(UTC).date().isoformat()

    def charge(self, run: str, service: str, spent: Spent) -> None:
        counted = self._session.execute(select(*_SUMS).where(_TABLE.c.run == run)).one()
        new = spent.minus(_read(counted))
        row = self._row(run, service)
        for name, amount in new.measures():
            setattr(row, name, getattr(row, name) + amount)
        self._session.add(row)
        self.release(run)

    def reserve(self, run: str, service: str, amount: Spent, until: datetime) -> None:
        row = self._row(run, service)
        row.held, row.held_until = dict(amount.measures()), until
        self._session.add(row)
        self._session.flush()

    def release(self, run: str) -> None:
        self._session.flush()
        held = col(SpendRow.held_until).is_not(None)
        self._session.execute(update(SpendRow).where(col(SpendRow.run) == run, held).values(held_until=None))

    def today(self) -> Mapping[str, Spent]:
        mine = _TABLE.c.day == self._day
        query = select(_TABLE.c.service, *_SUMS).where(mine).group_by(_TABLE.c.service)
        spent = {row[0]: _read(row[1:]) for row in self._session.execute(query)}
        held = select(_TABLE.c.service, _TABLE.c.held).where(_TABLE.c.held_until > self._now)
        for service, amount in self._session.execute(held):
            spent[service] = spent.get(service, Spent()).plus(Spent(**amount))
        return spent

    def _row(self, run: str, service: str) -> SpendRow:
        row = self._session.get(SpendRow, (run, self._day), populate_existing=True)
        return row or SpendRow(run=run, day=self._day, service=service)


def _read(sums: Any) -> Spent:  # noqa: ANN401 -- a row of SQLAlchemy
    """Return a row of sums; PostgreSQL adds whole numbers up to decimals."""
    spent: Any = {
        name: float(value) if name.endswith("seconds") else int(value) for name, value in zip(_NAMES, sums, strict=True)
    }
    return Spent(**spent)
