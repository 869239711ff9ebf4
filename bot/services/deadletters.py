"""Dead letters: a delivery that cannot be read is itself something to page about."""

from bot.domain.incident import Incident, IncidentState, RunState, Severity
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.paging import page
from bot.services.rulebook import Rulebook

SERVICE = "nightshift"


def report_dead_letter(work: UnitOfWork, *, source: str, number: int, why: str, rules: Rulebook) -> str:
    """Open, or add to, the incident "Nightshift could not read an alert from X"; returns its id."""
    key = f"dead-letter|{source}"
    current = work.incidents.latest(key)
    text = f"Delivery {number} from {source} cannot be read: {why}"[:500]
    if current is not None and current.is_open:
        work.timeline.append(current.id, "dead_letter", BOT, text, {"number": str(number)})
        announce(work, current, "card")
        return current.id
    incident = work.incidents.add(
        Incident(
            id="",
            key=key,
            title=f"Nightshift could not read an alert from {source}",
            service=SERVICE,
            severity=Severity.CRITICAL,
            state=IncidentState.TRIGGERED,
            opened_at=work.now,
            changed_at=work.now,
            labels={"alertname": "NightshiftDeadLetter", "source": source},
            annotations={
                "description": f"{text}\nSee `nightshift alert dead-letters`, then `nightshift alert replay`."
            },
            alert_started_at=work.now,
            firing=1,
            alerts_seen=1,
            channels=rules.channels,
            run_state=RunState.CANCELLED,
        )
    )
    work.timeline.append(incident.id, "opened", BOT, incident.title)
    work.timeline.append(incident.id, "dead_letter", BOT, text, {"number": str(number)})
    announce(work, incident, "card", once="first")
    page(work, incident, 0, rules)
    return incident.id
