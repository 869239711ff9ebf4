"""Linked accounts, the codes that link them, and who typed wrong ones."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, func, select

from bot.domain.linking import WRONG_WINDOW, CodeOffer, LinkedAccount
from bot.store.incidents import changed_rows
from bot.store.rows import AccountLinkRow, LinkCodeRow, WrongCodeRow


class SqlAccountLinks:
    """`bot.ports.work.AccountLinks` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, channel: str, account: str) -> LinkedAccount | None:
        row = self._session.get(AccountLinkRow, (channel, account))
        return _link(row) if row else None

    def of(self, person: str) -> Sequence[LinkedAccount]:
        query = select(AccountLinkRow).where(AccountLinkRow.person == person).order_by(col(AccountLinkRow.channel))
        return [_link(row) for row in self._session.exec(query)]

    def all(self) -> Sequence[LinkedAccount]:
        query = select(AccountLinkRow).order_by(col(AccountLinkRow.channel), col(AccountLinkRow.account))
        return [_link(row) for row in self._session.exec(query)]

    def add(self, link: LinkedAccount) -> None:
        self.remove(link.channel, link.account)
        mine = delete(AccountLinkRow).where(
            col(AccountLinkRow.person) == link.person, col(AccountLinkRow.channel) == link.channel
        )
        self._session.execute(mine)
        row = AccountLinkRow(channel=link.channel, account=link.account, person=link.person, linked_at=link.linked_at)
        self._session.add(row)
        self._session.flush()

    def remove(self, channel: str, account: str) -> bool:
        statement = delete(AccountLinkRow).where(
            col(AccountLinkRow.channel) == channel, col(AccountLinkRow.account) == account
        )
        return changed_rows(self._session.execute(statement)) == 1


class SqlLinkCodes:
    """`bot.ports.work.LinkCodes` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def offer(self, offer: CodeOffer) -> None:
        self._session.execute(delete(LinkCodeRow).where(col(LinkCodeRow.person) == offer.person))
        row = LinkCodeRow(person=offer.person, channel=offer.channel, digest=offer.digest, expires_at=offer.expires_at)
        self._session.add(row)
        self._session.flush()

    def take(self, digest: str) -> CodeOffer | None:
        row = self._session.exec(select(LinkCodeRow).where(LinkCodeRow.digest == digest)).first()
        if row is None:
            return None
        offer = CodeOffer(person=row.person, channel=row.channel, digest=row.digest, expires_at=row.expires_at)
        gone = self._session.execute(delete(LinkCodeRow).where(col(LinkCodeRow.digest) == digest))
        is_ours = changed_rows(gone) == 1  # where two type it at once, one gets it
        return offer if is_ours and self._now < offer.expires_at else None

    def count_wrong(self, channel: str, account: str, *, since: datetime) -> int:
        query = select(func.count()).where(
            WrongCodeRow.channel == channel, WrongCodeRow.account == account, col(WrongCodeRow.at) > since
        )
        return self._session.exec(query).one()

    def note_wrong(self, channel: str, account: str) -> None:
        self._session.execute(delete(WrongCodeRow).where(col(WrongCodeRow.at) < self._now - WRONG_WINDOW))
        self._session.add(WrongCodeRow(channel=channel, account=account, at=self._now))
        self._session.flush()


def _link(row: AccountLinkRow) -> LinkedAccount:
    return LinkedAccount(channel=row.channel, account=row.account, person=row.person, linked_at=row.linked_at)
