"""From a profile to what a run gets: its tools and the beginning of its requests; and the one that it began with."""

import json
from collections.abc import Sequence
from dataclasses import replace

from bot.agent.loop import Head
from bot.agent.prompts import read_system
from bot.agent.tools.every import TOOLS
from bot.agent.tools.far import make_far_tool
from bot.agent.tools.tool import Tool
from bot.agent.transcript import read_opening
from bot.domain.runs.far_tool import FarTool
from bot.domain.runs.profile import AgentProfile, Mode
from bot.domain.runs.transcript import Budget, Step, StepKind
from bot.ports.model import ModelPlace


def choose_tools(profile: AgentProfile, far: Sequence[FarTool] = ()) -> tuple[Tool, ...]:
    """Return the tools of a run. In the mode triage none that proposes exists, whatever the profile names."""
    all_tools = (*TOOLS, *map(make_far_tool, far))
    named = [tool for tool in all_tools if not profile.tools or tool.name in profile.tools]
    return tuple(tool for tool in named if profile.mode is not Mode.TRIAGE or not tool.proposes)


def make_head(
    place: ModelPlace,
    budget: Budget,
    profile: AgentProfile,
    *,
    steps: Sequence[Step] = (),
    system: str | None = None,
    far: Sequence[FarTool] = (),
) -> Head:
    """Return the beginning of a run's requests. A run that goes on keeps the very bytes that it began with, unless
    another model is to answer now. `far` are its tools of other servers."""
    own = read_system() if system is None else system
    text = f"{own}\n\n{profile.prompt}" if profile.prompt and system is None else own
    named = replace(place, name=profile.model or place.name)
    head = Head(named, profile.limit(budget), choose_tools(profile, far), system=text)
    opening = read_opening(json.loads(steps[0].body)) if steps and steps[0].kind is StepKind.TASK else ""
    if opening and _read_model(opening) == named.name:
        head.text = opening
    return head


def _read_model(opening: str) -> str:
    try:
        return str(json.loads(f"{opening}]}}")["model"])
    except (ValueError, KeyError, TypeError):
        return ""
