"""`replay`: a run of the agent again, from the store alone. Prints text that may be hostile, so it is made harmless."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from bot.agent.profiles import make_head
from bot.agent.recall import recall_far_tools, recall_profile
from bot.agent.replay import Asked, Called, Event, Proposed, Replay, Told, replay_run
from bot.agent.said import read_images
from bot.bootstrap.commands.replay_text import StoredRun, write_run, write_stages
from bot.bootstrap.state import read_store
from bot.domain.runs.account import tell_profile
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Step
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Refused, Rejected
from bot.render.words import write_count, write_line
from bot.services.why import name_works
from bot.services.wishes import base_run
from bot.settings import Settings
from bot.store.codec import dump_stage
from bot.store.database import open_session
from bot.store.transcripts import read_times

_RUN: Final = re.compile(
    r"(?P<incident>[A-Za-z]{1,9}-[0-9]{1,12})(?::(?P<number>[1-9][0-9]{0,8})(?P<part>[+?]h?[1-9][0-9]{0,8})?)?"
)


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """`ok` is false where a request differs from what was sent, or a row cannot be read."""

    ok: bool
    text: str


def replay_stored(settings: Settings, name: str, *, as_json: bool, with_requests: bool) -> ReplayReport:
    """Replay the run called `name` ("INC-7:1"; "INC-7" is its newest, "INC-7:1?2" answered a question in it). Raises
    `Refused` where there is none."""
    stored = read_stored(settings, name)
    if not stored.steps:
        text = _dump(_stages_as_json(stored)) if as_json else "\n".join(write_stages(stored))
        return ReplayReport(ok=True, text=text)
    replay = replay_run(stored.run, stored.steps, opening=_read_opening(settings, stored.steps), images=stored.images)
    if as_json:
        text = _dump(_as_json(stored, replay, with_requests=with_requests))
    else:
        text = "\n".join(write_run(stored, replay, with_requests=with_requests))
    return ReplayReport(ok=replay.is_sound, text=text)


# Reading --------------------------------------------------------------------------------------------------------------
def read_stored(settings: Settings, name: str) -> StoredRun:
    """Return all that the store has of the run called `name`. Raises `Refused` where there is none."""
    asked = _RUN.fullmatch(name)
    if asked is None:
        what = (
            f'"{make_harmless(write_line(name, 60))}" is no run; write INC-7:1, or INC-7 for the newest run of INC-7.'
        )
        raise Refused(what, Reason.BAD_INPUT)
    with read_store(settings) as store:
        with store.begin() as work:
            incident = work.incidents.get(asked["incident"].upper())
            part = asked["part"] or ""
            run = f"{incident.id}:{asked['number'] or incident.runs}{part}"
            works = name_works(work.timeline.of(incident.id))
            steps, stages = work.transcripts.of(run), work.investigations.of(run)
            images = work.images.of(incident.id, read_images(steps))
        with open_session(store.engine) as session:
            stage_times, step_times = read_times(session, run)
    if (part or int(asked["number"] or 1) > incident.runs) and not steps and not stages:
        raise Refused(f"{incident.id} has {write_count(incident.runs, 'run')}; there is no {run}.", Reason.NOT_FOUND)
    return StoredRun(
        incident=incident,
        run=run,
        steps=steps,
        stages=stages,
        stage_times=stage_times,
        step_times=step_times,
        images=images,
        others=tuple((name, row.text) for name, row in works.items() if name != run and base_run(name) == run),
    )


def _read_opening(settings: Settings, steps: Sequence[Step]) -> str:
    """Return what requests of the run's profile begin with now; "" where no model is configured, or not rightly."""
    place = settings.model_place()
    try:
        profile = recall_profile(steps) or AgentProfile()
        return make_head(place, settings.model_budget(), profile, far=recall_far_tools(steps)).text if place else ""
    except Rejected:
        return ""


# JSON -----------------------------------------------------------------------------------------------------------------
def _dump(value: Mapping[str, Any]) -> str:
    """Return JSON in ASCII: a terminal finds nothing to obey in it, and a request's text gives its very bytes."""
    return json.dumps(value, indent=2, ensure_ascii=True)


def _head_as_json(stored: StoredRun) -> dict[str, Any]:
    others = [{"run": run, "asked": asked} for run, asked in stored.others]
    return {"run": stored.run, "incident": stored.incident.id, "title": stored.incident.title, "others": others}


def _stages_as_json(stored: StoredRun) -> dict[str, Any]:
    stages = []
    for result in stored.stages:
        stage, body = dump_stage(result)
        stages.append({"stage": stage.value, "at": stored.stage_times[stage.value].isoformat(), "result": body})
    return _head_as_json(stored) | {"model": False, "stages": stages}


def _as_json(stored: StoredRun, replay: Replay, *, with_requests: bool) -> dict[str, Any]:
    return _head_as_json(stored) | {
        "model": True,
        "profile": tell_profile(stored.steps) or None,
        "rows": replay.rows,
        "ended": replay.ended.value if replay.ended else None,
        "text": replay.text,
        "spent": asdict(replay.spent),
        "sound": replay.is_sound,
        "broken": replay.broken,
        "waiting": [asdict(call) for call in replay.waiting],
        "events": [_event_as_json(event, stored.step_times, with_requests) for event in replay.events],
    }


def _event_as_json(event: Event, times: Mapping[int, datetime], with_requests: bool) -> dict[str, Any]:
    at = times[event.seq].isoformat() if event.seq in times else None
    if isinstance(event, Proposed):
        body = asdict(replace(event, patch=b"")) | {"patch": event.patch.decode("utf-8", "backslashreplace")}
    else:
        body = asdict(event)
    if isinstance(event, Asked):
        sent = body["request"].pop("body")
        body["request"] |= {"bytes": len(sent)} | ({"body": sent.decode("utf-8")} if with_requests else {})
    words = {Told: "told", Asked: "asked", Called: "called", Proposed: "proposed"}
    return {"event": words[type(event)], "at": at} | body
