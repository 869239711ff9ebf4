"""What every `MetricSource` must do, over a server on loopback that answers as Prometheus does, or misbehaves."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.metrics import MetricQuestion, MetricSource
from tests.contract.log_servers import LogServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HALF = MetricQuestion(expr="up > 0", since=NOON - timedelta(minutes=30), until=NOON, step=15.0)
SPAN = "asked for up > 0 from 2026-11-20 11:30:00 to 2026-11-20 12:00:00 UTC"

REFUSALS: tuple[tuple[int, dict[str, str], bytes], ...] = (
    (200, {}, b""),
    (200, {}, b"{"),
    (200, {}, b"null"),
    (200, {}, b"[]"),
    (200, {}, b'"text"'),
    (200, {}, b"\xff\xfe"),
    (200, {}, b"[" * 100_000),
    (200, {}, b'{"status": "success", "data": null}'),
    (200, {}, b'{"status": "success", "data": {"resultType": "matrix", "result": {}}}'),
    (200, {}, b'{"status": "success", "data": {"resultType": "vector", "result": []}}'),
    (200, {}, b'{"status": "success", "data": {"resultType": "streams", "result": []}}'),
    (200, {}, b'{"status": "error", "errorType": "bad_data", "error": "parse\\u001b[31m error"}'),
    (200, {}, b'{"status": "error", "error": {"deep": 1}}'),
    (204, {}, b""),
    (302, {"Location": "http://169.254.169.254/latest"}, b""),
    (400, {}, b'{"status": "error", "errorType": "bad_data", "error": "1:4: parse error"}'),
    (401, {}, b"no"),
    (404, {}, b"<html>"),
    (422, {}, b'{"status": "error", "errorType": "execution", "error": "too many samples"}'),
    (429, {"Retry-After": "7"}, b"slow down"),
    (500, {}, b""),
    (503, {}, b'{"status": "error", "errorType": "timeout", "error": "query timed out"}'),
)
"""Answers that are none: (status, headers, body)."""

VALUES: tuple[tuple[Any, int], ...] = (
    ("NaN", 0),
    ("nan", 0),
    ("+Inf", 0),
    ("-Inf", 0),
    ("1e999", 0),
    ("", 0),
    ("1_000", 0),
    ("0x10", 0),
    ("١٢", 0),
    ("1" * 5_000, 0),
    (None, 0),
    (True, 0),
    ([1], 0),
    ({"a": 1}, 0),
    (" 1", 0),
    ("-1.5e-3", 1),
    (2, 1),
    (0.5, 1),
)
"""Values beside a good one, and how many of them are points."""

SERIES: tuple[Any, ...] = (
    None,
    "up",
    [],
    {},
    {"metric": {"a": "b"}},
    {"metric": {"a": "b"}, "values": None},
    {"metric": [], "values": [["x", "1"], [None, "1"], [True, "1"], [1], [], "1", [float("nan"), "1"]]},
    {"metric": {"a": 1}, "values": [[1e300, "1"], [-1, "1"], [10**30, "1"]]},
    {"metric": {"a": "b"}, "histograms": [[1.0, {"count": "1"}]]},
    {"metric": {"a": "b"}, "values": {"0": 1}},
)
"""Series without one point that could be plotted."""


def matrix(*series: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more}


def answer(store: LogServer, path: str, query: dict[str, str], _body: Any) -> Any:
    """`query_range` with two series, `query` with the vector that was asked for."""
    if path == "/api/v1/query":
        assert query == {"query": "vector(1)"}
        return {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}}
    assert path == "/api/v1/query_range"
    assert set(query) == {"query", "start", "end", "step", "timeout"}
    start, step = float(query["start"]), float(query["step"])
    times = [start + n * step for n in range(int((float(query["end"]) - start) / step) + 1)]
    return matrix(
        {"metric": {"__name__": "up", "instance": "a"}, "values": [[at, "1"] for at in times]},
        {"metric": {"instance": "b"}, "values": [[at, "0.5"] for at in reversed(times)]},
    )


@dataclass(kw_only=True)
class Gauge:
    """A server on loopback, and the source over it."""

    server: LogServer
    connect: Callable[..., MetricSource]


class MetricContract:
    """Subclass it with a fixture `gauge` that returns a `Gauge`."""

    def test_series_come_in_the_order_of_time_up_to_the_last_moment(self, gauge: Gauge):
        first, second = gauge.connect().read(HALF).series
        assert (first.labels, second.labels) == ({"__name__": "up", "instance": "a"}, {"instance": "b"})
        for series in (first, second):
            times = [at for at, _ in series.points]
            assert times == sorted(times)
            assert (len(times), times[-1]) == (121, NOON.timestamp())

    def test_no_data_is_no_error(self, gauge: Gauge):
        gauge.server.answer = lambda *_: matrix()
        assert gauge.connect().read(HALF).series == ()

    @pytest.mark.parametrize("refusal", REFUSALS, ids=range(len(REFUSALS)))
    def test_what_is_no_answer_is_an_error_of_ours_that_names_query_range_and_server(self, gauge: Gauge, refusal):
        gauge.server.trouble.append(refusal)
        with pytest.raises(NightshiftError) as told:
            gauge.connect().read(HALF)
        text = str(told.value)
        assert text.endswith(SPAN)
        assert gauge.server.url.removeprefix("http://") in text
        assert text.isprintable()
        assert len(gauge.server.asked) == 1, "nobody is followed elsewhere"

    def test_a_refusal_says_why_in_the_server_s_words(self, gauge: Gauge):
        gauge.server.trouble.append(REFUSALS[15])
        with pytest.raises(Rejected, match=r"refuses the query \(400\): 1:4: parse error, asked for"):
            gauge.connect().read(HALF)

    @pytest.mark.parametrize(("value", "count"), VALUES, ids=range(len(VALUES)))
    def test_a_value_that_is_no_number_leaves_a_gap(self, gauge: Gauge, value, count):
        at = NOON.timestamp()
        gauge.server.answer = lambda *_: matrix({"metric": {}, "values": [[at - 15, "7"], [at, value]]})
        (series,) = gauge.connect().read(HALF).series
        assert len(series.points) == 1 + count

    @pytest.mark.parametrize("series", SERIES, ids=range(len(SERIES)))
    def test_a_series_that_cannot_be_plotted_costs_the_others_nothing(self, gauge: Gauge, series):
        good = {"metric": {"a": "b"}, "values": [[NOON.timestamp(), "7"]]}
        gauge.server.answer = lambda *_: matrix(series, good)
        (read,) = gauge.connect().read(HALF).series
        assert (read.labels, read.values) == ({"a": "b"}, (7.0,))

    def test_what_an_answer_lacks_is_said(self, gauge: Gauge):
        values = {"metric": {}, "values": [[NOON.timestamp(), "+Inf"]]}
        gauge.server.answer = lambda *_: matrix(values, warnings=["a shard\x1b[31m was down", 7, "b", "c", "d"])
        notes = gauge.connect().read(HALF).notes
        assert notes == ("a shard [31m was down", "b", "c", "1 infinite values are left out")

    def test_more_than_may_be_read_is_refused(self, gauge: Gauge):
        with pytest.raises(
            Rejected, match="without end; let the query give fewer series, asked for up > 0 from"
        ) as told:
            gauge.connect().read(replace(HALF, max_bytes=1_000))
        assert told.value.reason is Reason.TOO_LARGE

    def test_a_server_that_drips_or_hangs_is_not_waited_for(self, gauge: Gauge):
        gauge.server.drip = 0.02
        began = time.monotonic()
        with pytest.raises(Unavailable) as told:
            gauge.connect().read(replace(HALF, seconds=0.3))
        assert told.value.reason is Reason.TIMEOUT
        assert time.monotonic() - began < 3

    def test_a_server_that_is_not_there_is_unreachable(self, gauge: Gauge):
        with pytest.raises(Unavailable) as told:
            gauge.connect(url="http://127.0.0.1:9").read(HALF)
        assert told.value.reason is Reason.UNREACHABLE

    def test_credentials_go_along_and_never_into_an_error(self, gauge: Gauge):
        gauge.server.trouble.append((401, {}, b"no such user"))
        with pytest.raises(Rejected) as told:
            gauge.connect(token="s3cr3t-token").read(HALF)
        assert gauge.server.headers[0]["Authorization"] == "Bearer s3cr3t-token"
        assert "s3cr3t" not in str(told.value)

    def test_the_check_says_which_server_answers_and_fails_where_none_does(self, gauge: Gauge):
        assert gauge.connect().check() == f"Prometheus at {gauge.server.url.removeprefix('http://')} answers queries"
        gauge.server.trouble.append((200, {}, b'{"status": "success"}'))
        with pytest.raises(Rejected, match="not as Prometheus does"):
            gauge.connect().check()
