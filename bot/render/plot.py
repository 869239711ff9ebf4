"""One metric as a picture: its series, its threshold, the alert's start, and what changed meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.metrics.measure import write_unit, write_value
from bot.domain.metrics.metric import Metric, Point, Series
from bot.domain.suspects.happened import Happened, WhatKind
from bot.render.drawing import WIDTH, Anchor, Drawing, Path, Text
from bot.render.plot_scale import Axis, make_times, make_values
from bot.render.words import write_count

MAX_MARKS: Final = 4
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 408.0, 60.0, 200.0
_DATE: Final = 328.0
_LETTER: Final = 9.0
_LEGEND: Final = 236
_ROW: Final = 17
_COLUMNS: Final = 58
_TITLE_COLUMNS: Final = 39
_GAP: Final = 2.5
"""A line is broken where so many steps have no value."""
_MARKED: Final = frozenset(WhatKind) - {WhatKind.ASIDE}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that changed while the metric was looked at."""

    at: datetime
    text: str


def choose_marks(changed: Sequence[Happened], since: datetime, until: datetime) -> tuple[Mark, ...]:
    """Return the most suspect changes in a time, in its order. They come most suspect first."""
    fitting = [each for each in changed if each.kind in _MARKED and since <= each.at <= until][:MAX_MARKS]
    return tuple(Mark(at=each.at, text=_name(each)) for each in sorted(fitting, key=lambda each: each.at))


def _name(change: Happened) -> str:
    what = "" if change.kind in {WhatKind.CODE, WhatKind.MERGE} else f"{change.kind.value}: "
    return f"{change.at.astimezone(UTC):%H:%M:%S} {what}{change.what}"


def draw_plot(metric: Metric, changed: Sequence[Happened]) -> Drawing:
    """Return the picture of one metric, with the changes that fall into its time."""
    limit = metric.query.threshold
    marks = choose_marks(changed, metric.since, metric.until)
    values = [value for series in metric.series for value in series.values]
    across = make_times(metric.since, metric.until, _LEFT, _RIGHT)
    up = make_values([*values, limit.value] if limit else values, metric.query.unit, _BOTTOM, _TOP)
    rows = list(_list_legend(metric, marks))
    parts: list[Path | Text] = [
        Text(x=12, y=20, type="title", text=metric.query.title, columns=_TITLE_COLUMNS, ends=_DATE),
        *_draw_axes(metric, across, up),
        *_draw_lines(metric, across, up),
        *_draw_threshold(metric, up),
        *_draw_marks(metric, marks, across),
        *_draw_legend(rows),
    ]
    height = _LEGEND + _ROW * len(rows) - 5
    return Drawing(height=height, title=metric.query.title, claim=metric.claim, parts=tuple(parts))


def _draw_axes(metric: Metric, across: Axis, up: Axis) -> Iterator[Path | Text]:
    unit = write_unit(metric.query.unit).strip()
    if unit:
        yield _write(_LEFT - 6, _TOP - 10, unit, 8, anchor=Anchor.END)
    for value, text in up.ticks:
        y = up.place(value)
        yield _line((_LEFT, y), (_RIGHT, y), "grid")
        yield _write(_LEFT - 6, y + 4, text, 10, anchor=Anchor.END)
    for at, text in across.ticks:
        x = across.place(at)
        yield _line((x, _BOTTOM), (x, _BOTTOM + 4), "axis")
        yield _write(min(x, _RIGHT - 12), _BOTTOM + 17, text, 10, anchor=Anchor.MIDDLE)
    day = metric.until.astimezone(UTC)
    yield _write(_RIGHT, 20, f"{day.day} {day:%b}, UTC", 12, anchor=Anchor.END)
    yield _line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis")


def _draw_lines(metric: Metric, across: Axis, up: Axis) -> Iterator[Path]:
    """Yield the series, the one that tells most on top."""
    for number, series in reversed(list(enumerate(metric.series))):
        for run in _cut(series.points, metric.step):
            points = [(across.place(at), up.place(value)) for at, value in run]
            if len(run) == 1:  # a line of one point would not be seen
                points.append((points[0][0] + 2, points[0][1]))
            yield Path(points=tuple(points), stroke=f"c{number}")


def _cut(points: Sequence[Point], step: float) -> Iterator[list[Point]]:
    """Yield runs of points without a gap between them."""
    run: list[Point] = []
    for point in points:
        if run and point[0] - run[-1][0] > _GAP * step:
            yield run
            run = []
        run.append(point)
    yield run


def _draw_threshold(metric: Metric, up: Axis) -> Iterator[Path | Text]:
    limit = metric.query.threshold
    if limit is not None:
        y = up.place(limit.value)
        yield _line((_LEFT, y), (_RIGHT, y), "limit")
        text = f"{limit.over.value} {write_value(limit.value, metric.query.unit)}"
        yield Text(x=_LEFT + 4, y=y - 5 if y > _TOP + 16 else y + 14, text=text, type="bad", columns=24)


def _draw_marks(metric: Metric, marks: Sequence[Mark], across: Axis) -> Iterator[Path | Text]:
    """Yield the alert's start, and a letter for each change, in two rows above the plot."""
    last = 0.0
    for number, mark in enumerate(marks):
        x = across.place(mark.at.timestamp())
        last = max(x, last + _LETTER)
        yield _line((x, _TOP - 4), (x, _BOTTOM), "mark")
        yield _write(last, _TOP - 8, _letter(number), 2, anchor=Anchor.MIDDLE)
    if metric.since <= metric.alert_at <= metric.until:
        x = across.place(metric.alert_at.timestamp())
        yield _line((x, _TOP - 18), (x, _BOTTOM), "alert")
        is_late = x > WIDTH - 60
        anchor = Anchor.END if is_late else Anchor.START
        yield _write(x + (-4 if is_late else 4), _TOP - 21, "alert", 8, anchor=anchor)


def _letter(number: int) -> str:
    return "ABCDEFGH"[number]


def _list_legend(metric: Metric, marks: Sequence[Mark]) -> Iterator[tuple[str, str]]:
    """Yield each row with the stroke or the letter that it explains, "" where it explains none."""
    for number, series in enumerate(metric.series):
        yield f"c{number}", _name_among(series, metric.series)
    if metric.left_out:
        yield "", f"and {write_count(metric.left_out, 'more series', 'more series')}, not shown"
    for number, mark in enumerate(marks):
        yield _letter(number), mark.text


def _draw_legend(rows: Sequence[tuple[str, str]]) -> Iterator[Path | Text]:
    for row, (sign, text) in enumerate(rows):
        y = float(_LEGEND + _ROW * row)
        if sign.startswith("c"):
            yield _line((12, y - 4), (28, y - 4), sign)
        elif sign:
            yield _write(20, y, sign, 2, anchor=Anchor.MIDDLE)
        yield _write(34, y, text, _COLUMNS)


def _name_among(series: Series, others: Sequence[Series]) -> str:
    """Return what tells a series from the others: the labels that they do not all share."""
    shared = set.intersection(*(set(each.labels.items()) for each in others)) if len(others) > 1 else set()
    own = {name: value for name, value in series.labels.items() if (name, value) not in shared}
    return replace(series, labels=own or series.labels).name


def _line(begin: tuple[float, float], end: tuple[float, float], stroke: str) -> Path:
    return Path(points=(begin, end), stroke=stroke)


def _write(x: float, y: float, text: str, columns: int, *, anchor: Anchor = Anchor.START) -> Text:
    return Text(x=x, y=y, text=text, type="small", columns=columns, anchor=anchor)
