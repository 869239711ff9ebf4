"""Intake: alerts become incidents, or join the one that is there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.alert import Alert, AlertGroup, AlertStatus, drop_old_words
from bot.domain.incident import Incident, IncidentState, RunState, Severity, severity_of, worst_of
from bot.domain.routing import Route, choose_route, incident_key
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce, refresh_card, refresh_counts
from bot.services.green_logs import note_green
from bot.services.paging import page, resolve
from bot.services.rulebook import Rulebook
from bot.services.triage import start_triage


@dataclass(kw_only=True)
class _Problem:
    """What a batch says about one incident-to-be: every different word once, in order; `seen` counts them all."""

    key: str
    route: Route
    group: AlertGroup
    seen: int = 0
    truncated: int = 0
    words: dict[tuple[str, AlertStatus, datetime], Alert] = field(default_factory=dict)

    @property
    def said(self) -> list[Alert]:
        return list(self.words.values())

    @property
    def firing(self) -> list[Alert]:
        return [alert for alert in self.words.values() if alert.status is AlertStatus.FIRING]


def receive_alerts(work: UnitOfWork, groups: Sequence[AlertGroup], rules: Rulebook) -> tuple[str, ...]:
    """Take a batch of deliveries and return the incidents they touched. May be repeated: a delivery that was
    counted before changes nothing but the count."""
    touched: dict[str, None] = {}
    for problem in _gather(groups, rules):
        incident = _merge(work, problem, rules)
        if incident is not None:
            touched[incident] = None
    for incident in touched:
        _settle(work, incident, rules)
    return tuple(touched)


def _gather(groups: Sequence[AlertGroup], rules: Rulebook) -> Sequence[_Problem]:
    """Alerts that merge are looked at together, so that a storm of one alert costs one look at the store. What came
    again word for word stands in `groups` as the same group again, and costs one look at its words."""
    problems: dict[str, _Problem] = {}
    times = Counter(map(id, groups))
    for group in {id(group): group for group in groups}.values():
        for alert in group.alerts:
            route = choose_route(rules.routes, alert.labels) or _unclaimed(alert, rules)
            key = incident_key(group, route.service, alert.name)
            problem = problems.setdefault(key, _Problem(key=key, route=route, group=group))
            problem.seen += times[id(group)]
            problem.truncated = max(problem.truncated, group.truncated)
            problem.words.setdefault((alert.fingerprint, alert.status, alert.starts_at), alert)
    return list(problems.values())


def _unclaimed(alert: Alert, rules: Rulebook) -> Route:
    return Route(
        matchers=(),
        service=alert.labels.get("service") or alert.labels.get("job") or "unknown",
        escalation="default",
        channels=rules.channels,
    )


def _merge(work: UnitOfWork, problem: _Problem, rules: Rulebook) -> str | None:
    _forget_old_words(work, problem)
    note_green(work, problem.said, problem.route.service, rules)
    current = work.incidents.latest(problem.key)
    if current is not None and current.is_open:
        return _join(work, current, problem)
    if current is not None and current.may_reopen(work.now):
        news = work.alerts.put(current.id, problem.said)
        firing = [alert for alert in news if alert.status is AlertStatus.FIRING]
        if not firing:
            return None
        again = replace(_describe(current, firing), alerts_seen=current.alerts_seen + problem.seen)
        return _reopen(work, again, rules)
    if problem.firing:
        return _open(work, problem, rules)
    if not problem.group.repeats:
        work.alerts.keep(problem.key, problem.said)
    return None


def _forget_old_words(work: UnitOfWork, problem: _Problem) -> None:
    """An event that is sent again, or late, says nothing of now: not even when its incident closed long ago.

    A sender that repeats what fires is believed instead: after a partition Alertmanager tells again of an alert that
    it had let run out, with the start that it had before, and that must page.
    """
    if problem.group.repeats:
        return
    fresh = drop_old_words(problem.said, work.alerts.known(problem.key, problem.said))
    problem.words = {(alert.fingerprint, alert.status, alert.starts_at): alert for alert in fresh}


def _describe(incident: Incident, firing: Sequence[Alert]) -> Incident:
    """Let an incident tell of what fires now: another commit, another run, than before it was closed."""
    first = min(firing, key=lambda alert: alert.starts_at)
    return replace(
        incident,
        title=first.summary,
        labels=first.labels,
        annotations=first.annotations,
        alert_started_at=first.starts_at,
        source_url=first.source_url,
        severity=_worst(firing),
    )


def _worst(firing: Sequence[Alert]) -> Severity:
    return worst_of(severity_of(alert.labels) for alert in firing)


def _join(work: UnitOfWork, incident: Incident, problem: _Problem) -> str:
    news = work.alerts.put(incident.id, problem.said)
    work.incidents.save(
        replace(
            incident,
            firing=work.alerts.firing(incident.id) if news else incident.firing,
            alerts_seen=incident.alerts_seen + problem.seen,
            truncated=max(incident.truncated, problem.truncated),
        )
    )
    _raise(work, incident, [alert for alert in news if alert.status is AlertStatus.FIRING])
    return incident.id


def _raise(work: UnitOfWork, before: Incident, firing: Sequence[Alert]) -> None:
    """Let the severity rise with what fires now, and tell so once; it falls only where the incident opens again."""
    severity = worst_of([before.severity, *(severity_of(alert.labels) for alert in firing)])
    if severity is before.severity:
        return
    cause = next(alert for alert in firing if severity_of(alert.labels) is severity)
    raised = replace(work.incidents.get(before.id), severity=severity)
    work.incidents.save(raised)
    text = f"{before.severity.value.capitalize()} became {severity.value}: {cause.summary}"
    work.timeline.append(before.id, "raised", BOT, text, {"severity": severity.value})
    refresh_card(work, before.id)
    announce(work, raised, "raised", arg=severity.value, once=f"round-{before.round}")


def _open(work: UnitOfWork, problem: _Problem, rules: Rulebook) -> str:
    first = min(problem.firing, key=lambda alert: alert.starts_at)
    route = problem.route
    incident = work.incidents.add(
        Incident(
            id="",
            key=problem.key,
            title=first.summary,
            service=route.service,
            severity=_worst(problem.firing),
            state=IncidentState.TRIGGERED,
            opened_at=work.now,
            changed_at=work.now,
            labels=first.labels,
            annotations=first.annotations,
            alert_started_at=first.starts_at,
            source_url=first.source_url,
            dashboard_url=problem.group.dashboard_url,
            truncated=problem.truncated,
            channels=route.channels,
            escalation=route.escalation,
        )
    )
    work.alerts.put(incident.id, problem.said)
    opened = f"{incident.title} ({route.service})"
    work.timeline.append(incident.id, "opened", BOT, opened, {"source": problem.group.source})
    announce(work, incident, "card", once="first")
    page(work, incident, 0, rules)
    start_triage(work, work.incidents.get(incident.id), rules)
    firing = work.alerts.firing(incident.id)
    work.incidents.save(replace(work.incidents.get(incident.id), firing=firing, alerts_seen=problem.seen))
    return incident.id


def _reopen(work: UnitOfWork, incident: Incident, rules: Rulebook) -> str:
    """The same alert again within 30 minutes: the old incident opens again, and pages again."""
    work.incidents.advance(incident.id, IncidentState.TRIGGERED, work.now)
    reopened = replace(
        incident,
        state=IncidentState.TRIGGERED,
        opened_at=work.now,
        changed_at=work.now,
        round=incident.round + 1,
        owner=None,
        page_level=0,
        resolved_at=None,
        resolved_by=None,
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
        refresh_counts(work, incident)
