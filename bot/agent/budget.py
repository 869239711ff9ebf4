"""Every limit of a run, checked here alone before each call of the model: its own, and those it shares with others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bot.agent.transcript import State
from bot.domain.models.spending import Budgets, Spent
from bot.domain.runs.transcript import HELPER_STEPS, Budget

_MEASURES: Final = (
    ("answers", "steps", "steps"),
    ("prompt tokens", "prompt", "prompt_tokens"),
    ("cached prompt tokens", "cached", "cached_tokens"),
    ("answer tokens", "completion", "completion_tokens"),
    ("reasoning tokens", "reasoning", "reasoning_tokens"),
    ("GPU seconds", "gpu_seconds", "gpu_seconds"),
    ("seconds", "seconds", "seconds"),
)
_TOOLS: Final = ("bytes of tools", "tool_bytes", "tool_bytes")


def find_limit(spent: Spent, budget: Budget) -> str:
    """Return in words which of a run's own limits is reached, "" when it may go on.

    What tools may answer is no reason to end: a patch can still be proposed.
    """
    for what, used, limit in _MEASURES:
        if getattr(spent, used) >= getattr(budget, limit):
            return f"its budget of {getattr(budget, limit):,.12g} {what} is used up"
    return ""


def tell_circles(spent: Spent, budget: Budget) -> str:
    """Return why a run that gets nowhere ends: it asks what it asked before, or goes on reading when it may not."""
    if reading_left(spent, budget):
        return "it went in circles"
    return f"its budget of {budget.tool_bytes:,} bytes of tools is used up, and it went on reading"


def leave_for_helper(state: State, budget: Budget) -> Budget:
    """Return what a helper may use in all: what the run has left, and what the helper has used of it already."""
    ours, own = state.spent, state.helper.spent if state.helper else Spent()
    left = {limit: getattr(budget, limit) - getattr(ours.minus(own), used) for _, used, limit in (*_MEASURES, _TOOLS)}
    return replace(budget, **left | {"steps": min(HELPER_STEPS, left["steps"])})


def find_shared_limit(by_service: Mapping[str, Spent], service: str, budgets: Budgets) -> str:
    """Return in words which limit of the day is reached for a service, "" when another call may be made.

    `by_service` is what was used today, with what is reserved for the calls that other runs are at.
    """
    for scope in budgets.scopes(service):
        spent = scope.add_up(by_service)
        for what, used, name in (*_MEASURES, _TOOLS):
            limit = getattr(scope.limits, name)
            if limit is not None and getattr(spent, used) >= limit:
                return f"today's budget of {limit:,.12g} {what} for {scope.name} is used up"
    return ""


def reserve(last: Spent) -> Spent:
    """Return what is set aside for a run's next call: one answer, and the tokens and the time of its last one."""
    return replace(last, steps=1, tool_bytes=0)


def reading_left(spent: Spent, budget: Budget) -> int:
    """Return how many bytes the tools may still answer."""
    return max(0, budget.tool_bytes - spent.tool_bytes)
