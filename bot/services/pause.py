"""Pause: stops the agent and all pushes, never paging. What was under way is kept and goes on afterwards.

`nightshift pause` stops everything, `/incident agent off` one incident. A phase that meets a pause writes down what it
was about (`hold_phase`) and ends; the end of the pause starts it again in the same transaction.
"""

import json
from collections.abc import Mapping
from typing import Final

from bot.domain.incident import Incident, RunState
from bot.domain.pause import MAX_REASON, Pause, read_pause, write_pause
from bot.errors import Reason, Refused
from bot.ports.work import EffectState, UnitOfWork
from bot.services.announce import BOT, announce, refresh_card

SWITCH: Final = "pause"
HELD: Final = "held:"
EVERYTHING: Final = ""
_MOST: Final = 1000
_WAITS: Final[Mapping[str, str]] = {
    "triage": "The investigation waits",
    "model": "The model's work waits",
    "suggest": "The model is not asked for a title yet",
    "revert": "The revert waits",
    "execute": "Not pushed yet",
    "merge": "Not merged yet",
    "deploy": "Not deployed yet",
    "rollback": "Not rolled back yet",
}


def find_pause(work: UnitOfWork, incident: str = EVERYTHING) -> Pause | None:
    """Return the pause that stops an incident: the one of everything first, then its own."""
    everything = read_pause(work.switches.get(SWITCH), None)
    if everything is not None or incident == EVERYTHING:
        return everything
    return read_pause(work.switches.get(f"{SWITCH}:{incident}"), incident)


def require_running(work: UnitOfWork, incident: str) -> None:
    """Raises `Refused` (paused) while the incident may not be worked on."""
    pause = find_pause(work, incident)
    if pause is not None:
        raise Refused(f"{pause}.", Reason.PAUSED)


def start_pause(work: UnitOfWork, *, incident: str, actor: str, who: str, reason: str) -> str:
    """Stop one incident, or everything (`EVERYTHING`). Raises `Refused` when it is stopped already."""
    current = _own_pause(work, incident)
    if current is not None:
        raise Refused(f"{current}. Nothing was changed.", Reason.ALREADY_DONE)
    pause = Pause(who=who, reason=" ".join(reason.split())[:MAX_REASON], since=work.now, incident=incident or None)
    work.switches.set(_switch(incident), write_pause(pause))
    _tell(work, incident, "paused", actor, str(pause))
    where = "No incident is worked on and nothing is pushed" if incident == EVERYTHING else f"{incident} is left alone"
    return f"Paused. {where} until it is switched on again. Paging goes on."


def end_pause(work: UnitOfWork, *, incident: str, actor: str, who: str) -> str:
    """Let one incident, or everything, go on. Raises `Refused` when it is not stopped."""
    if _own_pause(work, incident) is None:
        what = "Nightshift is not paused." if incident == EVERYTHING else f"The agent is on for {incident} already."
        raise Refused(what, Reason.ALREADY_DONE)
    work.switches.set(_switch(incident), "")
    what = "Nightshift goes on" if incident == EVERYTHING else f"The agent is on again for {incident}"
    _tell(work, incident, "resumed", actor, f"{what}: {who} ended the pause")
    released = _release(work, incident)
    other = find_pause(work, incident)
    if other is not None:
        return f"{what} once the other pause ends: {other}."
    return f"{what}. Taken up again: {released}."


def hold_phase(work: UnitOfWork, phase: str, args: Mapping[str, str]) -> bool:
    """Keep what a phase was about until the pause ends; False when there is no pause and the phase may run.

    May be repeated: what is held already is held once.
    """
    incident = args["incident"]
    pause = find_pause(work, incident)
    if pause is None:
        return False
    payload = {"incident": incident, "phase": phase, "args": json.dumps(dict(args), sort_keys=True)}
    if any(effect.payload == payload for effect in work.effects.next_of(HELD + incident)):
        return True
    text = f"{_WAITS.get(phase, f'{phase} waits')}: {pause}"
    data = {"digest": args["digest"]} if "digest" in args else {}
    event = work.timeline.append(incident, "held", BOT, text, data)
    work.effects.intend(f"{HELD}{phase}:{incident}:{event.seq}", HELD + incident, payload)
    current = work.incidents.get(incident)
    if current.run_state is RunState.RUNNING:
        announce(work, current, "status")
    if "digest" in args:
        announce(work, current, "patch", arg=args["digest"][:12])
    return True


def _release(work: UnitOfWork, incident: str) -> int:
    """Start again what was held and is not stopped by another pause; return how much that was."""
    targets = [HELD + incident] if incident != EVERYTHING else work.effects.targets(HELD)
    count = 0
    for target in targets:
        if find_pause(work, target.removeprefix(HELD)) is not None:
            continue
        for effect in work.effects.next_of(target):
            key = effect.key.removeprefix(HELD)
            work.phases.enqueue(effect.payload["phase"], key, json.loads(effect.payload["args"]))
            work.effects.settle(effect.key, EffectState.DONE)
            count += 1
    return count


def _own_pause(work: UnitOfWork, incident: str) -> Pause | None:
    return read_pause(work.switches.get(_switch(incident)), incident or None)


def _switch(incident: str) -> str:
    return f"{SWITCH}:{incident}" if incident else SWITCH


def _tell(work: UnitOfWork, incident: str, kind: str, actor: str, text: str) -> None:
    """Write it on the timeline of every incident that it is about, and show it there."""
    if incident != EVERYTHING:
        about = [work.incidents.get(incident)]
    else:
        work.timeline.append(EVERYTHING, kind, actor, text)
        about = [one for one in work.incidents.recent(_MOST) if one.is_open]
    for one in about:
        work.timeline.append(one.id, kind, actor, text)
        _show(work, one)


def _show(work: UnitOfWork, incident: Incident) -> None:
    refresh_card(work, incident.id)
    if incident.run_state in {RunState.QUEUED, RunState.RUNNING}:
        announce(work, incident, "status")
