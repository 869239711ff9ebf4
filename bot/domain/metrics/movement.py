"""What a metric did around an alert: when it crossed its threshold, or changed; what it was before and since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from bot.domain.metrics.measure import write_value
from bot.domain.metrics.metric import MetricQuery, MetricRead, Point, Series, Threshold, Turn

MIN_POINTS: Final = 5
"""On each side of a change: fewer are an accident."""
_SPREADS: Final = 4 * 1.4826
"""A change is larger than so many times the median deviation before it: four standard deviations where it is normal."""
_SHARE: Final = 0.1
_MANY: Final = 600
_WIDTH: Final = 24
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class Movement:
    """`before` and `since` are medians; `before` is None where the series begins on the bad side."""

    turn: Turn
    turned_at: datetime | None
    before: float | None
    since: float
    peak: float
    peak_at: datetime


def judge(series: Series, threshold: Threshold | None, alert_at: datetime) -> Movement:
    """Say what a series did. It has at least one point."""
    points = series.points
    begins = _find_crossing(points, threshold, alert_at.timestamp()) if threshold else None
    turn = Turn.CROSSED if begins is not None else Turn.CHANGED
    if begins is None:
        begins = _find_change(points)
    if begins is None:
        turn, begins = Turn.STAYED, 0
    before, since = [value for _, value in points[:begins]], points[begins:]
    peak = _find_peak(since, median(before) if before else None, threshold)
    return Movement(
        turn=turn,
        turned_at=_moment(points[begins][0]) if begins else None,
        before=median(before) if before else None,
        since=median(value for _, value in since),
        peak=peak[1],
        peak_at=_moment(peak[0]),
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _find_crossing(points: Sequence[Point], threshold: Threshold, alert_at: float) -> int | None:
    """Return where the bad values begin that led to the alert: the last time before it, else the first after it."""
    bad = [threshold.is_met(value) for _, value in points]
    begins = [n for n, is_bad in enumerate(bad) if is_bad and (n == 0 or not bad[n - 1])]
    return next((n for n in reversed(begins) if points[n][0] <= alert_at), next(iter(begins), None))


def _find_change(points: Sequence[Point]) -> int | None:
    """Return where the values change most, None where they do not change more than they vary."""
    thin = max(1, len(points) // _MANY)
    values = [value for _, value in points[::thin]]
    total, left, best, place = sum(values), 0.0, 0.0, 0
    for count in range(1, len(values)):
        left += values[count - 1]
        if not MIN_POINTS <= count <= len(values) - MIN_POINTS:
            continue
        rest = len(values) - count
        gain = (left / count - (total - left) / rest) ** 2 * count * rest
        if gain > best:
            best, place = gain, count
    if not place:
        return None
    before, since = median(values[:place]), median(values[place:])
    spread = median(abs(value - before) for value in values[:place])
    is_large = abs(since - before) > max(_SPREADS * spread, _SHARE * max(abs(before), abs(since)))
    return place * thin if is_large else None


def _find_peak(points: Sequence[Point], before: float | None, threshold: Threshold | None) -> Point:
    """Return the worst point: on the bad side of the threshold, else the farthest from what it was before."""
    if threshold is not None or before is None:
        is_low = threshold is not None and threshold.is_low
        return min(points, key=lambda point: point[1] if is_low else -point[1])
    return max(points, key=lambda point: abs(point[1] - before))


def rank_series(series: Sequence[Series], labels: Mapping[str, str], threshold: Threshold | None) -> list[Series]:
    """Order the series of one answer: the alert's own first, then those on the bad side, then what moves most."""

    def weigh(each: Series) -> tuple[bool, bool, float]:
        middle = median(each.values)
        own = {name: value for name, value in each.labels.items() if name != "__name__"}
        is_own = bool(own) and own.items() <= labels.items()
        is_bad = threshold is not None and any(threshold.is_met(value) for value in each.values)
        return not is_own, not is_bad, -max(abs(value - middle) for value in each.values)

    return sorted((each for each in series if each.points), key=weigh)


def tell(query: MetricQuery, movement: Movement, alert_at: datetime) -> str:
    """Return in one sentence what it did."""
    unit, limit = query.unit, query.threshold
    peak = f"{write_value(movement.peak, unit)} {_name_peak(movement, limit)} ({_clock(movement.peak_at)})"
    if movement.turn is Turn.CROSSED and limit is not None:
        side = f"{limit.over.value} {write_value(limit.value, unit)}"
        if movement.turned_at is None or movement.before is None:
            return f"{query.title} was {side} already when the time looked at began: {peak}"
        when = _near(movement.turned_at, alert_at)
        before = write_value(movement.before, unit)
        return f"{query.title} crossed its threshold ({side}) {when}: {before} before, {peak}"
    if movement.turn is Turn.CHANGED and movement.turned_at is not None and movement.before is not None:
        verb = "rose" if movement.since > movement.before else "fell"
        was, now = write_value(movement.before, unit), write_value(movement.since, unit)
        return f"{query.title} {verb} {_near(movement.turned_at, alert_at)}: {was} before, {now} since, {peak}"
    side = f"{limit.over.value} {write_value(limit.value, unit)}" if limit else ""
    stayed = f", on the good side of its threshold ({side})" if limit else ""
    return f"{query.title} did not change: {write_value(movement.since, unit)} (median){stayed}, {peak}"


def _name_peak(movement: Movement, limit: Threshold | None) -> str:
    fell = movement.before is not None and movement.peak < movement.before
    return "at its lowest" if (limit.is_low if limit else fell) else "at its peak"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def _near(at: datetime, alert_at: datetime) -> str:
    """Return "at 02:12:30 UTC, 4 min before the alert"."""
    away = round(abs((alert_at - at).total_seconds()))
    if away < 2:
        return f"at {_clock(at)}, as the alert began"
    span = f"{away} s" if away < 120 else f"{round(away / 60)} min"
    return f"at {_clock(at)}, {span} {'before' if at < alert_at else 'after'} the alert"


def draw_spark(points: Sequence[Point], since: datetime, until: datetime, *, width: int) -> str:
    """Return one line of bars over the time looked at, the largest value of each part; a blank where there is none.

    Bars stand on zero, so that what hardly changes looks as it is.
    """
    begins, span = since.timestamp(), max((until - since) / timedelta(seconds=1), 1.0)
    parts: list[float | None] = [None] * width
    for at, value in points:
        place = min(max(int((at - begins) / span * width), 0), width - 1)
        known = parts[place]
        parts[place] = value if known is None else max(known, value)
    least, most = min(0.0, *(value for _, value in points)), max(0.0, *(value for _, value in points))
    step = (most - least) / (len(_BARS) - 1)
    return "".join(" " if value is None else _BARS[round((value - least) / step) if step else 0] for value in parts)


def tell_spark(series: Series, movement: Movement, read: MetricRead) -> str:
    """Return "▁▁▂▇█ first 0 %, peak 13.7 % at 02:14:05 UTC, last 12.9 %": a plot for who sees no plots."""
    query, span = read.query, (read.until - read.since).total_seconds()
    width = min(_WIDTH, max(int(span / read.step), 1))  # no more bars than there can be values
    first, last = (write_value(series.points[n][1], query.unit) for n in (0, -1))
    word = _name_peak(movement, query.threshold).removeprefix("at its ")
    peak = f"{word} {write_value(movement.peak, query.unit)} at {_clock(movement.peak_at)}"
    return f"{draw_spark(series.points, read.since, read.until, width=width)} first {first}, {peak}, last {last}"
