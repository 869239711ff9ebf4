"""Incidents, their alerts, and the stages of their investigations."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, case, delete, func, or_, update
from sqlmodel import Session, col, select

from bot.domain.alert import Alert, AlertStatus, LastWord
from bot.domain.incident import Incident, IncidentState, states_before
from bot.domain.investigation import Stage, StageResult, is_preliminary
from bot.errors import Reason, Refused
from bot.store.codec import INCIDENT, dump_stage, load_stage
from bot.store.rows import AlertRow, IncidentRow, StageRow

PREFIX = "INC-"


def changed_rows(result: Any) -> int:  # noqa: ANN401 -- what Session.execute returns depends on the statement
    """Return how many rows an UPDATE or DELETE touched."""
    return cast("CursorResult[Any]", result).rowcount


def _number(incident: str) -> int:
    """Return the row of an id in its one spelling ("INC-007" is nobody's), -1 for anything else."""
    text = incident.removeprefix(PREFIX)
    number = int(text) if text.isdecimal() and len(text) < 12 else -1
    return number if incident == f"{PREFIX}{number}" else -1


def _incident(row: IncidentRow) -> Incident:
    stored = INCIDENT.load(row.body)
    return replace(stored, id=f"{PREFIX}{row.number}", state=IncidentState(row.state), changed_at=row.changed_at)


class SqlIncidents:
    """`bot.ports.work.Incidents` over SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, incident: Incident) -> Incident:
        row = IncidentRow(
            key=incident.key,
            state=incident.state.value,
            opened_at=incident.opened_at,
            changed_at=incident.changed_at,
            body=INCIDENT.dump(incident),
        )
        self._session.add(row)
        self._session.flush()
        return _incident(row)

    def get(self, incident: str) -> Incident:
        row = self._session.get(IncidentRow, _number(incident))
        if row is None:
            raise Refused(f"There is no incident {incident}.", Reason.NOT_FOUND)
        return _incident(row)

    def latest(self, key: str) -> Incident | None:
        query = select(IncidentRow).where(IncidentRow.key == key).order_by(col(IncidentRow.number).desc()).limit(1)
        row = self._session.exec(query).first()
        return _incident(row) if row else None

    def save(self, incident: Incident) -> None:
        row = self._session.get(IncidentRow, _number(incident.id))
        if row is None:
            raise Refused(f"There is no incident {incident.id}.", Reason.NOT_FOUND)
        row.body = INCIDENT.dump(incident)
        row.opened_at = incident.opened_at
        self._session.add(row)
        self._session.flush()

    def advance(self, incident: str, to: IncidentState, now: datetime) -> bool:
        statement = (
            update(IncidentRow)
            .where(col(IncidentRow.number) == _number(incident))
            .where(col(IncidentRow.state).in_([state.value for state in states_before(to)]))
            .values(state=to.value, changed_at=now)
        )
        return changed_rows(self._session.execute(statement)) == 1

    def recent(self, limit: int = 100) -> Sequence[Incident]:
        resolved = IncidentState.RESOLVED.value
        newest = col(IncidentRow.number).desc()
        query = select(IncidentRow).order_by(col(IncidentRow.state) == resolved, newest).limit(limit)
        return [_incident(row) for row in self._session.exec(query)]

    def count_open(self) -> Mapping[IncidentState, int]:
        state = col(IncidentRow.state)
        query = select(state, func.count()).where(state != IncidentState.RESOLVED.value).group_by(state)
        return {IncidentState(name): count for name, count in self._session.exec(query)}


AT_ONCE = 500
"""How many alerts are asked for in one statement: databases bound its values."""
REMEMBERED = 50
"""How many incidents of a key are looked through for an alert's newest word; older ones say nothing newer."""


def _outside(key: str) -> str:
    """Return the place of what is known of alerts without an incident; no incident has such an id."""
    return f"key:{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"


class SqlAlerts:
    """`bot.ports.work.Alerts` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def put(self, incident: str, alerts: Sequence[Alert]) -> Sequence[Alert]:
        known = self._known(incident, list({alert.fingerprint for alert in alerts}))
        news = [alert for alert in alerts if self._put(incident, alert, known)]
        self._session.flush()
        return news

    def _known(self, incident: str, fingerprints: Sequence[str]) -> dict[str, AlertRow]:
        found: dict[str, AlertRow] = {}
        for start in range(0, len(fingerprints), AT_ONCE):
            some = col(AlertRow.fingerprint).in_(fingerprints[start : start + AT_ONCE])
            query = select(AlertRow).where(AlertRow.incident == incident, some)
            found |= {row.fingerprint: row for row in self._session.exec(query)}
        return found

    def _put(self, incident: str, alert: Alert, known: dict[str, AlertRow]) -> bool:
        row = known.get(alert.fingerprint)
        if row is None:
            row = known[alert.fingerprint] = AlertRow(
                incident=incident,
                fingerprint=alert.fingerprint,
                status=alert.status.value,
                starts_at=alert.starts_at,
                ends_at=alert.ends_at,
                seen_at=self._now,
            )
            self._session.add(row)
            return True
        is_news = alert.starts_at >= row.starts_at and (
            row.status != alert.status.value or alert.starts_at > row.starts_at
        )
        resolved_already = row.ends_at is not None and alert.status is AlertStatus.FIRING
        if resolved_already and alert.starts_at <= row.starts_at:
            is_news = False
        if is_news:
            row.seen_at = self._now
            row.status, row.starts_at, row.ends_at = alert.status.value, alert.starts_at, alert.ends_at
            if alert.status is AlertStatus.RESOLVED and row.ends_at is None:
                row.ends_at = self._now
        return is_news

    def known(self, key: str, alerts: Sequence[Alert]) -> Mapping[str, LastWord]:
        newest = select(IncidentRow.number).where(IncidentRow.key == key).order_by(col(IncidentRow.number).desc())
        places = [_outside(key), *(f"{PREFIX}{number}" for number in self._session.exec(newest.limit(REMEMBERED)))]
        over = or_(col(AlertRow.status) == AlertStatus.RESOLVED.value, col(AlertRow.ends_at).is_not(None))
        ended = func.max(case((over, col(AlertRow.starts_at))))
        found: dict[str, LastWord] = {}
        fingerprints = list({alert.fingerprint for alert in alerts})
        for start in range(0, len(fingerprints), AT_ONCE):
            some = col(AlertRow.fingerprint).in_(fingerprints[start : start + AT_ONCE])
            query = select(AlertRow.fingerprint, func.max(AlertRow.starts_at), ended)
            query = query.where(col(AlertRow.incident).in_(places), some).group_by(col(AlertRow.fingerprint))
            for fingerprint, began, over_at in self._session.exec(query):
                found[fingerprint] = LastWord(starts_at=began, is_over=over_at == began)
        return found

    def keep(self, key: str, alerts: Sequence[Alert]) -> None:
        self.put(_outside(key), alerts)

    def firing(self, incident: str) -> int:
        query = (
            select(func.count())
            .select_from(AlertRow)
            .where(AlertRow.incident == incident, AlertRow.status == AlertStatus.FIRING.value)
        )
        return self._session.exec(query).one()


class SqlInvestigations:
    """`bot.ports.work.Investigations` over SQL."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def add(self, run: str, result: StageResult) -> bool:
        stage, body = dump_stage(result)
        row = self._session.get(StageRow, (run, stage.value))
        if row is not None and not is_preliminary(load_stage(row.stage, row.body)):
            return False
        self._session.merge(StageRow(run=run, stage=stage.value, at=self._now, body=body))
        self._session.flush()
        return True

    def drop(self, run: str) -> None:
        self._session.execute(delete(StageRow).where(col(StageRow.run) == run))
        self._session.flush()

    def of(self, run: str) -> tuple[StageResult, ...]:
        rows = {row.stage: row for row in self._session.exec(select(StageRow).where(StageRow.run == run))}
        return tuple(load_stage(stage.value, rows[stage.value].body) for stage in Stage if stage.value in rows)
