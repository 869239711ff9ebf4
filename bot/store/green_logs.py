"""The last green log of every job, packed: 256 KiB of text are some 20 KiB."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete
from sqlmodel import Session, col, select

from bot.domain.ci_logs.jobs import MAX_JOBS, MAX_LOG, GreenLog
from bot.store.rows import GreenLogRow

_MAX_BYTES: Final = 4 * MAX_LOG


class SqlGreenLogs:
    """`bot.ports.work.GreenLogs` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, repository: str, logs: Sequence[GreenLog]) -> None:
        for log in logs:
            row = self._session.get(GreenLogRow, (repository, log.job))
            if row is not None and row.at > log.at:
                continue
            row = row or GreenLogRow(repository=repository, job=log.job, sha="", at=log.at, body=b"")
            row.sha, row.at, row.body = log.sha, log.at, zlib.compress(log.text.encode("utf-8", "replace"))
            self._session.add(row)
        self._forget(repository)

    def of(self, repository: str, jobs: Sequence[str]) -> Mapping[str, GreenLog]:
        query = select(GreenLogRow).where(GreenLogRow.repository == repository, col(GreenLogRow.job).in_(jobs))
        return {
            row.job: GreenLog(job=row.job, sha=row.sha, at=row.at, text=_unpack(row.body))
            for row in self._session.exec(query)
        }

    def _forget(self, repository: str) -> None:
        mine = select(GreenLogRow.job).where(GreenLogRow.repository == repository)
        old = self._session.exec(mine.order_by(col(GreenLogRow.at).desc(), col(GreenLogRow.job)).offset(MAX_JOBS)).all()
        if old:
            gone = delete(GreenLogRow).where(col(GreenLogRow.repository) == repository, col(GreenLogRow.job).in_(old))
            self._session.execute(gone)


def _unpack(body: bytes) -> str:
    return zlib.decompressobj().decompress(body, _MAX_BYTES).decode("utf-8", "replace")
