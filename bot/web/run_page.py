"""What the page of a run shows: its course, and each step of the model with its tokens. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bot.domain.runs.account import HELPER, MAX_WHOLE, REFUSED, Cost, StepLine, add_up
from bot.domain.runs.todo import count_done, write_item
from bot.services.why import Account

MOST_STEPS: Final = 400
MOST_POINT: Final = 160
_SHOWN: Final = 0.05
_MINUTE: Final = 60
_HOUR: Final = 3600


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step. `came` is the first line of its result, `cost` says its tokens in words, `share` is the cached part of
    the prompt in percent, or None. `part` is the title of the work that begins with it, "" within one."""

    number: int
    name: str
    point: str
    came: str
    cost: str
    share: int | None
    words: str
    arguments: str
    result: str
    part: str
    by: str
    is_waiting: bool
    is_refused: bool
    is_helper: bool
    is_left_out: bool


@dataclass(frozen=True, kw_only=True)
class RunScreen:
    """All of it; `left_out` steps stand in the file alone."""

    account: Account
    number: str
    facts: tuple[tuple[str, str], ...]
    plan: str
    todo: tuple[str, ...]
    steps: tuple[StepView, ...]
    left_out: int


def describe_run(account: Account) -> RunScreen:
    """Return the page of a run."""
    shown = account.lines[:MOST_STEPS]
    is_told = len(account.parts) > 1 or account.questions
    before = ("" if is_told else line.part for line in shown[:1])
    parts = [*before, *(line.part for line in shown[:-1])]
    return RunScreen(
        account=account,
        number=account.story.run.rpartition(":")[2],
        facts=tuple(_tell_facts(account)),
        plan=f"Plan, {count_done(account.todo)}" if account.todo else "",
        todo=tuple(write_item(item) for item in account.todo),
        steps=tuple(
            _view(number, line, line.part if line.part != part else "")
            for number, (line, part) in enumerate(zip(shown, parts, strict=True), start=1)
        ),
        left_out=max(0, len(account.lines) - MOST_STEPS),
    )


def _tell_facts(account: Account) -> Iterator[tuple[str, str]]:
    if not account.lines:
        return
    cost: Cost = add_up(account.lines)
    end = account.end if len(account.end) <= MOST_POINT else f"{account.end[: MOST_POINT - 1]}…"
    yield from (("Ended", end),) if end else ()
    yield "Steps", f"{len(account.lines):,}"
    yield "Prompt", f"{cost.prompt:,} tokens"
    yield "From the cache", f"{cost.cached:,} tokens, {cost.cached_share} %"
    thinking = f", {cost.reasoning:,} of them thinking" if cost.reasoning else ""
    yield "Written", f"{cost.completion:,} tokens{thinking}"
    yield "Time", write_seconds(cost.seconds)
    yield "GPU time", write_seconds(cost.gpu_seconds)
    yield from (("Model", account.model),) if account.model else ()
    for name, count in account.second.items():
        yield "Second model", f"{name}, {count} answer{'' if count == 1 else 's'}"
    yield from (("Profile", account.profile),) if account.profile else ()


def write_seconds(seconds: float) -> str:
    """Return a length of time: "4.2 s", "6 min 52 s", "1 h 04 min"."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE:02d} min"


def _view(number: int, line: StepLine, part: str) -> StepView:
    told = [f"{line.prompt:,} prompt"] if line.prompt else []
    told += [f"{line.completion:,} written"] if line.completion else []
    told += [write_seconds(line.seconds)] if line.seconds >= _SHOWN else []
    share = round(100 * line.cached / line.prompt) if line.prompt and line.cached is not None else None
    return StepView(
        number=number,
        name=line.call,
        point=line.brief.removeprefix(line.call).strip()[:MOST_POINT],
        came=line.came[:MOST_POINT],
        cost=" · ".join(told),
        share=share,
        words=_cut(line.words),
        arguments=_cut(line.arguments),
        result=_cut(line.result),
        part=part,
        by=line.by,
        is_waiting=line.is_waiting,
        is_refused=line.result.startswith(REFUSED),
        is_helper=line.call.startswith(HELPER),
        is_left_out=line.is_left_out,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WHOLE else f"{text[:MAX_WHOLE]}\n… {len(text) - MAX_WHOLE:,} characters more"
