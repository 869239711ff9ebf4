"""What a run began with, read from its first row: its profile, and its tools of other servers."""

import json
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from bot.domain.runs.far_tool import FarTool
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Step

_PROFILE: Final[TypeAdapter[AgentProfile]] = TypeAdapter(AgentProfile)
_FAR: Final[TypeAdapter[tuple[FarTool, ...]]] = TypeAdapter(tuple[FarTool, ...])


def recall_profile(steps: Sequence[Step]) -> AgentProfile | None:
    """Return the profile that a run began with; None where it is not stored, or is not what was stored."""
    try:
        stored = json.loads(steps[0].body)["profile"]
        profile = _PROFILE.validate_python(stored["values"])
        return profile if profile.digest == stored["digest"] else None
    except (ValidationError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def recall_far_tools(steps: Sequence[Step]) -> tuple[FarTool, ...]:
    """Return the tools of other servers that a run began with."""
    try:
        return _FAR.validate_python(json.loads(steps[0].body).get("far", ()))
    except (ValidationError, ValueError, AttributeError, IndexError, RecursionError):
        return ()
