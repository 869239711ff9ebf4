"""The model's view of the logs: what `nightshift logs reduce` says, with the places at which lines were read."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.bootstrap.commands.triage import WholeLog
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace, Service
from bot.ports.logs import LogQuery
from bot.reduction.reducing import reduce_logs
from bot.reduction.tally import Span
from bot.reduction.telling import tell
from bot.worker.log_view import MAX_LINES, read_logs
from bot.worker.tools import Tools
from connectors.logs.file import Source
from tests.worldkit import NOW, PLAYBOOK

LOKI = LogPlace(kind="loki", query="{}")
_MOVED = re.compile(r"app\.log:(\d+)")
TRACE = ("Traceback (most recent call last):", '  File "shop/cart.py", line 8, in total', "KeyError: 'rate'")


def make_job(*places: LogPlace, **changes) -> Job:
    service = Service(name="shop", repository="/shop", logs=places)
    job = Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=PLAYBOOK, title="T", alert_started_at=NOW,
        now=NOW + timedelta(minutes=5), folder="/nowhere",
    )  # fmt: skip
    return replace(job, **changes)


def hide(text: str) -> str:
    return text.replace("hunter2", "[redacted]")


TOOLS = Tools(
    log_source=lambda place: Source(Path(place.path).name, place.path),
    workspaces=None, sandbox=None, prepare_toolchain=None,
    redact=hide, redact_lines=lambda lines: list(map(hide, lines)),
)  # fmt: skip


def write(seconds: int, text: str) -> str:
    return f"{NOW + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} {text}"


def write_log() -> list[str]:
    """Return a log of a quiet half hour, and what went wrong after it."""
    early = [f"{NOW - timedelta(hours=3):%Y-%m-%d %H:%M:%S} INFO long before {n}" for n in range(700)]
    quiet = [write(-1_700 + 2 * n, f"INFO served cart {n} in {n % 7} ms") for n in range(800)]
    wrong = [line for n in range(60) for line in (write(n, f"ERROR cart {n} hunter2 failed"), *TRACE)]
    return [*early, *quiet, *wrong, write(70, "WARNING the queue is full")]


@pytest.fixture
def place(tmp_path: Path) -> LogPlace:
    (tmp_path / "app.log").write_text("".join(f"{line}\n" for line in write_log()))
    return LogPlace(kind="file", path=str(tmp_path / "app.log"))


def test_it_says_what_the_command_says_and_where_each_line_stands_in_the_file(place):
    told = read_logs(make_job(place), TOOLS).reduced()
    assert "Error 60 times" in told
    assert "never before: KeyError: 'rate'" in told
    assert "app.log:1501  " in told, "as the file counts"
    assert "KeyError" in told
    assert "WARNING the queue is full" in told
    assert "hunter2" not in told
    assert len(told) < 13_000
    assert told.startswith(
        "app.log: 241 lines from 2026-03-04 03:12:05 to 03:13:15, 6 kinds of lines\ncompared with 800 lines"
    )


def test_the_numbers_are_the_same_code_s_as_on_the_terminal(place):
    lines = [line for line in write_log() if "long before" not in line]

    class Whole:
        name, near, notes = "app.log", NOW, []

        def blocks(self):
            yield "".join(f"{hide(line)}\n" for line in lines).encode()

    span = Span(since=int((NOW - timedelta(minutes=1)).timestamp()), splits=True)
    command = tell(reduce_logs([Whole()], [], span=span, redact=list), tokens=3_000)
    shown = read_logs(make_job(place), TOOLS).reduced().split("\n")[: len(command)]
    for ours, theirs in zip(shown, command, strict=True):
        assert ours == _MOVED.sub(lambda place: f"app.log:{int(place[1]) + 700}", theirs)


def test_entries_whose_time_is_beside_them_are_told_apart_by_it(place):
    entries = [
        LogLine(source="loki", number=n, text=f"served {n}", at=NOW - timedelta(seconds=900 - n)) for n in range(1, 400)
    ]
    entries += [
        LogLine(source="loki", number=400 + n, text="lost the database", at=NOW + timedelta(seconds=n))
        for n in range(30)
    ]
    job = make_job(LOKI, far_logs=(LogRead(place=LOKI, lines=tuple(entries)),))
    told = read_logs(job, TOOLS).reduced()
    assert "compared with 399 lines before" in told
    assert "30 ×  loki:400  2026-03-04T03:12:05Z lost the database" in told


def test_a_place_that_was_not_read_is_named_in_every_view(place):
    logs = read_logs(make_job(place, LOKI), TOOLS)
    for text in (logs.reduced(), logs.find(None, page=1)):
        assert text.startswith("({} could not be read: it was not read for this investigation)\n")


def test_a_log_of_the_terminal_says_what_was_read_of_it_and_keeps_to_another_time(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("\n".join([write(-90_000, "INFO the day before"), write(-7_200, "ERROR too early"), ""]))
    tools = replace(TOOLS, log_source=lambda place: WholeLog(Path(place.path), NOW))
    job = make_job(LogPlace(kind="file", path=str(log)))
    around = read_logs(job, tools)
    assert around.faults == ["(app.log: all of it was read, since no error is near the alert)"]
    assert around.size == 2
    then = NOW - timedelta(seconds=90_000)
    asked = LogQuery(service="shop", since=then - timedelta(minutes=1), until=then + timedelta(minutes=1), seconds=9)
    assert "1 of 1 lines match" in read_logs(job, tools, asked).find(None, page=1)


def test_the_newest_lines_are_kept(place):
    entries = [LogLine(source="loki", number=n, text=f"x {n}", at=NOW) for n in range(MAX_LINES + 5)]
    logs = read_logs(make_job(LOKI, far_logs=(LogRead(place=LOKI, lines=tuple(entries)),)), TOOLS)
    assert "only the newest 50,000 of 50,005 lines" in logs.find(None, page=1)


def test_the_worker_stays_small(place):
    code = (
        "import sys; from tests.unit.test_log_view import *; "
        f"read_logs(make_job(LogPlace(kind='file', path={place.path!r})), TOOLS).reduced(); "
        "sys.exit('polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_log_that_is_too_long_to_be_kept_is_not_said_to_be_read_whole(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("\n".join(write(-90_000 + n, f"INFO the day before {n}") for n in range(100)))
    source = WholeLog(log, NOW)
    around = LogQuery(service="shop", since=NOW - timedelta(minutes=1), until=NOW + timedelta(minutes=1), max_bytes=900)
    assert 0 < len(list(source.read(around))) < 100
    assert [note.split(",")[0] for note in source.notes][:1] == ["app.log: lines of any time were read"]
    assert "only the newest" in source.notes[1]
