"""Images that people posted, by incident and digest; bounded in all."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from bot.domain.runs.image import MAX_STORED
from bot.store.rows import ImageRow

_FEW: Final = 20


class SqlImages:
    """`bot.ports.work.Images` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def put(self, incident: str, sha256: str, data: bytes) -> None:
        if self._session.get(ImageRow, (incident, sha256)) is None:
            self._forget(len(data))
            self._session.add(ImageRow(incident=incident, sha256=sha256, at=self._now, size=len(data), body=data))
            self._session.flush()

    def of(self, incident: str, digests: Sequence[str]) -> Mapping[str, bytes]:
        query = select(ImageRow).where(ImageRow.incident == incident, col(ImageRow.sha256).in_(digests))
        return {row.sha256: row.body for row in self._session.exec(query)}

    def _forget(self, coming: int) -> None:
        """Make room: the oldest go, a few at a time."""
        while True:
            kept = self._session.exec(select(func.coalesce(func.sum(ImageRow.size), 0))).one()
            if kept + coming <= MAX_STORED:
                return
            oldest = select(ImageRow.incident, ImageRow.sha256).order_by(col(ImageRow.at), col(ImageRow.sha256))
            for incident, sha256 in self._session.exec(oldest.limit(_FEW)).all():
                mine = (col(ImageRow.incident) == incident, col(ImageRow.sha256) == sha256)
                self._session.execute(delete(ImageRow).where(*mine))
