"""What a metric did, in words: before, since, at its worst, and when it turned."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.metrics.measure import write_value
from bot.domain.metrics.metric import MetricQuery, MetricRead, Over, Series, Threshold, Turn
from bot.domain.metrics.movement import draw_spark, judge, rank_series, tell, tell_spark

ALERT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE = ALERT - timedelta(minutes=30)
STEP = 15.0
LIMIT = Threshold(over=Over.ABOVE, value=0.02)
LOW = Threshold(over=Over.BELOW, value=100)


def line(*runs: tuple[int, float], noise: float = 0.1, labels=None) -> Series:
    """Return a series of runs of (points, value), a step apart, with some noise."""
    chance = random.Random(7)
    values = [value * (1 + noise * chance.uniform(-1, 1)) for count, value in runs for _ in range(count)]
    return Series(
        labels=labels or {},
        points=tuple((SINCE.timestamp() + STEP * number, value) for number, value in enumerate(values)),
    )


def say(series: Series, threshold: Threshold | None = None, unit: str = "ratio") -> str:
    query = MetricQuery(name="q", title="Errors", expr="x", unit=unit, threshold=threshold)
    return tell(query, judge(series, threshold, ALERT), ALERT)


def test_a_threshold_that_is_crossed_is_told_with_the_time_and_what_was_before():
    text = say(line((110, 0.001), (30, 0.137), noise=0), LIMIT)
    assert text == (
        "Errors crossed its threshold (> 2 %) at 11:57:30 UTC, 2 min before the alert: "
        "0.1 % before, 13.7 % at its peak (11:57:30 UTC)"
    )


def test_of_several_times_the_last_before_the_alert_counts():
    movement = judge(line((20, 0.001), (5, 0.5), (85, 0.001), (5, 0.3), (10, 0.001), (15, 0.9)), LIMIT, ALERT)
    assert movement.turn is Turn.CROSSED
    assert movement.turned_at == SINCE + timedelta(seconds=110 * STEP)


def test_one_that_begins_on_the_bad_side_says_so():
    text = say(line((140, 0.137), noise=0), LIMIT)
    assert text.startswith("Errors was > 2 % already when the time looked at began: 13.7 % at its peak")


def test_a_threshold_may_be_a_floor():
    text = say(line((110, 500), (30, 20), noise=0), LOW, "req/s")
    assert "(< 100 req/s)" in text
    assert "500 req/s before, 20 req/s at its lowest" in text


@pytest.mark.parametrize("threshold", [None, Threshold(over=Over.ABOVE, value=5.0)])
def test_without_a_crossing_a_change_is_found(threshold):
    assert say(line((100, 0.1), (40, 0.9)), threshold).startswith("Errors rose at 11:55:00 UTC, 5 min before the alert")
    assert say(line((100, 0.9), (40, 0.1)), threshold).startswith("Errors fell at 11:55:00 UTC, 5 min before the alert")


@pytest.mark.parametrize(
    "series",
    [
        line((140, 0.5)),
        line((140, 0.0)),
        line((138, 0.5), (2, 0.9)),
        line((140, 0.5), noise=0.9),
        line((3, 1.0)),
        line((1, 1.0)),
    ],
)
def test_what_varies_as_ever_did_not_change(series):
    assert judge(series, None, ALERT).turn is Turn.STAYED
    assert "did not change" in say(series)


def test_the_good_side_is_named():
    assert "on the good side of its threshold (> 2 %)" in say(line((140, 0.001)), LIMIT)


def test_the_alert_s_own_series_comes_first_then_the_bad_then_what_moves():
    own = line((140, 0.001), labels={"__name__": "e", "instance": "a"})
    bad = line((140, 0.5), labels={"instance": "b"})
    moves = line((70, 0.001), (70, 0.01), labels={"instance": "c"})
    still = line((140, 0.0), labels={})
    empty = Series(labels={"instance": "a"})
    labels = {"instance": "a", "alertname": "E", "severity": "page"}
    assert rank_series([still, moves, empty, bad, own], labels, LIMIT) == [own, bad, moves, still]


def test_a_line_of_bars_shows_the_shape_and_where_nothing_was():
    series = line((10, 0.0), (130, 1.0), noise=0)
    until = SINCE + timedelta(seconds=140 * STEP)
    assert draw_spark(series.points, SINCE, until, width=14) == "▁█████████████"
    assert draw_spark(series.points[:20], SINCE, until, width=14) == "▁█            "
    assert draw_spark(((SINCE.timestamp(), 5.0),), SINCE, until, width=3) == "█  "
    assert draw_spark(line((140, 0.5), noise=0.05).points, SINCE, until, width=14) in {14 * "█", 14 * "▇"}
    query = MetricQuery(name="q", title="Errors", expr="x", unit="ratio")
    read = MetricRead(query=query, since=SINCE, until=until, step=STEP)
    text = tell_spark(series, judge(series, None, ALERT), read)
    assert text.startswith(f"▁{23 * '█'} first")
    few = replace(read, until=SINCE + timedelta(seconds=4 * STEP))
    short = replace(series, points=series.points[:4])
    assert tell_spark(short, judge(short, None, ALERT), few).startswith("▁▁▁▁ first")
    assert text.endswith(" first 0 %, peak 100 % at 11:32:30 UTC, last 100 %")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.137, "ratio", "13.7 %"),
        (0, "ratio", "0 %"),
        (99.96, "percent", "100 %"),
        (0.0851, "seconds", "85.1 ms"),
        (95, "seconds", "95 s"),
        (7200, "seconds", "2 h"),
        (0, "seconds", "0 s"),
        (1.3e9, "bytes", "1.21 GiB"),
        (0, "bytes", "0 B"),
        (12_500, "req/s", "12.5k req/s"),
        (1_500, "", "1,500"),
        (-0.3, "ratio", "-30 %"),
        (2.5e-7, "", "2.50e-07"),
        (1e200, "", "1.00e+188T"),
    ],
)
def test_values_are_written_with_their_unit(value, unit, text):
    assert write_value(value, unit) == text
