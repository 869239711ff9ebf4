"""Sign-in links and web sessions. Only digests of tokens are kept."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import col

from bot.store.database import SqlStore, open_session
from bot.store.incidents import changed_rows
from bot.store.rows import SigninLinkRow, WebSessionRow


class SqlSessions:
    """`bot.ports.sessions.SessionStore` over SQL."""

    def __init__(self, store: SqlStore) -> None:
        self._engine = store.engine

    def create_link(self, person: str, token_hash: str, expires: datetime) -> None:
        with open_session(self._engine) as session:
            session.add(SigninLinkRow(token_hash=token_hash, person=person, expires_at=expires))

    def find_link(self, token_hash: str, now: datetime) -> str | None:
        with open_session(self._engine) as session:
            row = session.get(SigninLinkRow, token_hash)
            return row.person if row is not None and now < row.expires_at else None

    def consume_link(self, token_hash: str, now: datetime) -> str | None:
        with open_session(self._engine) as session:
            row = session.get(SigninLinkRow, token_hash)
            if row is None:
                return None
            person = row.person if now < row.expires_at else None
            gone = session.execute(delete(SigninLinkRow).where(col(SigninLinkRow.token_hash) == token_hash))
            return person if changed_rows(gone) == 1 else None

    def create_session(self, person: str, token_hash: str, expires: datetime) -> None:
        with open_session(self._engine) as session:
            session.add(WebSessionRow(token_hash=token_hash, person=person, expires_at=expires))

    def find_session(self, token_hash: str, now: datetime) -> str | None:
        with open_session(self._engine) as session:
            row = session.get(WebSessionRow, token_hash)
            return row.person if row is not None and now < row.expires_at else None

    def end_session(self, token_hash: str) -> None:
        with open_session(self._engine) as session:
            session.execute(delete(WebSessionRow).where(col(WebSessionRow.token_hash) == token_hash))
