"""The model's plan, in the incident's status."""

from collections.abc import Sequence

from bot.domain.runs.todo import TodoItem, count_done, write_item
from bot.render.words import write_line


def list_todo(items: Sequence[TodoItem]) -> list[str]:
    """Return what to say of it, one line for each item; nothing where there is none."""
    if not items:
        return []
    return [f"The model's plan, {count_done(items)}:", *(write_line(write_item(item), 90) for item in items)]
