"""Ends and restarts of a service in its logs: what supervisors write, and what nobody should be fooled by."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.logs.exits import find_exits, order_by_exit

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def lines(*texts, source="app.log"):
    return [
        LogLine(source=source, number=number, text=text, at=NOON + timedelta(seconds=number))
        for number, text in enumerate(texts, 1)
    ]


@pytest.mark.parametrize(
    ("text", "codes", "restarts"),
    [
        ("shop.service: Main process exited, code=exited, status=1/FAILURE", (("exit code 1", 1),), 0),
        ("shop.service: Main process exited, code=killed, status=9/KILL", (("signal 9", 1),), 0),
        ("shop.service: Scheduled restart job, restart counter is at 5.", (), 5),
        ("container shop exited with code 137", (("exit code 137", 1),), 0),
        ("INFO exited: web (exit status 3; not expected)", (("exit code 3", 1),), 0),
        ('{"msg": "process exited", "exit_code": 2}', (("exit code 2", 1),), 0),
        ('{"reason": "OOMKilled", "exitCode": 137}', (("out of memory", 1),), 0),
        ("kernel: Out of memory: Killed process 4242 (shop)", (("out of memory", 1),), 0),
        ("worker 12 was terminated by signal 11", (("signal 11", 1),), 0),
        ("App [web:0] exited with code [1] via signal [SIGINT]", (("exit code 1", 1),), 0),
        ("Back-off restarting failed container shop in pod shop-1", (), 1),
        ("Process finished with exit code -11", (("exit code -11", 1),), 0),
        ("supervisor: shop exited with code 1 (restart 4)", (("exit code 1", 1),), 4),
    ],
)
def test_what_supervisors_write_is_read(text, codes, restarts):
    found = find_exits(lines(text))
    assert found is not None
    assert (found.codes, found.restarts) == (codes, restarts)
    assert found.cite == "app.log:1"


@pytest.mark.parametrize(
    "text",
    [
        "ready",
        "GET /exit 200",
        "request failed with status 500",
        "exit code 999",
        "the user exited the shop",
        "existing",
    ],
)
def test_other_lines_are_no_end(text):
    assert find_exits(lines(text)) is None


def test_ends_are_counted_with_their_codes():
    found = find_exits(
        lines("exited with code 1", "ready", "exited with code 1", "killed by signal 9", "Restarting in 5 s")
    )
    assert found is not None
    assert (found.count, found.codes, found.restarts) == (3, (("exit code 1", 2), ("signal 9", 1)), 1)
    assert (found.first_at, found.last_at) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=5))


def test_the_error_before_an_end_comes_first():
    given = lines("ERROR frequent", *["noise"] * 70, "ERROR deadly", "exited with code 1")
    frequent = ErrorRecord(headline="frequent", kind="ERROR", frames=(), lines=(given[0],), count=50)
    deadly = ErrorRecord(headline="deadly", kind="ERROR", frames=(), lines=(given[-2],))
    nowhere = ErrorRecord(headline="nowhere", kind="ERROR", frames=(), lines=())
    assert order_by_exit([frequent, nowhere, deadly], given) == (deadly, frequent, nowhere)


@pytest.mark.parametrize(
    "texts",
    [
        ["exited " * 20_000] * 20,
        ["exit code " + "1" * 100_000] * 20,
        ["exited" + " " * 100_000 + "code 1"] * 20,
        ["restart_count=" + "9" * 50_000] * 20,
        ["restart counter is at " + "9" * 9] * 20,
        ["killed " * 10_000 + "signal"] * 20,
        ["\x00exited with code 1\x00"] * 20,
        ["exited with code 1"] * 20_000,
        [f"exited with code {number}" for number in range(1_000)],
        ["terminated " + "(" * 50_000] * 20,
        ["[" * 50_000 + "exit status"] * 20,
        ['{"exit": {"code": {"exit_code": "1"}}}'] * 20,
    ],
    ids=range(12),
)
def test_hostile_lines_are_read_at_once_and_told_in_few_words(texts):
    began = time.process_time()
    found = find_exits(lines(*texts))
    assert time.process_time() - began < 2
    if found is not None:
        assert len(found.codes) <= 8
        assert len(found.text) <= 500
        assert all(len(code) <= 20 for code, _ in found.codes)
