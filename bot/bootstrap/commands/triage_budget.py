"""Budgets of a day in `triage`: a run of the terminal is counted in the bot's own store, beside those of the bot."""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from bot.agent.patience import BUSY_SECONDS, TRIES
from bot.bootstrap.state import open_empty_store, read_store
from bot.domain.runs.transcript import Budget
from bot.engine.spending import Spending
from bot.errors import Reason, Refused
from bot.settings import Settings
from bot.settings_budgets import build_budgets


@contextlib.contextmanager
def open_spending(settings: Settings | None, budget: Budget) -> Iterator[Spending | None]:
    """Open what counts a run, whether the bot runs or not; None where a configuration sets no budget of a day.

    Where the bot has no store yet nothing was used today. Raises `Unavailable` where there is one that does not answer.
    """
    budgets = build_budgets(settings.model.budgets) if settings else None
    if settings is None or budgets is None or not (budgets.day or budgets.services or budgets.teams):
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(read_store(settings))
        except Refused as refusal:
            if refusal.reason is not Reason.NOT_FOUND:
                raise
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nightshift-budget-"))
            store = stack.enter_context(open_empty_store(Path(folder)))
        yield Spending(store, budgets, hold=timedelta(seconds=budget.answer_seconds * TRIES + BUSY_SECONDS))
