"""Declaring: a person opens an incident that no alert told of."""

from collections.abc import Sequence

from bot.domain.alert import Alert, AlertGroup, AlertStatus, fingerprint_labels
from bot.domain.incident import DECLARED, Severity
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import refresh_card
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook

_SOURCE = "people"
_HOW = "Say what is wrong: /incident declare SERVICE WHAT, for example /incident declare checkout nobody can pay."
_MAX_TITLE = 200
_SHOWN = 12


def declare(work: UnitOfWork, words: Sequence[str], person: str, event: str, rules: Rulebook) -> str:
    """Open an incident, page for it and investigate it as if an alert had said so. The first word may be a severity
    (critical where it is none), the next one names the service; it may be left out where there is only one.

    Each `event` is an incident of its own. Raises `Refused` where it is not said what is wrong, or with which service.
    """
    severity, rest = _take_severity(words)
    service, rest = _take_service(rest, rules)
    title = " ".join(rest)[:_MAX_TITLE]
    if not title:
        raise Refused(_HOW, Reason.BAD_INPUT)
    labels = {"alertname": DECLARED, "service": service, "severity": severity.value}
    alert = Alert(
        fingerprint=fingerprint_labels({**labels, "event": event}),
        status=AlertStatus.FIRING,
        labels=labels,
        annotations={"summary": title},
        starts_at=work.now,
    )
    group = AlertGroup(source=_SOURCE, group_key=event, alerts=(alert,), repeats=False)
    (incident,) = receive_alerts(work, (group,), rules)
    work.timeline.append(incident, "declared", person, f"{rules.name_of(person)} declared it")
    refresh_card(work, incident)
    also = [one.id for one in work.incidents.recent(_SHOWN) if one.is_open and one.service == service]
    others = ", ".join(one for one in also if one != incident)
    return f"{incident} is open, and whoever is on call is paged." + (f" Open there too: {others}." if others else "")


def _take_severity(words: Sequence[str]) -> tuple[Severity, Sequence[str]]:
    known = next((severity for severity in Severity if words and words[0].lower() == severity.value), None)
    return (known, words[1:]) if known else (Severity.CRITICAL, words)


def _take_service(words: Sequence[str], rules: Rulebook) -> tuple[str, Sequence[str]]:
    named = {name.lower(): name for name in (*rules.services, *(route.service for route in rules.routes))}
    if words and words[0].lower() in named:
        return named[words[0].lower()], words[1:]
    if len(named) > 1:
        raise Refused(f"{_HOW} The services are {', '.join(sorted(named.values())[:_SHOWN])}.", Reason.BAD_INPUT)
    return next(iter(named.values()), "unknown"), words
