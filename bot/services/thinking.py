"""Think harder: a person lets the model work on an incident once more, at the next effort that it has."""

from collections.abc import Sequence

from bot.domain.incident import Incident
from bot.domain.models.reasoning import Effort, Reasoning
from bot.domain.playbook import choose_playbook
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.asking import find_waiting
from bot.services.modelling import QUEUED, is_wanted, start_wished
from bot.services.pause import require_running
from bot.services.rulebook import Rulebook
from bot.services.standing import THINKS
from bot.services.steering import find_listening
from bot.services.wishes import base_run

_MARK = "+h"


def find_effort(work: UnitOfWork, incident: str, run: str) -> str:
    """Return the effort at which a person wants a run to think, "" where nobody asked for another."""
    asked = [event for event in work.timeline.of(incident) if event.kind == THINKS and event.data["run"] == run]
    return asked[-1].data["effort"] if asked else ""


def find_harder(work: UnitOfWork, current: Incident, rules: Rulebook) -> Effort | None:
    """Return the effort of another run, None where none is to be offered: the model has not ended, has no effort above
    its last, or its answer would not be needed any more."""
    mine = _find_runs(work, current)
    playbook = choose_playbook(rules.playbooks, current.labels)
    if not rules.has_model or not mine or playbook is None or find_listening(work, current.id):
        return None
    if not _is_wanted_again(work, current):
        return None
    profile = rules.profile(playbook.agent)
    asked = [event.data["effort"] for event in mine if event.kind == THINKS]
    reasoning = rules.reasoning.get(profile.name, Reasoning())
    return reasoning.find_harder(asked[-1] if asked else profile.effort)


def _find_runs(work: UnitOfWork, current: Incident) -> Sequence[TimelineEvent]:
    """Return what began each run of the model in the incident's newest investigation."""
    events = [event for event in work.timeline.of(current.id) if event.kind in {QUEUED, THINKS}]
    return [event for event in events if base_run(event.data.get("run", "")) == current.run]


def _is_wanted_again(work: UnitOfWork, current: Incident) -> bool:
    """Say whether the answer of another run would matter. The mark alone is the name of none: it has not ended."""
    return is_wanted(work, current.id, f"{current.run}{_MARK}")


def think_harder(work: UnitOfWork, incident: str, person: str, rules: Rulebook) -> str:
    """Queue a run at the next effort. What was proposed before can still be decided. Raises `Refused`."""
    current = work.incidents.get(incident)
    if not rules.has_model:
        raise Refused("No model is configured, so nobody can think harder.", Reason.NOT_FOUND)
    if not current.is_open:
        raise Refused(f"{incident} is resolved; there is nothing to think about any more.", Reason.STALE)
    if find_waiting(work, current.id) is not None:
        raise Refused("The model waits for an answer to its question. Answer that first.", Reason.CONFLICT)
    if find_listening(work, current.id):
        raise Refused("The model is still at work. Press again when it has answered.", Reason.CONFLICT)
    require_running(work, incident)
    effort = find_harder(work, current, rules)
    if effort is None:
        raise Refused(_tell_why_not(work, current), Reason.STALE)
    run = f"{current.run}{_MARK}{sum(event.kind == THINKS for event in work.timeline.of(current.id)) + 1}"
    name = rules.name_of(person)
    told = f"{name} asked the model to think harder ({effort})"
    work.timeline.append(incident, THINKS, person, told, {"run": run, "effort": effort.value})
    start_wished(work, current, run, text=f"The model thinks harder ({effort}), as {name} asked")
    return "The model looks at it once more and thinks harder. What it proposed before can still be decided."


def _tell_why_not(work: UnitOfWork, current: Incident) -> str:
    if not _find_runs(work, current):
        return f"The model did not work on {current.id}."
    if not _is_wanted_again(work, current):
        return f"A patch of {current.id} is approved already, so no other answer is needed."
    return "The model cannot think any harder than it did."
