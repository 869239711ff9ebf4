"""The web board: messages by reference, and who watches them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from sqlmodel import Session, col, select

from bot.domain.approval import Approval
from bot.domain.chat import Message
from bot.domain.incident import Incident
from bot.domain.watch import leave_out_looks
from bot.errors import Refused
from bot.ports.board import BoardMessage, IncidentPage, PatchPage
from bot.ports.clock import Clock
from bot.ports.work import Store, UnitOfWork
from bot.services.rollout import find_statement
from bot.store.codec import MESSAGE
from bot.store.database import SqlStore, open_session
from bot.store.rows import BoardRow

BOOKKEEPING = frozenset({"posted"})


class SqlBoard:
    """`bot.ports.board.Board` and `Shelf`.

    `publish` tells other processes of a change, with the transaction that makes it.
    """

    def __init__(self, store: SqlStore, clock: Clock, publish: Callable[[Session, str], None] | None = None) -> None:
        self._store: Store = store
        self._engine = store.engine
        self._clock = clock
        self._publish = publish
        self._watchers: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[str]]] = set()

    def put(self, ref: str, message: Message) -> None:
        now = self._clock.now()
        with open_session(self._engine) as session:
            row = session.exec(select(BoardRow).where(BoardRow.ref == ref)).first()
            if row is None:
                row = BoardRow(ref=ref, incident=message.incident, posted_at=now, body=MESSAGE.dump(message))
            elif row.body != (body := MESSAGE.dump(message)):
                row.body, row.edited_at = body, now
            session.add(row)
            if self._publish is not None:
                self._publish(session, message.incident)
        if self._publish is None:
            self.wake(message.incident)

    def wake(self, incident: str) -> None:
        """Tell who watches in this process that an incident's page changed. Callable from any thread."""
        for loop, queue in list(self._watchers):
            loop.call_soon_threadsafe(queue.put_nowait, incident)

    def incidents(self, limit: int = 100) -> Sequence[Incident]:
        with self._store.begin() as work:
            return work.incidents.recent(limit)

    def _thread(self, incident: str) -> tuple[BoardMessage, ...]:
        with open_session(self._engine) as session:
            rows = session.exec(select(BoardRow).where(BoardRow.incident == incident).order_by(col(BoardRow.seq)))
            return tuple(_message(row) for row in rows)

    def news(self, limit: int = 3) -> Sequence[BoardMessage]:
        apart = select(BoardRow).where(BoardRow.incident == "").order_by(col(BoardRow.seq).desc()).limit(limit)
        with open_session(self._engine) as session:
            return [_message(row) for row in session.exec(apart)]

    def page(self, incident: str) -> IncidentPage | None:
        thread = self._thread(incident)
        try:
            with self._store.begin() as work:
                return IncidentPage(
                    incident=work.incidents.get(incident),
                    thread=thread,
                    timeline=tuple(e for e in leave_out_looks(work.timeline.of(incident)) if e.kind not in BOOKKEEPING),
                )
        except Refused:
            return None

    def patch(self, incident: str, digest: str) -> PatchPage | None:
        try:
            with self._store.begin() as work:
                draft = work.drafts.get(incident, digest)
                return PatchPage(
                    incident=work.incidents.get(incident),
                    draft=draft,
                    approval=_approval(work, incident, draft.digest),
                    statement=_statement(work, incident, draft.digest),
                    runs=tuple(run for known, run in work.ci_runs.of(incident) if known == draft.digest),
                )
        except Refused:
            return None

    def patch_text(self, incident: str, digest: str) -> str | None:
        try:
            with self._store.begin() as work:
                return work.drafts.get(incident, digest).patch.text.decode(errors="surrogateescape")
        except Refused:
            return None

    def put_image(self, incident: str, sha256: str, data: bytes) -> str:
        with self._store.begin() as work:
            work.images.put(work.incidents.get(incident).id, sha256, data)
        return f"{incident}/{sha256}"

    def image(self, ref: str) -> bytes | None:
        incident, _, sha256 = ref.partition("/")
        with self._store.begin() as work:
            return work.images.of(incident, (sha256,)).get(sha256)

    async def watch(self) -> AsyncIterator[str]:
        entry = (asyncio.get_running_loop(), asyncio.Queue[str](maxsize=0))
        self._watchers.add(entry)
        try:
            while True:
                yield await entry[1].get()
        finally:
            self._watchers.discard(entry)


def _statement(work: UnitOfWork, incident: str, digest: str) -> bytes | None:
    try:
        return find_statement(work, incident, digest)
    except Refused:
        return None


def _approval(work: UnitOfWork, incident: str, digest: str) -> Approval | None:
    """A draft may stand there before it is put up for approval."""
    return next((approval for approval in work.approvals.of(incident) if approval.digest == digest), None)


def _message(row: BoardRow) -> BoardMessage:
    return BoardMessage(ref=row.ref, message=MESSAGE.load(row.body), posted_at=row.posted_at, edited_at=row.edited_at)
