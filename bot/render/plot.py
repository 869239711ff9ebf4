"""One metric as a picture: an SVG with its series, its threshold, the alert's start, and what changed meanwhile.

It holds no script, no link and nothing from elsewhere; every text in it is escaped.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from typing import Final

from bot.domain.chat import SVG, File
from bot.domain.happened import Happened, WhatKind
from bot.domain.measure import write_unit, write_value
from bot.domain.metric import Metric, Point, Series
from bot.domain.unseen import remove_unseen
from bot.render.plot_scale import Axis, make_times, make_values
from bot.render.words import write_count, write_line

WIDTH: Final = 420
MAX_MARKS: Final = 4
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 408.0, 60.0, 200.0
_LEGEND: Final = 236
_ROW: Final = 17
_COLUMNS: Final = 58
_TITLE_COLUMNS: Final = 39
_GAP: Final = 2.5
"""A line is broken where so many steps have no value."""

#: Known whole to the pages, which allow this style by its digest and no other.
STYLE: Final = (
    "svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#141a22;unicode-bidi:plaintext}"
    ".h{font-weight:600;font-size:13px}.s{fill:#4b5563;font-size:11px}.e{text-anchor:end}.m{text-anchor:middle}"
    ".g{stroke:#d7dce3}.a{stroke:#4b5563}.l{fill:none;stroke-width:1.4;stroke-linejoin:round}.f{stroke-width:2.2}"
    ".t{stroke:#a61b12;stroke-dasharray:5 3}.b{fill:#a61b12}.n{stroke:#141a22;stroke-width:1.5}"
    ".k{stroke:#4b5563;stroke-dasharray:1.5 2.5}"
    ".c0{stroke:#0a4fb5}.c1{stroke:#b34700}.c2{stroke:#12704a}.c3{stroke:#8a1c7c}.c4{stroke:#7a6200}.c5{stroke:#4b5563}"
    "@media (prefers-color-scheme:dark){svg{background:#161c24}text{fill:#e9edf3}.s{fill:#aab4c2}.g{stroke:#2c3541}"
    ".a{stroke:#aab4c2}.t{stroke:#ff9a91}.b{fill:#ff9a91}.n{stroke:#e9edf3}.k{stroke:#aab4c2}"
    ".c0{stroke:#8ab8ff}.c1{stroke:#ffb070}.c2{stroke:#86dda0}.c3{stroke:#ff9ad5}.c4{stroke:#e5d06a}.c5{stroke:#aab4c2}}"
)
_MARKED: Final = frozenset(WhatKind) - {WhatKind.ASIDE}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that changed while the metric was looked at."""

    at: datetime
    text: str


def draw_plots(metrics: Sequence[Metric], changed: Sequence[Happened]) -> tuple[File, ...]:
    """Return a file for each metric; where two have one name, the second gets its number."""
    files: list[File] = []
    for number, metric in enumerate(metrics, 1):
        word = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in metric.query.name)
        name = f"{word.strip('-') or 'metric'}.svg"
        name = name if all(file.name != name for file in files) else f"{number}-{name}"
        marks = choose_marks(changed, metric.since, metric.until)
        files.append(File(name=name, media_type=SVG, text=draw_plot(metric, marks)))
    return tuple(files)


def choose_marks(changed: Sequence[Happened], since: datetime, until: datetime) -> tuple[Mark, ...]:
    """Return the most suspect changes in a time, in its order. They come most suspect first."""
    fitting = [each for each in changed if each.kind in _MARKED and since <= each.at <= until][:MAX_MARKS]
    return tuple(Mark(at=each.at, text=_name(each)) for each in sorted(fitting, key=lambda each: each.at))


def _name(change: Happened) -> str:
    what = "" if change.kind in {WhatKind.CODE, WhatKind.MERGE} else f"{change.kind.value}: "
    return f"{change.at.astimezone(UTC):%H:%M:%S} {what}{change.what}"


def draw_plot(metric: Metric, marks: Sequence[Mark]) -> str:
    """Return the SVG of one metric."""
    limit = metric.query.threshold
    values = [value for series in metric.series for value in series.values]
    across = make_times(metric.since, metric.until, _LEFT, _RIGHT)
    up = make_values([*values, limit.value] if limit else values, metric.query.unit, _BOTTOM, _TOP)
    legend = list(_draw_legend(metric, marks))
    height = _LEGEND + _ROW * len(legend) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{_text(metric.query.title)}</title>",
        f"<desc>{_text(metric.claim)}</desc>",
        f"<style>{STYLE}</style>",
        _write(12, 20, "h", metric.query.title, _TITLE_COLUMNS),
        *_draw_axes(metric, across, up),
        *_draw_lines(metric, across, up),
        *_draw_threshold(metric, up),
        *_draw_marks(metric, marks, across),
        *legend,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _draw_axes(metric: Metric, across: Axis, up: Axis) -> Iterator[str]:
    unit = write_unit(metric.query.unit).strip()
    if unit:
        yield _write(_LEFT - 6, _TOP - 10, "s e", unit, 8)
    for value, text in up.ticks:
        yield _line(_LEFT, up.place(value), _RIGHT, up.place(value), "g")
        yield _write(_LEFT - 6, up.place(value) + 4, "s e", text, 10)
    for at, text in across.ticks:
        yield _line(across.place(at), _BOTTOM, across.place(at), _BOTTOM + 4, "a")
        yield _write(min(across.place(at), _RIGHT - 12), _BOTTOM + 17, "s m", text, 10)
    day = metric.until.astimezone(UTC)
    yield _write(_RIGHT, 20, "s e", f"{day.day} {day:%b}, UTC", 12)
    yield _line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "a")


def _draw_lines(metric: Metric, across: Axis, up: Axis) -> Iterator[str]:
    """Yield the series, the one that tells most on top."""
    for number, series in reversed(list(enumerate(metric.series))):
        style = f"l c{number}{' f' if number == 0 else ''}"
        for run in _cut(series.points, metric.step):
            places = " ".join(f"{across.place(at):g},{up.place(value):g}" for at, value in run)
            if len(run) == 1:  # a line of one point would not be seen
                places = f"{places} {across.place(run[0][0]) + 2:g},{up.place(run[0][1]):g}"
            yield f'<polyline class="{style}" points="{places}"/>'


def _cut(points: Sequence[Point], step: float) -> Iterator[list[Point]]:
    """Yield runs of points without a gap between them."""
    run: list[Point] = []
    for point in points:
        if run and point[0] - run[-1][0] > _GAP * step:
            yield run
            run = []
        run.append(point)
    yield run


def _draw_threshold(metric: Metric, up: Axis) -> Iterator[str]:
    limit = metric.query.threshold
    if limit is not None:
        y = up.place(limit.value)
        yield _line(_LEFT, y, _RIGHT, y, "t")
        text = f"{limit.over.value} {write_value(limit.value, metric.query.unit)}"
        yield _write(_LEFT + 4, y - 5 if y > _TOP + 16 else y + 14, "s b", text, 24)


def _draw_marks(metric: Metric, marks: Sequence[Mark], across: Axis) -> Iterator[str]:
    """Yield the alert's start, and a letter for each change, in two rows above the plot."""
    for number, mark in enumerate(marks):
        x = across.place(mark.at.timestamp())
        yield _line(x, _TOP - 4, x, _BOTTOM, "k")
        yield _write(x, _TOP - 8, "s m", _letter(number), 2)
    if metric.since <= metric.alert_at <= metric.until:
        x = across.place(metric.alert_at.timestamp())
        yield _line(x, _TOP - 18, x, _BOTTOM, "n")
        is_late = x > WIDTH - 60
        yield _write(x + (-4 if is_late else 4), _TOP - 21, f"s{' e' if is_late else ''}", "alert", 8)


def _letter(number: int) -> str:
    return "ABCDEFGH"[number]


def _draw_legend(metric: Metric, marks: Sequence[Mark]) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    for number, series in enumerate(metric.series):
        rows.append((f"l c{number}{' f' if number == 0 else ''}", _name_among(series, metric.series)))
    if metric.left_out:
        rows.append(("", f"and {write_count(metric.left_out, 'more series', 'more series')}, not shown"))
    rows += [(_letter(number), mark.text) for number, mark in enumerate(marks)]
    for row, (sign, text) in enumerate(rows):
        y = _LEGEND + _ROW * row
        swatch = _line(12, y - 4, 28, y - 4, sign) if sign.startswith("l ") else ""
        letter = _write(20, y, "s m", sign, 2) if sign and not swatch else ""
        yield f"{swatch}{letter}{_write(34, y, 's', text, _COLUMNS)}"


def _name_among(series: Series, others: Sequence[Series]) -> str:
    """Return what tells a series from the others: the labels that they do not all share."""
    shared = set.intersection(*(set(each.labels.items()) for each in others)) if len(others) > 1 else set()
    own = {name: value for name, value in series.labels.items() if (name, value) not in shared}
    return replace(series, labels=own or series.labels).name


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _write(x: float, y: float, style: str, text: str, columns: int) -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{_text(_fit(text, columns))}</text>'


def _fit(text: str, columns: int) -> str:
    """Cut a text to the columns it may take; wide characters take two."""
    line, room = write_line(text, columns), columns
    for place, character in enumerate(line):
        room -= 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
        if room < 0:
            return line[:place] + "…"
    return line


def _text(text: str) -> str:
    """Return a text that XML can hold and that stays a text."""
    return escape("".join(c if _is_xml(ord(c)) else "\N{REPLACEMENT CHARACTER}" for c in remove_unseen(text)))


def _is_xml(code: int) -> bool:
    return code in {0x9, 0xA} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF
