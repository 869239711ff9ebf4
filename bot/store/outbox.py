"""Effects, the messages they left in chat, the timeline, and chat events seen."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import or_, update
from sqlmodel import Session, col, func, select

from bot.domain.chat import Reply
from bot.domain.text.storable import make_storable
from bot.domain.timeline import GENESIS, TimelineEvent, hash_event, parse_anchor
from bot.ports.work import Effect, EffectState
from bot.store.codec import APPROVAL
from bot.store.incidents import changed_rows
from bot.store.leases import hold_target, release_target
from bot.store.postgres import Member
from bot.store.rows import ApprovalRow, ChatEventRow, EffectRow, PostingRow, SwitchRow, TimelineRow

KEPT: Final = "held:"
"""Targets of what waits for the end of a pause: no part of the backlog, because nothing is late."""
PROMISED: Final = "nightshift-promised"
"""In a session's `info` the targets of its new effects."""


def _effect(row: EffectRow) -> Effect:
    return Effect(
        key=row.key,
        target=row.target,
        seq=row.seq or 0,
        state=EffectState(row.state),
        payload=row.payload,
        not_before=row.not_before,
        attempts=row.attempts,
    )


def _late_since(row: EffectRow) -> datetime:
    return row.created_at if row.attempts or row.not_before is None else row.not_before


class SqlEffects:
    """`bot.ports.work.Effects` over SQL."""

    def __init__(self, session: Session, now: datetime, member: Member | None = None) -> None:
        self._session = session
        self._now = now
        self._member = member

    def hold(self, target: str) -> bool:
        return self._member is None or hold_target(self._session, self._member, target)

    def release(self, target: str) -> None:
        if self._member is not None:
            release_target(self._session, self._member, target)

    def intend(self, key: str, target: str, payload: Mapping[str, str], *, not_before: datetime | None = None) -> bool:
        if self.get(key) is not None:
            return False
        self._session.add(
            EffectRow(
                key=key,
                target=target,
                state=EffectState.INTENDED.value,
                payload=dict(payload),
                created_at=self._now,
                not_before=not_before,
            )
        )
        self._session.flush()
        self._session.info.setdefault(PROMISED, set()).add(target)
        return True

    def get(self, key: str) -> Effect | None:
        row = self._session.exec(select(EffectRow).where(EffectRow.key == key)).first()
        return _effect(row) if row else None

    def next_of(self, target: str, limit: int = 50) -> Sequence[Effect]:
        query = (
            select(EffectRow)
            .where(EffectRow.target == target, EffectRow.state == EffectState.INTENDED.value)
            .order_by(col(EffectRow.seq))
            .limit(limit)
        )
        return [_effect(row) for row in self._session.exec(query)]

    def promised(self, target: str, incident: str) -> Sequence[Mapping[str, str]]:
        query = (
            select(EffectRow.payload)
            .where(
                col(EffectRow.state).in_([state.value for state in EffectState]),  # the index begins with it
                EffectRow.target == target,
                col(EffectRow.key).contains(f":{incident}:", autoescape=True),
            )
            .order_by(col(EffectRow.seq))
        )
        found: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        for payload in self._session.exec(query):
            if payload.get("incident") == incident:
                found.setdefault(tuple(sorted(payload.items())), payload)
        return list(found.values())

    def targets(self, prefix: str) -> Sequence[str]:
        query = (
            select(EffectRow.target)
            .where(EffectRow.state == EffectState.INTENDED.value, col(EffectRow.target).startswith(prefix))
            .distinct()
        )
        return list(self._session.exec(query))

    def settle(self, key: str, state: EffectState, error: str = "") -> bool:
        statement = (
            update(EffectRow)
            .where(col(EffectRow.key) == key, col(EffectRow.state) == EffectState.INTENDED.value)
            .values(state=state.value, settled_at=self._now, error=make_storable(error[:2000]))
        )
        return changed_rows(self._session.execute(statement)) == 1

    def backlog(self) -> tuple[int, float]:
        due = or_(
            col(EffectRow.attempts) > 0, col(EffectRow.not_before).is_(None), col(EffectRow.not_before) <= self._now
        )
        query = select(func.count(), func.min(EffectRow.seq)).where(
            EffectRow.state == EffectState.INTENDED.value, ~col(EffectRow.target).startswith(KEPT), due
        )
        waiting, first = self._session.exec(query).one()
        row = self._session.get(EffectRow, first) if first is not None else None
        return waiting, max(0.0, (self._now - _late_since(row)).total_seconds()) if row else 0.0

    def defer(self, key: str, until: datetime, error: str) -> None:
        statement = (
            update(EffectRow)
            .where(col(EffectRow.key) == key)
            .values(not_before=until, attempts=EffectRow.attempts + 1, error=make_storable(error[:2000]))
        )
        self._session.execute(statement)


class SqlPostings:
    """`bot.ports.work.Postings` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ref(self, incident: str, channel: str, slot: str) -> str | None:
        row = self._session.get(PostingRow, (incident, channel, slot))
        return row.ref if row else None

    def put(self, incident: str, channel: str, slot: str, ref: str) -> None:
        self._session.merge(PostingRow(incident=incident, channel=channel, slot=slot, ref=ref))


def _event(row: TimelineRow) -> TimelineEvent:
    return TimelineEvent(
        seq=row.seq,
        at=row.at,
        incident=row.incident,
        kind=row.kind,
        actor=row.actor,
        text=row.text,
        data=row.data,
        previous=row.previous,
        hash=row.hash,
    )


class SqlTimeline:
    """`bot.ports.work.Timeline` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def append(
        self, incident: str, kind: str, actor: str, text: str, data: Mapping[str, str] | None = None
    ) -> TimelineEvent:
        seq, head = self.head()
        text = make_storable(text)  # before it is sealed: what is read back must be what was sealed
        data = {key: make_storable(value) for key, value in (data or {}).items()}
        draft = TimelineEvent(
            seq=seq + 1,
            at=self._now,
            incident=incident,
            kind=kind,
            actor=actor,
            text=text,
            data=data,
            previous=head,
        )
        row = TimelineRow(
            seq=draft.seq,
            at=draft.at,
            incident=incident,
            kind=kind,
            actor=actor,
            text=text,
            data=dict(draft.data),
            previous=head,
            hash=hash_event(draft),
        )
        self._session.add(row)
        self._session.flush()
        return _event(row)

    def head(self) -> tuple[int, str]:
        row = self._session.exec(select(TimelineRow).order_by(col(TimelineRow.seq).desc()).limit(1)).first()
        return (row.seq, row.hash) if row else (0, GENESIS)

    def of(self, incident: str) -> Sequence[TimelineEvent]:
        query = select(TimelineRow).where(TimelineRow.incident == incident).order_by(col(TimelineRow.seq))
        return [_event(row) for row in self._session.exec(query)]

    def since(self, seq: int, limit: int) -> Sequence[TimelineEvent]:
        query = select(TimelineRow).where(col(TimelineRow.seq) > seq).order_by(col(TimelineRow.seq)).limit(limit)
        return [_event(row) for row in self._session.exec(query)]

    def all(self) -> Sequence[TimelineEvent]:
        return [_event(row) for row in self._session.exec(select(TimelineRow).order_by(col(TimelineRow.seq)))]

    def anchors(self) -> Sequence[tuple[int, str]]:
        heads = (APPROVAL.load(row.body).audit_head for row in self._session.exec(select(ApprovalRow)))
        return [parse_anchor(head) for head in heads if head]


class SqlChatEvents:
    """`bot.ports.work.ChatEvents` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def claim(self, channel: str, event: str) -> Reply | None:
        row = self._session.get(ChatEventRow, (channel, event))
        if row is not None:
            return Reply(text=row.text or "This was handled already.", ok=row.ok)
        self._session.add(ChatEventRow(channel=channel, event=event, at=self._now))
        self._session.flush()
        return None

    def answer(self, channel: str, event: str, reply: Reply) -> None:
        row = self._session.get(ChatEventRow, (channel, event))
        if row is not None:
            row.text, row.ok = reply.text, reply.ok
            self._session.add(row)


class SqlSwitches:
    """`bot.ports.work.Switches` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, name: str) -> str:
        row = self._session.get(SwitchRow, name)
        return row.value if row else ""

    def set(self, name: str, value: str) -> None:
        self._session.merge(SwitchRow(name=name, value=value))
