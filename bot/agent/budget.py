"""The limits of one run, checked in one place before each call of the model."""

from bot.agent.transcript import Spent
from bot.domain.transcript import Budget


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


def reading_left(spent: Spent, budget: Budget) -> int:
    """Return how many bytes the tools may still answer."""
    return max(0, budget.tool_bytes - spent.tool_bytes)
