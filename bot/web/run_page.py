"""What the page of a run shows: its course, and each step of the model with its tokens. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.run_account import MAX_WHOLE, Cost, StepLine, add_up
from bot.domain.todo import write_item
from bot.services.why import Account

MOST_STEPS: Final = 400


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step. `cost` says its tokens in words; `share` is the cached part of the prompt in percent, or None."""

    number: int
    name: str
    point: str
    cost: str
    share: int | None
    arguments: str
    result: str
    is_waiting: bool


@dataclass(frozen=True, kw_only=True)
class RunScreen:
    """All of it; `left_out` steps stand in the file alone."""

    account: Account
    number: str
    facts: tuple[tuple[str, str], ...]
    todo: tuple[str, ...]
    steps: tuple[StepView, ...]
    left_out: int


def describe_run(account: Account) -> RunScreen:
    """Return the page of a run."""
    return RunScreen(
        account=account,
        number=account.story.run.rpartition(":")[2],
        facts=(*_tell_facts(account.lines), *([("Profile", account.profile)] if account.profile else [])),
        todo=tuple(write_item(item) for item in account.todo),
        steps=tuple(_view(number, line) for number, line in enumerate(account.lines[:MOST_STEPS], start=1)),
        left_out=max(0, len(account.lines) - MOST_STEPS),
    )


def _tell_facts(lines: Sequence[StepLine]) -> Iterator[tuple[str, str]]:
    if not lines:
        return
    cost: Cost = add_up(lines)
    yield "Steps", f"{len(lines):,}"
    yield "Prompt", f"{cost.prompt:,} tokens"
    yield "From the cache", f"{cost.cached:,} tokens, {cost.cached_share} %"
    yield "Written", f"{cost.completion:,} tokens"
    yield "Time", f"{cost.seconds:,.1f} s"


def _view(number: int, line: StepLine) -> StepView:
    told = [f"{line.prompt:,} tokens"] if line.prompt else []
    told += [f"{line.completion:,} written"] if line.completion else []
    told += [f"{line.seconds:.1f} s"] if line.seconds else []
    share = round(100 * line.cached / line.prompt) if line.prompt and line.cached is not None else None
    return StepView(
        number=number,
        name=line.call,
        point=line.brief.removeprefix(line.call).strip()[:120],
        cost=" · ".join(told),
        share=share,
        arguments=_cut(line.arguments),
        result=_cut(line.result),
        is_waiting=line.is_waiting,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WHOLE else f"{text[:MAX_WHOLE]}\n… {len(text) - MAX_WHOLE:,} characters more"
