"""A small measured load: runs that talk to a model at the same time, each a few turns long, and what came of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_RUNS: Final = 64
MOST_TURNS: Final = 16
MOST_TOKENS: Final = 1_024
MOST_PROMPT: Final = 32_768


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many runs at a time, how many turns each, how long the answers and the common beginning are."""

    runs: int = 4
    turns: int = 4
    answer_tokens: int = 128
    prompt_words: int = 1_000
    seconds: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One answer: when it was asked for, its first word and its end (one clock), its tokens. `fault` = none came."""

    turn: int
    asked: float
    first: float = 0.0
    ended: float = 0.0
    prompt: int = 0
    cached: int | None = None
    tokens: int = 0
    fault: str = ""

    @property
    def is_answered(self) -> bool:
        return not self.fault


@dataclass(frozen=True, kw_only=True)
class Turn:
    """All turns of one number. `share` is the part of the prompts that the server had already; None = not told."""

    number: int
    prompt: int
    share: float | None


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """Seconds are waited until the first word, and between words once they come; `tokens_per_second` is all runs'."""

    calls: int
    failed: tuple[str, ...]
    seconds: float
    tokens: int
    tokens_per_second: float
    run_tokens_per_second: float
    first_p50: float
    first_p99: float
    turns: tuple[Turn, ...]


def filler(words: int, seed: int) -> str:
    """Return so many words that no two seeds begin alike with."""
    return " ".join(f"{seed}-{number}" for number in range(words))


def sum_up(calls: Sequence[Call]) -> BenchResult:
    """Return what the calls show. With no answer at all the figures are 0."""
    answered = [call for call in calls if call.is_answered]
    begin = min((call.asked for call in answered), default=0.0)
    seconds = max((call.ended for call in answered), default=0.0) - begin
    tokens = sum(call.tokens for call in answered)
    firsts = sorted(call.first - call.asked for call in answered)
    streams = [(call.tokens - 1, call.ended - call.first) for call in answered if call.tokens > 1]
    spoken = sum(span for _, span in streams)
    return BenchResult(
        calls=len(calls),
        failed=tuple(call.fault for call in calls if call.fault),
        seconds=seconds,
        tokens=tokens,
        tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
        run_tokens_per_second=sum(count for count, _ in streams) / spoken if spoken > 0 else 0.0,
        first_p50=percentile(firsts, 0.50),
        first_p99=percentile(firsts, 0.99),
        turns=tuple(_turn(number, answered) for number in sorted({call.turn for call in answered})),
    )


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of them does not exceed; 0 for none."""
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)] if ordered else 0.0


def _turn(number: int, answered: Sequence[Call]) -> Turn:
    calls = [call for call in answered if call.turn == number]
    told = [call for call in calls if call.cached is not None and call.prompt]
    prompt = sum(call.prompt for call in told)
    cached = sum(min(call.cached or 0, call.prompt) for call in told)
    return Turn(
        number=number,
        prompt=round(sum(call.prompt for call in calls) / len(calls)),
        share=cached / prompt if prompt else None,
    )
