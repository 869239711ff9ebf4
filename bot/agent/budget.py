"""The limits of one run, checked in one place before each call of the model."""

from dataclasses import replace

from bot.agent.transcript import Spent, State
from bot.domain.transcript import HELPER_STEPS, Budget


def find_limit(spent: Spent, budget: Budget) -> str:
    """Return in words which limit is reached, "" when the run may go on."""
    limits = (
        ("answers", spent.steps, budget.steps),
        ("prompt tokens", spent.prompt, budget.prompt_tokens),
        ("cached prompt tokens", spent.cached, budget.cached_tokens),
        ("answer tokens", spent.completion, budget.completion_tokens),
        ("seconds", spent.seconds, budget.seconds),
    )
    for what, used, limit in limits:
        if used >= limit:
            return f"its budget of {limit:,.0f} {what} is used up"
    return ""


def leave_for_helper(state: State, budget: Budget) -> Budget:
    """Return what a helper may use in all: what the run has left, and what the helper has used of it already."""
    ours, own = state.spent, state.helper.spent if state.helper else Spent()
    return replace(
        budget,
        steps=min(HELPER_STEPS, budget.steps - ours.steps + own.steps),
        prompt_tokens=budget.prompt_tokens - ours.prompt + own.prompt,
        cached_tokens=budget.cached_tokens - ours.cached + own.cached,
        completion_tokens=budget.completion_tokens - ours.completion + own.completion,
        seconds=budget.seconds - ours.seconds + own.seconds,
        tool_bytes=budget.tool_bytes - ours.tool_bytes + own.tool_bytes,
    )


def reading_left(spent: Spent, budget: Budget) -> int:
    """Return how many bytes the tools may still answer."""
    return max(0, budget.tool_bytes - spent.tool_bytes)
