"""Intake: alerts become incidents, or join the one that is there."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bot.domain.alert import Alert, AlertGroup, AlertStatus
from bot.domain.incident import Incident, IncidentState, RunState, severity_of
from bot.domain.routing import Route, choose_route, incident_key
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce, refresh_card
from bot.services.paging import page, resolve
from bot.services.rulebook import Rulebook
from bot.services.triage import start_triage


def receive_alerts(work: UnitOfWork, groups: Sequence[AlertGroup], rules: Rulebook) -> tuple[str, ...]:
    """Take a batch of deliveries and return the incidents they touched. May be repeated: a delivery that was
    counted before changes nothing but the count."""
    touched: dict[str, None] = {}
    for group in groups:
        for (name, route), alerts in _split(group, rules).items():
            key = incident_key(group, route.service, name)
            incident = _merge(work, group, alerts, key=key, route=route, rules=rules)
            if incident is not None:
                touched[incident] = None
    for incident in touched:
        _settle(work, incident, rules)
    return tuple(touched)


def _split(group: AlertGroup, rules: Rulebook) -> dict[tuple[str, Route], list[Alert]]:
    """Alerts of one group that have a name and a route in common are one problem."""
    parts: dict[tuple[str, Route], list[Alert]] = defaultdict(list)
    for alert in group.alerts:
        route = choose_route(rules.routes, alert.labels) or Route(
            matchers=(),
            service=alert.labels.get("service") or alert.labels.get("job") or "unknown",
            escalation="default",
            channels=rules.channels,
        )
        parts[alert.name, route].append(alert)
    return parts


def _merge(
    work: UnitOfWork, group: AlertGroup, alerts: list[Alert], *, key: str, route: Route, rules: Rulebook
) -> str | None:
    firing = [alert for alert in alerts if alert.status is AlertStatus.FIRING]
    current = work.incidents.latest(key)
    if current is not None and current.is_open:
        return _join(work, current, group, alerts)
    if current is not None and current.may_reopen(work.now):
        if not [alert for alert in alerts if work.alerts.put(current.id, alert) and alert in firing]:
            return None
        return _reopen(work, current, rules)
    if not firing:
        return None
    return _open(work, group, alerts, key=key, route=route, rules=rules)


def _join(work: UnitOfWork, incident: Incident, group: AlertGroup, alerts: list[Alert]) -> str:
    for alert in alerts:
        work.alerts.put(incident.id, alert)
    work.incidents.save(
        replace(
            incident,
            firing=work.alerts.firing(incident.id),
            alerts_seen=incident.alerts_seen + len(alerts),
            truncated=max(incident.truncated, group.truncated),
        )
    )
    return incident.id


def _open(work: UnitOfWork, group: AlertGroup, alerts: list[Alert], *, key: str, route: Route, rules: Rulebook) -> str:
    first = min((a for a in alerts if a.status is AlertStatus.FIRING), key=lambda alert: alert.starts_at)
    incident = work.incidents.add(
        Incident(
            id="",
            key=key,
            title=first.summary,
            service=route.service,
            severity=severity_of(first.labels),
            state=IncidentState.TRIGGERED,
            opened_at=work.now,
            changed_at=work.now,
            labels=first.labels,
            annotations=first.annotations,
            alert_started_at=first.starts_at,
            source_url=first.source_url,
            dashboard_url=group.dashboard_url,
            truncated=group.truncated,
            channels=route.channels,
            escalation=route.escalation,
        )
    )
    for alert in alerts:
        work.alerts.put(incident.id, alert)
    work.timeline.append(incident.id, "opened", BOT, f"{incident.title} ({route.service})", {"source": group.source})
    announce(work, incident, "card", once="first")
    page(work, incident, 0, rules)
    start_triage(work, work.incidents.get(incident.id), rules)
    counted = replace(work.incidents.get(incident.id), firing=work.alerts.firing(incident.id), alerts_seen=len(alerts))
    work.incidents.save(counted)
    return incident.id


def _reopen(work: UnitOfWork, incident: Incident, rules: Rulebook) -> str:
    """The same alert again within 30 minutes: the old incident opens again, and pages again."""
    work.incidents.advance(incident.id, IncidentState.TRIGGERED, work.now)
    reopened = replace(
        work.incidents.get(incident.id),
        round=incident.round + 1,
        owner=None,
        page_level=0,
        resolved_at=None,
        resolved_by=None,
        alerts_seen=incident.alerts_seen + 1,
        firing=work.alerts.firing(incident.id),
        run_state=RunState.QUEUED,
        runs=incident.runs + 1,
    )
    work.incidents.save(reopened)
    work.timeline.append(incident.id, "reopened", BOT, "The alert fires again")
    page(work, reopened, 0, rules)
    start_triage(work, work.incidents.get(incident.id), rules)
    return incident.id


def _settle(work: UnitOfWork, incident: str, rules: Rulebook) -> None:
    """When nothing fires any more the source has resolved it; else the card shows the new count."""
    current = work.incidents.get(incident)
    if current.is_open and current.firing == 0:
        resolve(work, incident, BOT, rules)
    else:
        refresh_card(work, incident)
