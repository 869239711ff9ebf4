"""Past incidents by their words: FTS5 on SQLite, a text search vector on PostgreSQL."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from bot.domain.past import PastIncident
from bot.store.rows import PastRow

MAX_FOUND: Final = 20
_SQLITE: Final = text(
    "SELECT incident FROM past_text WHERE past_text MATCH :words AND incident != :but ORDER BY rank LIMIT :most"
)
_POSTGRES: Final = text(
    "SELECT incident FROM past_incident WHERE to_tsvector('simple', words) @@ to_tsquery('simple', :words) "
    "AND incident != :but "
    "ORDER BY ts_rank(to_tsvector('simple', words), to_tsquery('simple', :words)) DESC, incident LIMIT :most"
)


class SqlPastIncidents:
    """`bot.ports.work.PastIncidents` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_sqlite = session.get_bind().dialect.name == "sqlite"

    def keep(self, past: PastIncident) -> None:
        row = self._session.get(PastRow, past.incident) or PastRow(incident=past.incident)
        row.service, row.title, row.fix = past.service, past.title, past.fix
        row.words, row.at = " ".join(past.words), past.at
        self._session.add(row)
        self._session.flush()
        if self._is_sqlite:
            values = {"incident": past.incident, "words": row.words}
            self._session.execute(text("DELETE FROM past_text WHERE incident = :incident"), values)
            self._session.execute(text("INSERT INTO past_text (incident, words) VALUES (:incident, :words)"), values)

    def like(self, words: Sequence[str], *, but: str) -> Sequence[PastIncident]:
        plain = [word for word in words if word.isascii() and word.replace("_", "").isalnum()]
        if not plain:
            return ()
        sought = " OR ".join(f'"{word}"' for word in plain) if self._is_sqlite else " | ".join(plain)
        statement = _SQLITE if self._is_sqlite else _POSTGRES
        found = self._session.execute(statement, {"words": sought, "but": but, "most": MAX_FOUND}).scalars().all()
        rows = {
            row.incident: row for row in self._session.exec(select(PastRow).where(col(PastRow.incident).in_(found)))
        }
        return [_past(rows[incident]) for incident in found if incident in rows]


def _past(row: PastRow) -> PastIncident:
    return PastIncident(
        incident=row.incident,
        service=row.service,
        title=row.title,
        fix=row.fix,
        words=tuple(row.words.split()),
        at=row.at,
    )
