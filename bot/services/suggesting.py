"""What the model would call an incident, and how severe it finds it: asked for once a run of it has found something.

People see it as the model's opinion. The incident's title and severity stay what the alert says.
"""

from dataclasses import replace

from bot.domain.incident import Incident, Severity
from bot.domain.investigation import Job
from bot.domain.playbook import choose_playbook
from bot.domain.runs.suggestion import Suggestion
from bot.domain.runs.transcript import Conclusion, EndReason
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, refresh_card
from bot.services.rulebook import Rulebook
from bot.services.triage import describe_job
from bot.services.wishes import base_run

PHASE = "suggest"
SUGGESTED = "model_suggested"


def ask_suggestion(work: UnitOfWork, incident: str, run: str, conclusion: Conclusion, rules: Rulebook) -> None:
    """Queue the question behind a run that found something; the same run is asked once."""
    has_found = bool(conclusion.proposals) or (conclusion.why is EndReason.DONE and bool(conclusion.text.strip()))
    if rules.has_titles and has_found and conclusion.why is not EndReason.LIMIT:
        work.phases.enqueue(PHASE, run, {"incident": incident, "run": run})


def plan_suggestion(work: UnitOfWork, incident: str, run: str, *, folder: str, rules: Rulebook) -> Job | None:
    """Return what the question is about; None when nobody needs the answer any more."""
    current = work.incidents.get(incident)
    playbook = choose_playbook(rules.playbooks, current.labels)
    is_wanted = current.is_open and current.run == base_run(run) and current.service in rules.services
    if playbook is None or not is_wanted or _was_told(work, incident, run):
        return None
    return replace(describe_job(work, current, playbook, folder=folder, rules=rules), run=run)


def record_suggestion(work: UnitOfWork, incident: str, run: str, suggestion: Suggestion) -> None:
    """Keep what the model suggests, and show it on the card. Nothing is raised or lowered. May be repeated."""
    if _was_told(work, incident, run):
        return
    data = {"run": run, "title": suggestion.title, "severity": suggestion.severity.value, "reason": suggestion.reason}
    text = f'The model calls it "{suggestion.title}"; {suggestion}'
    work.timeline.append(incident, SUGGESTED, BOT, text, data)
    refresh_card(work, incident)


def find_suggestion(work: UnitOfWork, incident: Incident) -> Suggestion | None:
    """Return what the model suggested last in the incident's present run."""
    told = [event.data for event in work.timeline.of(incident.id) if event.kind == SUGGESTED]
    mine = [data for data in told if base_run(data["run"]) == incident.run]
    if not mine:
        return None
    newest = mine[-1]
    return Suggestion(title=newest["title"], severity=Severity(newest["severity"]), reason=newest["reason"])


def _was_told(work: UnitOfWork, incident: str, run: str) -> bool:
    return any(event.kind == SUGGESTED and event.data["run"] == run for event in work.timeline.of(incident))
