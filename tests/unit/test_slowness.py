"""Durations in log lines, and which requests became slow: usual shapes, and lines that nobody wrote in good faith."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.evidence import LogLine
from bot.domain.logs.durations import read_duration
from bot.domain.logs.slowness import MAX_SLOW, find_slowdowns

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('{"method": "GET", "path": "/x", "duration_ms": 12.5}', 0.0125),
        ('{"duration": "12.3ms"}', 0.0123),
        ('{"durationMs": 45, "db.duration_ms": 9}', 0.045),
        ('{"elapsed": 0.25}', 0.25),
        ('{"latency": 150}', 0.15),
        ('{"latency": 15000000}', 0.015),
        ('{"responseTime": 123.4}', 0.1234),
        ('{"httpRequest": {"latency": "0.123s"}}', 0.123),
        ('{"elapsed": "00:00:01.5000000"}', 1.5),
        ('{"message": "GET /x 200 in 45ms"}', 0.045),
        ("method=GET path=/x duration=1m2.5s status=200", 62.5),
        ("level=info took=350µs", 0.00035),
        ("GET /x rt=0.456 uct=0.001", 0.456),
        ('1.2.3.4 - - [x] "GET /a HTTP/1.1" 200 512 "-" "curl/8" 0.123', 0.123),
        ('1.2.3.4 - - [x] "GET /a HTTP/1.1" 200 512 "-" "curl/8" 12345', 0.012345),
        ('1.2.3.4 - - [x] "GET /a HTTP/1.1" 200 - 0.050', 0.05),
        ("GET /x 200 12.345 ms - 12", 0.012345),
        ("Completed 200 OK in 123ms (Views: 1.2ms)", 0.123),
        ('[GIN] 2026/03/04 - 12:00:00 | 200 |    1.234ms | 1.1.1.1 | GET "/x"', 0.001234),
        ("GET /x took 1.2 seconds", 1.2),
        ("2026-03-04 12:00:00,123 INFO GET /x 200", None),
        ('1.2.3.4 - - [x] "GET /a HTTP/1.1" 200 512', None),
        ("time=2026-03-04T12:00:00Z msg=hello", None),
        ('{"duration": null, "elapsed": [1]}', None),
    ],
)
def test_a_duration_is_read_with_its_unit(text, seconds):
    found = read_duration(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "text",
    [
        '{"duration": 1e999}',
        '{"duration": NaN}',
        '{"duration": -5.0}',
        '{"duration": ' + "9" * 4_000 + "}",
        '{"duration": true}',
        '{"duration": "' + "1ms" * 5_000 + '"}',
        '{"duration": "' + "9" * 39 + '"}',
        "duration=" + "9" * 60_000,
        "duration=99999999999999h",
        "took " + "1" * 200_000 + "ms",
        "in 1ms1ms" * 20_000,
        '" 200 1 "' + 'x" "' * 50_000,
        '"' * 200_000,
        '{"a": ' * 50_000 + '"duration": 1',
        "dur" + "\x00" * 1_000 + "=5ms",
        "١٢ ms took ٣ s",
    ],
    ids=range(16),
)
def test_a_hostile_duration_is_none_or_sound_and_read_at_once(text):
    began = time.process_time()
    found = read_duration(text)
    assert time.process_time() - began < 0.5
    assert found is None or 0 <= found <= 86_400


def lines(*samples, start=NOON, source="app.log"):
    """Return JSON lines of (target, milliseconds), one a second."""
    return [
        LogLine(
            source=source,
            number=number,
            at=start + timedelta(seconds=number),
            text=json.dumps({"method": "GET", "path": target, "status": 200, "duration_ms": took}),
        )
        for number, (target, took) in enumerate(samples, 1)
    ]


def find(*samples, factor=2.5, floor=0.04):
    return find_slowdowns(lines(*samples), factor=factor, floor=floor)


def test_what_became_slow_is_found_with_the_time_it_did():
    samples = [("/search?q=a", 10), ("/health", 1)] * 20 + [("/search?q=b", 300), ("/health", 1)] * 10
    (slow,) = find(*samples)
    assert (slow.request.method, slow.request.target) == ("GET", "/search?q=b")
    assert (slow.before, slow.since, slow.counts) == (0.01, 0.3, (20, 10))
    assert slow.began_at == NOON + timedelta(seconds=41)


def test_the_most_time_lost_comes_first():
    quick, slow = [("/a", 10), ("/b", 10)], [("/a", 100), ("/b", 900)]
    assert [each.request.target for each in find(*quick * 10, *slow * 10)] == ["/b", "/a"]


@pytest.mark.parametrize("after", [20, 45])
def test_below_the_factor_or_the_floor_is_not_slow(after):
    assert find(*[("/a", 10)] * 10, *[("/a", after)] * 10) == ()


def test_a_single_slow_request_is_not_a_change():
    assert find(*[("/a", 10)] * 10, ("/a", 900), *[("/a", 10)] * 10) == ()


def test_what_became_quicker_is_not_slow():
    (found,) = find(*[("/a", 900)] * 10, *[("/a", 90)] * 10)
    assert found.before is None


def test_very_many_requests_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr("bot.domain.logs.slowness._MAX_SAMPLES", 64)
    (slow,) = find(*[("/a", 10)] * 800, *[("/a", 300)] * 200)
    assert (slow.before, slow.since, slow.counts) == (0.01, 0.3, (800, 200))


def test_without_anything_quicker_the_slowest_are_named_as_such():
    slow = find(("/a", 500), ("/b", 900), ("/c", 5))
    assert [(each.request.target, each.before, each.began_at) for each in slow] == [
        ("/b", None, None),
        ("/a", None, None),
    ]


def test_the_order_of_time_counts_not_the_order_of_the_files():
    old, new = lines(*[("/a", 10)] * 10), lines(*[("/a", 300)] * 10, start=NOON + timedelta(hours=1), source="b.log")
    (slow,) = find_slowdowns([*new, *old], factor=2.5, floor=0.04)
    assert (slow.before, slow.since) == (0.01, 0.3)


@pytest.mark.parametrize(
    "texts",
    [
        ["{" * 10_000] * 50,
        ['{"method": "GET", "path": "/a", "status": 200, "duration_ms": 0}'] * 50,
        ['{"method": "GET", "path": "/a", "status": 200, "duration_ms": -1}'] * 50,
        ['{"method": "GET", "path": "/a", "status": 200, "duration_ms": 1e308}'] * 50,
        ['{"method": "GET\\r\\nX: y", "path": "/a b", "status": "x", "duration_ms": 900}'] * 50,
        ['{"method": "GET", "path": "http://169.254.169.254/latest", "status": 200, "duration_ms": 900}'] * 50,
        [f'{{"method": "GET", "path": "/{"x" * n}", "status": 200, "duration_ms": {n}}}' for n in range(4_000)],
        [f"GET /a?{'&'.join(f'k{n}=1' for n in range(500))} 200 900ms"] * 200,
        ["GET /" + "%00" * 1_000 + " 200 900ms"] * 50,
        ["\x00\x1b[31mGET /a 200 900ms\u202e"] * 50,
        ["GET /a 200 " + "900ms " * 3_000] * 50,
        [f"GET /{number} HTTP/1.1 took {number % 2}s" for number in range(5_000)],
        [""] * 5_000,
    ],
    ids=range(13),
)
def test_hostile_lines_yield_bounded_candidates_that_stay_on_this_service(texts):
    hostile = [LogLine(source="app.log", number=number, text=text) for number, text in enumerate(texts, 1)]
    began = time.process_time()
    found = find_slowdowns(hostile, factor=2.5, floor=0.04)
    assert time.process_time() - began < 5
    assert len(found) <= MAX_SLOW
    for slow in found:
        assert slow.request.target.startswith("/")
        assert " " not in slow.request.target
        assert 0 <= slow.since <= 86_400
