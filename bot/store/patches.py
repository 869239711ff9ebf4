"""Drafts, their approvals, and the CI runs that follow."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from bot.domain.approval import Approval, ApprovalState
from bot.domain.ci import CIRun
from bot.domain.draft import Draft, DraftState, Patch
from bot.errors import Reason, Refused
from bot.store.codec import APPROVAL, CI_RUN, FILE_CHANGE, RISK, VERIFIED
from bot.store.incidents import changed_rows
from bot.store.rows import ApprovalRow, CIRunRow, DraftRow


def _draft(row: DraftRow) -> Draft:
    body = row.body
    return Draft(
        incident=row.incident,
        patch=Patch(text=row.patch, files=tuple(FILE_CHANGE.load(item) for item in body["files"])),
        base=body["base"],
        branch=body["branch"],
        title=body["title"],
        culprit=body["culprit"],
        author=body["author"],
        verified=VERIFIED.load(body["verified"]) if body["verified"] else None,
        risk=RISK.load(body["risk"]),
        state=DraftState(row.state),
        created_at=row.created_at,
        notes=tuple(body["notes"]),
        service=body.get("service", ""),
    )


def _draft_body(draft: Draft) -> dict[str, Any]:
    return {
        "base": draft.base,
        "branch": draft.branch,
        "title": draft.title,
        "culprit": draft.culprit,
        "author": draft.author,
        "files": [FILE_CHANGE.dump(change) for change in draft.patch.files],
        "verified": VERIFIED.dump(draft.verified) if draft.verified else None,
        "risk": RISK.dump(draft.risk),
        "notes": list(draft.notes),
        "service": draft.service,
    }


class SqlDrafts:
    """`bot.ports.work.Drafts` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, draft: Draft) -> None:
        row = DraftRow(
            incident=draft.incident,
            digest=draft.digest,
            state=draft.state.value,
            created_at=draft.created_at,
            patch=draft.patch.text,
            body=_draft_body(draft),
        )
        self._session.add(row)
        self._session.flush()

    def get(self, incident: str, digest: str) -> Draft:
        query = select(DraftRow).where(
            DraftRow.incident == incident, col(DraftRow.digest).startswith(digest, autoescape=True)
        )
        row = self._session.exec(query).first() if len(digest) >= 12 else None
        if row is None:
            raise Refused(f"{incident} has no patch {digest[:12]}.", Reason.NOT_FOUND)
        return _draft(row)

    def of(self, incident: str) -> Sequence[Draft]:
        query = select(DraftRow).where(DraftRow.incident == incident).order_by(col(DraftRow.created_at))
        return [_draft(row) for row in self._session.exec(query)]

    def supersede(self, incident: str, digest: str) -> None:
        self._enter(incident, digest, DraftState.SUPERSEDED)

    def restore(self, incident: str, digest: str) -> None:
        self._enter(incident, digest, DraftState.PROPOSED)

    def _enter(self, incident: str, digest: str, state: DraftState) -> None:
        statement = (
            update(DraftRow)
            .where(col(DraftRow.incident) == incident, col(DraftRow.digest) == digest)
            .values(state=state.value)
        )
        self._session.execute(statement)


class SqlApprovals:
    """`bot.ports.work.Approvals` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, approval: Approval) -> None:
        row = ApprovalRow(
            incident=approval.incident,
            digest=approval.digest,
            state=approval.state.value,
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            body=APPROVAL.dump(approval),
        )
        self._session.add(row)
        self._session.flush()

    def _row(self, incident: str, digest: str) -> ApprovalRow:
        query = select(ApprovalRow).where(
            ApprovalRow.incident == incident, col(ApprovalRow.digest).startswith(digest, autoescape=True)
        )
        row = self._session.exec(query).first() if len(digest) >= 12 else None
        if row is None:
            raise Refused(f"{incident} has no patch {digest[:12]} to decide on.", Reason.NOT_FOUND)
        return row

    def get(self, incident: str, digest: str) -> Approval:
        return APPROVAL.load(self._row(incident, digest).body)

    def of(self, incident: str) -> Sequence[Approval]:
        query = select(ApprovalRow).where(ApprovalRow.incident == incident).order_by(col(ApprovalRow.requested_at))
        return [APPROVAL.load(row.body) for row in self._session.exec(query)]

    def waiting(self) -> Sequence[Approval]:
        pending = ApprovalRow.state == ApprovalState.PENDING.value
        query = select(ApprovalRow).where(pending).order_by(col(ApprovalRow.requested_at))
        return [APPROVAL.load(row.body) for row in self._session.exec(query)]

    def replace(self, before: Approval, after: Approval) -> bool:
        row = self._row(before.incident, before.digest)
        if APPROVAL.load(row.body) != before:
            return False
        statement = (
            update(ApprovalRow)
            .where(col(ApprovalRow.incident) == before.incident, col(ApprovalRow.digest) == before.digest)
            .where(col(ApprovalRow.revision) == row.revision)
            .values(
                state=after.state.value,
                revision=row.revision + 1,
                expires_at=after.expires_at,
                body=APPROVAL.dump(after),
            )
            .execution_options(synchronize_session=False)
        )
        changed = changed_rows(self._session.execute(statement)) == 1
        self._session.expire_all()
        return changed


def _is_news(known: CIRun, run: CIRun) -> bool:
    """A final word about an attempt stands, and an attempt that was begun anew says nothing any more."""
    return run.attempt > known.attempt or (run.attempt == known.attempt and not known.state.is_final)


class SqlCIRuns:
    """`bot.ports.work.CIRuns` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def put(self, incident: str, digest: str, run: CIRun) -> bool:
        body = CI_RUN.dump(run)
        row = self._session.get(CIRunRow, run.sha)
        if row is None:
            row = CIRunRow(
                sha=run.sha, incident=incident, digest=digest, state=run.state.value, created_at=self._now, body=body
            )
        elif row.body == body or not _is_news(CI_RUN.load(row.body), run):
            return False
        else:
            row.state, row.body = run.state.value, body
        self._session.add(row)
        self._session.flush()
        return True

    def of(self, incident: str) -> Sequence[tuple[str, CIRun]]:
        query = select(CIRunRow).where(CIRunRow.incident == incident).order_by(col(CIRunRow.created_at))
        return [(row.digest, CI_RUN.load(row.body)) for row in self._session.exec(query)]

    def find(self, sha: str) -> tuple[str, str] | None:
        row = self._session.get(CIRunRow, sha)
        return None if row is None else (row.incident, row.digest)
