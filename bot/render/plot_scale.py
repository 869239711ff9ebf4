"""From values and times to places in a plot, and the round numbers that stand at its axes. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10
from typing import Final

from bot.domain.metrics.measure import choose_scale, write_digits

_NICE: Final = (1.0, 2.0, 5.0, 10.0)
_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)
_SECONDS: Final = (1, 2, 5, 10, 15, 30)
_TICKS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of numbers laid over a range of places; `ticks` are the numbers to write, with their texts."""

    low: float
    high: float
    begins: float
    ends: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.begins + min(max(share, 0.0), 1.0) * (self.ends - self.begins), 1)


def make_values(values: Sequence[float], unit: str, begins: float, ends: float) -> Axis:
    """Return the axis of values: from zero where they are near it, with room above."""
    low, high = min(values), max(values)
    if low >= 0 and low <= 0.4 * high:
        low = 0.0
    if high - low < 1e-9 * max(abs(high), abs(low)) or high == low:
        low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if high else (0.0, 1.0)
    factor, name = choose_scale(max(abs(low), abs(high)), unit)
    step = _choose_step((high - low) / factor)
    first, last = floor(low / factor / step + 1e-9), ceil(high / factor / step - 1e-9)
    ticks = tuple((n * step * factor, f"{_write_tick(n * step, step)}{name}") for n in range(first, last + 1))
    return Axis(low=first * step * factor, high=last * step * factor, begins=begins, ends=ends, ticks=ticks)


def _choose_step(span: float) -> float:
    rough = span / _TICKS
    size = 10.0 ** floor(log10(rough))
    return next(nice for nice in _NICE if nice * size >= rough * 0.999) * size


def _write_tick(value: float, step: float) -> str:
    """Return a number with as many digits as tell it from its neighbours."""
    digits = max(0, -floor(log10(step) + 1e-9))
    return f"{value:,.{digits}f}" if digits <= 6 and abs(value) < 1e6 else write_digits(value)


def make_times(since: datetime, until: datetime, begins: float, ends: float) -> Axis:
    """Return the axis of times, in UTC, with ticks at whole minutes, or seconds where it is short."""
    span = (until - since).total_seconds()
    is_short = span < 4 * 60
    steps = _SECONDS if is_short else tuple(60 * minutes for minutes in _MINUTES)
    form = "%H:%M:%S" if is_short else "%H:%M" if span < 24 * 3600 else "%a %H:%M"
    step = next((each for each in steps if span / each <= _TICKS + 1), steps[-1])
    at = datetime.fromtimestamp(ceil(since.timestamp() / step) * step, UTC)
    ticks: list[tuple[float, str]] = []
    while at <= until and len(ticks) <= 2 * _TICKS:
        ticks.append((at.timestamp(), f"{at:{form}}"))
        at += timedelta(seconds=step)
    return Axis(low=since.timestamp(), high=until.timestamp(), begins=begins, ends=ends, ticks=tuple(ticks))
