from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.logs.records import parse_time

AT = datetime(2026, 11, 20, 13, 42, 32, tzinfo=UTC)
MILLI = AT.replace(microsecond=123_000)
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T13:42:32Z ok", AT),
        ("2026-11-20 13:42:32,123 INFO app: ok", MILLI),
        ("2026-11-20 13:42:32.123 INFO", MILLI),
        ("[2026-11-20 15:42:32 +0200] [7] [INFO] Booting", AT),
        ("2026-11-20T15:42:32.123456789+02:00 stdout F x", AT.replace(microsecond=123_456)),
        ("2026/11/20 13:42:32 http: panic", AT),
        ("F, [2026-11-20T13:42:32.123 #1] FATAL -- : x", MILLI),
        ('1.2.3.4 - bob [20/Nov/2026:13:42:32 +0000] "GET / HTTP/1.1" 200 1', AT),
        ("[20-Nov-2026 13:42:32 UTC] PHP Warning:  x", AT),
        ("[Fri Nov 20 13:42:32.123000 2026] [error] x", MILLI),
        ("[Sun Dec 04 04:47:44 2005] [notice] x", datetime(2005, 12, 4, 4, 47, 44, tzinfo=UTC)),
        ("1795182152 4 x", AT),
        ("1795182152.123 4 x", MILLI),
        ("1795182152123 x", MILLI),
        ("26/11/20 13:42:32 INFO Spark: x", AT),
        ('{"level":"info","time":"2026-11-20T13:42:32Z"}', AT),
        ('{"ts":1795182152.123,"msg":"x"}', MILLI),
        ('{"body":{"time":"10:00 o\'clock"},"@timestamp":"2026-11-20T13:42:32.123Z"}', MILLI),
        ('level=info ts=2026-11-20T13:42:32Z msg="x"', AT),
        ('level=info time="2026-11-20T13:42:32Z" msg="x"', AT),
        ("[GIN] 2026/11/20 - 13:42:32 | 500 |", AT),
    ],
)
def test_usual_shapes_are_read(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Traceback (most recent call last):",
        '  File "/app/x.py", line 12, in f',
        "version 2026-11 of 13:42",
        "2026-13-40 13:42:32 impossible day",
        "9999-01-01 00:00:00 out of range",
        "1234 items",
        "Foo 20 13:42:32 host app: no such month",
        '{"time": "soon"}',
        "    DETAIL: row of 2026-11-20 13:42:32 is gone",
    ],
)
def test_lines_without_a_time_have_none(text: str) -> None:
    assert parse_time(text, near=AT) is None


def test_a_zone_is_used_only_where_the_line_has_none() -> None:
    assert parse_time("2026-11-20 15:42:32 x", EAST) == AT
    assert parse_time("2026-11-20 13:42:32Z x", EAST) == AT


def test_syslog_gets_the_year_closest_to_the_time_given() -> None:
    new_year = datetime(2027, 1, 1, 0, 5, tzinfo=UTC)
    assert parse_time("Dec 31 23:59:59 web-1 app[7]: x", near=new_year) == datetime(
        2026, 12, 31, 23, 59, 59, tzinfo=UTC
    )
    assert parse_time("Jan  1 00:00:01 web-1 app[7]: x", near=new_year) == datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert parse_time("E1120 13:42:32.123000 7 x.go:1] x", near=AT) == MILLI
    assert parse_time("Dec 31 23:59:59 web-1 app[7]: x") is None


@given(st.text(max_size=300))
def test_any_text_gives_an_aware_time_or_none(text: str) -> None:
    found = parse_time(text, near=AT)
    assert found is None or found.tzinfo is not None


@given(st.datetimes(datetime(1995, 1, 1), datetime(2099, 1, 1)))
def test_what_was_written_is_read_back(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    assert parse_time(f"{at.isoformat(timespec='milliseconds')} x") == at
    assert parse_time(f"{at:%d/%b/%Y:%H:%M:%S %z}".join("[]")) == at.replace(microsecond=0)
