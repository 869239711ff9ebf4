"""Changes that other systems told of."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlmodel import Session, col, select

from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.suspects.told_change import ToldChange
from bot.store.rows import ToldRow

#: How long a change is kept; nothing older is ever suspected.
KEPT: Final = timedelta(days=90)
MAX_READ: Final = 200


class SqlToldChanges:
    """`bot.ports.work.ToldChanges` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def add(self, told: ToldChange) -> bool:
        if self._session.get(ToldRow, told.key) is not None:
            return False
        self._session.execute(delete(ToldRow).where(col(ToldRow.at) < self._now - KEPT))
        change = told.happened
        self._session.add(
            ToldRow(
                key=told.key,
                service=told.service,
                kind=change.kind.value,
                what=change.what,
                who=change.who,
                source=change.source,
                at=change.at,
            )
        )
        self._session.flush()
        return True

    def between(self, service: str, since: datetime, until: datetime) -> Sequence[Happened]:
        rows = self._session.exec(
            select(ToldRow)
            .where(col(ToldRow.service).in_(("", service)), col(ToldRow.at) >= since, col(ToldRow.at) <= until)
            .order_by(col(ToldRow.at).desc(), col(ToldRow.key))
            .limit(MAX_READ)
        )
        return [
            Happened(kind=WhatKind(row.kind), what=row.what, who=row.who, at=row.at, source=row.source) for row in rows
        ]
