"""Triage: an investigation is a phase; what each stage yields is stored when it is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from bot.domain.ci_logs.log import find_last_green
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import (
    Collected,
    Confirmed,
    Drafted,
    Job,
    StageResult,
    Suspected,
    Verified,
    is_preliminary,
)
from bot.domain.past import Alike, choose_alike, describe_past, pick_words
from bot.domain.playbook import Playbook, choose_playbook
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce, refresh_card
from bot.services.plotting import announce_plots, start_plotting
from bot.services.rulebook import Rulebook

#: How long before an alert a deploy or a switched flag may have been.
TOLD_BEFORE = timedelta(days=3)


def start_triage(work: UnitOfWork, incident: Incident, rules: Rulebook) -> None:
    """Queue the investigation, if there is a service and a playbook for it; say so where there is not."""
    playbook = choose_playbook(rules.playbooks, incident.labels)
    if incident.service not in rules.services or playbook is None:
        missing = (
            "no playbook matches its labels"
            if incident.service in rules.services
            else (f'"{incident.service}" is not a configured service')
        )
        work.incidents.save(replace(incident, run_state=RunState.CANCELLED))
        work.timeline.append(incident.id, "triage_skipped", BOT, f"Not investigated: {missing}", {"run": incident.run})
        return
    data = {"run": incident.run}
    work.phases.enqueue("triage", incident.run, {"incident": incident.id, "run": incident.run})
    work.timeline.append(incident.id, "triage_queued", BOT, f"Investigating with the playbook {playbook.name}", data)
    announce(work, incident, "status", once=f"queued-{incident.runs}")


def ask_triage(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """Investigate an incident anew because a person asks. Raises `Refused`."""
    current = work.incidents.get(incident)
    if not current.is_open:
        raise Refused(f"{incident} is resolved; there is nothing to investigate.", Reason.STALE)
    if current.run_state in {RunState.QUEUED, RunState.RUNNING}:
        raise Refused(f"{incident} is being investigated already.", Reason.ALREADY_DONE)
    anew = replace(current, runs=current.runs + 1, run_state=RunState.QUEUED)
    work.incidents.save(anew)
    text = f"{rules.name_of(person)} asked for another investigation"
    work.timeline.append(incident, "triage_asked", person, text, {"run": anew.run})
    start_triage(work, anew, rules)
    if work.incidents.get(incident).run_state is RunState.CANCELLED:
        return f"{work.timeline.of(incident)[-1].text}."
    return f"{incident} is investigated again."


def plan_job(work: UnitOfWork, incident: str, *, run: str, folder: str, rules: Rulebook) -> Job | None:
    """Return the job as it stands, with the stages that are stored; None when there is nothing left to do."""
    current = work.incidents.get(incident)
    playbook = choose_playbook(rules.playbooks, current.labels)
    finished = current.run_state in {RunState.DONE, RunState.FAILED, RunState.CANCELLED, RunState.WAITING}
    if current.run != run or finished or playbook is None or current.service not in rules.services:
        return None
    if current.run_state is RunState.QUEUED:
        work.incidents.save(replace(current, run_state=RunState.RUNNING))
        work.timeline.append(incident, "triage_started", BOT, "The investigation has started")
        announce(work, current, "status")
    job = describe_job(work, current, playbook, folder=folder, rules=rules)
    return replace(
        job,
        done=work.investigations.of(run),
        green_sha=find_last_green(job.labels, current.annotations),
        told=tuple(work.told_changes.between(job.service.name, job.alert_started_at - TOLD_BEFORE, job.now)),
    )


def describe_job(work: UnitOfWork, incident: Incident, playbook: Playbook, *, folder: str, rules: Rulebook) -> Job:
    """Return what every job about an incident has in common, nothing of it done."""
    return Job(
        run=incident.run,
        incident=incident.id,
        service=rules.services[incident.service],
        playbook=playbook,
        title=incident.title,
        alert_started_at=incident.alert_started_at,
        now=work.now + timedelta(seconds=1),
        folder=folder,
        labels=incident.labels,
        source_url=incident.source_url,
        playbooks={each.name: each.title for each in rules.playbooks},
    )


_STAGE_WORDS: Mapping[type, str] = {
    Collected: "Logs read",
    Suspected: "Suspects ranked",
    Confirmed: "Suspects tried in the sandbox",
    Drafted: "Patch drafted",
    Verified: "Patch tested in the sandbox",
}


def record_stage(work: UnitOfWork, incident: str, *, run: str, result: StageResult, is_anew: bool = False) -> None:
    """Store what a stage yielded and show it. With `is_anew` it is the first of another round on more evidence."""
    if is_anew:
        work.investigations.drop(run)
    if not work.investigations.add(run, result):
        return
    text = _STAGE_WORDS[type(result)] + (", for now" if is_preliminary(result) else "")
    work.timeline.append(incident, "stage", BOT, text, {"stage": type(result).__name__.lower()})
    current = work.incidents.get(incident)
    if isinstance(result, Collected | Suspected):
        start_plotting(work, incident, run)
    if isinstance(result, Collected | Confirmed):
        told = {event.data["incident"] for event in work.timeline.of(incident) if event.kind == "alike"}
        for alike in find_alike(work, current, work.investigations.of(run)):
            if alike.past.incident in told:
                continue
            work.timeline.append(incident, "alike", BOT, f"Looks like {alike.text}", {"incident": alike.past.incident})
    announce(work, current, "status")


def find_alike(work: UnitOfWork, incident: Incident, results: Sequence[StageResult]) -> tuple[Alike, ...]:
    """Return past incidents that share the words of this one."""
    words = pick_words(incident, results)
    return choose_alike(words, work.past_incidents.like(words, but=incident.id))


def announce_findings(work: UnitOfWork, incident: Incident) -> None:
    """Promise the findings of the present run, once: before the patch that rests on them, if there is one."""
    announce(work, incident, "findings", once=f"run-{incident.runs}")
    announce_plots(work, incident)


def finish_triage(work: UnitOfWork, incident: str, *, state: RunState, why: str = "") -> None:
    """End the run and show its findings."""
    current = work.incidents.get(incident)
    if current.run_state is not RunState.RUNNING:
        return
    work.incidents.save(replace(current, run_state=state))
    work.past_incidents.keep(describe_past(current, work.investigations.of(current.run), work.now))
    text = {RunState.WAITING: "A patch waits for approval", RunState.DONE: "The investigation is finished"}
    said = why or text.get(state, "The investigation stopped")
    work.timeline.append(incident, "triage_ended", BOT, said, {"state": state.value, "run": current.run})
    announce(work, current, "status")
    announce_findings(work, current)
    refresh_card(work, incident)
