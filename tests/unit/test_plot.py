"""The picture of a metric: everything is in it, nothing runs, and no text leaves its place."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from bot.domain.metrics.metric import Metric, MetricQuery, Over, Series, Threshold, Turn
from bot.domain.suspects.happened import Happened, WhatKind
from bot.render.drawing import WIDTH
from bot.render.plot import MAX_MARKS, draw_plot
from bot.render.plot_scale import make_times, make_values
from bot.render.plot_svg import STYLE, write_plots, write_svg

ALERT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE, UNTIL = ALERT - timedelta(minutes=30), ALERT + timedelta(minutes=5)
LIMIT = Threshold(over=Over.ABOVE, value=0.02)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]></style><style>*{display:none}",
    "</text></svg><svg onload=alert(1)>",
    "&amp;&#x3c;b&#x3e;",
    "a\x00b\x1b[31m\x07",
    "\u202ereversed\u200b",
    "\ud800\ufffe\uffff",
    "javascript:alert(1)",
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>",
    "日本" * 200,
    "x" * 5_000,
)


def series(*values: float, begin: int = 0, **labels: str) -> Series:
    points = tuple((SINCE.timestamp() + 15 * (begin + n), value) for n, value in enumerate(values))
    return Series(labels=labels, points=points)


def metric(*lines: Series, title: str = "Errors", unit: str = "ratio", threshold: Threshold | None = LIMIT) -> Metric:
    return Metric(
        query=MetricQuery(name="errors", title=title, expr="x", unit=unit, threshold=threshold),
        evidence="E1",
        since=SINCE,
        until=UNTIL,
        step=15.0,
        alert_at=ALERT,
        series=lines or (series(*[0.001] * 100, *[0.137] * 40),),
        left_out=0,
        turn=Turn.CROSSED,
        claim="Errors crossed",
    )


def change(minutes: float, what: str = "checkout 1.4.2", kind: WhatKind = WhatKind.DEPLOY) -> Happened:
    return Happened(kind=kind, what=what, who="ci", at=ALERT - timedelta(minutes=minutes), source="told")


def read(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in read(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_title_axes_threshold_alert_and_changes_are_in_it():
    (file,) = write_plots([metric()], [change(5), change(10, "Let coupons carry their base", WhatKind.CODE)])
    assert (file.name, file.media_type) == ("errors.svg", "image/svg+xml")
    said = texts(file.text)
    assert {"Errors", "20 Nov, UTC", "0 %", "15 %", "11:30", "12:00", "> 2 %", "alert", "A", "B"} <= set(said)
    assert "11:50:00 Let coupons carry their base" in said
    assert "11:55:00 deploy: checkout 1.4.2" in said


def test_only_changes_in_its_time_that_can_matter_are_marked():
    changed = [change(50), change(-20), change(3, kind=WhatKind.ASIDE), *[change(n) for n in range(1, 10)]]
    (file,) = write_plots([metric()], changed)
    assert sum("deploy: " in text for text in texts(file.text)) == MAX_MARKS


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_stay_texts(text):
    query = MetricQuery(name=text, title=text, expr=text, unit=text[:16])
    hostile = replace(metric(series(1, 2, a=text)), query=query, claim=text)
    (file,) = write_plots([hostile], [change(5, text)])
    names = {node.tag.removeprefix("{http://www.w3.org/2000/svg}") for node in read(file.text).iter()}
    assert names == {"svg", "title", "desc", "style", "text", "polyline"}
    attributes = {name for node in read(file.text).iter() for name in node.attrib}
    assert attributes == {"viewBox", "width", "height", "class", "x", "y", "points"}
    assert [node.text for node in read(file.text).iter("{http://www.w3.org/2000/svg}style")] == [STYLE]
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.svg", file.name)
    assert max(len(each) for each in texts(file.text)) <= 60
    file.text.encode()


def test_one_line_for_each_series_broken_where_nothing_was():
    one, two = series(*[1.0] * 20, host="a", job="j"), series(5.0, begin=100, host="b", job="j")
    gap = Series(labels={"host": "c", "job": "j"}, points=(*one.points[:5], *one.points[15:]))
    svg = write_svg(draw_plot(metric(one, gap, two), ()))
    assert len(re.findall(r'<polyline class="c[012]"', svg)) == 4 + 3  # one more for each in the legend
    assert [text for text in texts(svg) if "host" in text] == ['host="a"', 'host="c"', 'host="b"']


def test_series_that_are_not_shown_are_counted():
    assert "and 12 more series, not shown" in texts(write_svg(draw_plot(replace(metric(), left_out=12), ())))


@pytest.mark.parametrize(
    "values",
    [(0.0,), (5.0,), (-3.0, -3.0), (1e-12, 2e-12), (1e299, -1e299), (1e15, 1e15 + 1), (0.999, 1.001), (-5.0, 1e9)],
)
@pytest.mark.parametrize("unit", ["", "ratio", "seconds", "bytes", "req/s"])
def test_any_values_have_an_axis_that_holds_them(values, unit):
    axis = make_values(values, unit, 200.0, 60.0)
    room = 1e-9 * max(map(abs, values))
    assert axis.low <= min(values) + room
    assert axis.high >= max(values) - room
    assert 2 <= len(axis.ticks) <= 8
    assert 60 <= axis.place(values[0]) <= 200
    svg = write_svg(draw_plot(metric(series(*values), unit=unit, threshold=None), ()))
    places = [float(number) for number in re.findall(r' [xy][12]?="([^"]+)"', svg)]
    assert all(0 <= place <= max(WIDTH, 600) for place in places)
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize("seconds", [1, 15, 60, 239, 240, 900, 2_100, 86_400, 172_800])
def test_any_time_has_ticks_at_round_moments(seconds):
    axis = make_times(SINCE, SINCE + timedelta(seconds=seconds), 60, 400)
    assert 1 <= len(axis.ticks) <= 9
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_two_of_one_name_are_two_files():
    assert [file.name for file in write_plots([metric(), metric()], [])] == ["errors.svg", "2-errors.svg"]
