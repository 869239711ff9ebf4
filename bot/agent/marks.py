"""What the front process adds to a row before it stores it, beside what people said."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from bot.agent.transcript import dump
from bot.domain.runs.far_tool import FarTool
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Step


def refuse_next(step: Step, why: str) -> Step:
    """Return the row with the budget, shared with other runs, that leaves no room for the call after it."""
    return replace(step, body=dump(json.loads(step.body) | {"refused": why}))


def keep_profile(step: Step, profile: AgentProfile) -> Step:
    """Return the row of a task with the run's profile: the run goes on with it whatever becomes of its file."""
    kept = {"name": profile.name, "digest": profile.digest, "values": asdict(profile)}
    return replace(step, body=dump(json.loads(step.body) | {"profile": kept}))


def keep_far_tools(step: Step, far: Sequence[FarTool]) -> Step:
    """Return the row of a task with the run's tools of other servers: it goes on with these, come what may."""
    kept = {"far": [asdict(tool) for tool in far]} if far else {}
    return replace(step, body=dump(json.loads(step.body) | kept))
