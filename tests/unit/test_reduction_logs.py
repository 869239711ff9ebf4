"""What matters in a log: errors in full, and what is new, more frequent, gone or in a burst; in few lines, redacted."""

import errno
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.bootstrap.commands.log_reduction import read_when
from bot.cli import app
from bot.errors import Refused
from bot.reduction.comparing import Change
from bot.reduction.reducing import Reduction, reduce_logs
from bot.reduction.severity import Severity, find_severity
from bot.reduction.stamps import read_stamp
from bot.reduction.tally import Span
from bot.reduction.telling import tell

NEAR = datetime(2026, 11, 20, 15, tzinfo=UTC)
TRACE = """\
{at} ERROR shop.http: POST /v1/checkout 500 request={n}
Traceback (most recent call last):
  File "/app/shop/http.py", line 88, in handle
    answer = view(request)
  File "/app/shop/coupons.py", line 31, in apply
    covered = group_lines(lines)[coupon.category]
KeyError: 'garden'"""


class Log:
    """`BlockSource` over lines in memory."""

    def __init__(self, name: str, lines: Sequence[str], near: datetime = NEAR) -> None:
        self.name = name
        self.near = near
        self.notes: list[str] = []
        self._bytes = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")

    def blocks(self) -> Iterator[bytes]:
        return iter([self._bytes])


def _at(second: int) -> str:
    return f"2026-11-20 14:{second // 60:02}:{second % 60:02}"


def _quiet(count: int, start: int = 0) -> list[str]:
    return [f"{_at(start + n // 2)} INFO shop.http: GET /v1/cart 200 in {n % 90} ms" for n in range(count)]


def _reduce(
    lines: Sequence[str],
    before: Sequence[str] = (),
    *,
    span: Span | None = None,
    redact: Callable[[Sequence[str]], list[str]] = list,
) -> Reduction:
    baseline = [Log("before.log", before)] if before else []
    return reduce_logs([Log("app.log", lines)], baseline, span=span or Span(), redact=redact)


def test_an_error_is_shown_in_full_with_its_place_count_and_what_was_before_it() -> None:
    lines = _quiet(40) + [line for n in range(5) for line in TRACE.format(at=_at(30 + n), n=n).split("\n")]
    told = tell(_reduce(lines))
    assert told[0] == "app.log: 75 lines from 2026-11-20 14:00:00 to 14:00:34, 8 kinds of lines"
    assert told[2] == "Error 5 times, first 14:00:30, last 14:00:34: KeyError: 'garden'"
    assert told[4] == "  app.log:40  2026-11-20 14:00:19 INFO shop.http: GET /v1/cart 200 in 39 ms"
    assert told[5] == "> app.log:41  2026-11-20 14:00:30 ERROR shop.http: POST /v1/checkout 500 request=0"
    assert told[11] == "> app.log:47  KeyError: 'garden'"


def test_what_is_new_more_frequent_and_gone_is_told_apart_from_a_baseline() -> None:
    slow = "WARNING shop.db: connection {n} was slow"
    before = _quiet(400) + [f"{_at(n)} INFO shop.cache: refreshed {n} prices" for n in range(60)]
    before += [f"{_at(n)} {slow.format(n=n)}" for n in range(3)]
    lines = [*_quiet(400), f"{_at(9)} INFO deploy: release a81b started"]
    lines += [f"{_at(n)} {slow.format(n=n)}" for n in range(90)]
    found = _reduce(lines, before)
    assert [(kind.count, kind.before) for kind in found.select(Change.NEW)] == [(1, 0)]
    assert [(kind.count, kind.before) for kind in found.select(Change.MORE)] == [(90, 3)]
    assert [(kind.count, kind.before) for kind in found.select(Change.GONE)] == [(0, 60)]
    told = tell(found)
    assert "  1 ×  app.log:401  2026-11-20 14:00:09 INFO deploy: release a81b started" in told
    assert any(line.startswith("  90 × (3 before)  app.log:402  ") for line in told)
    assert any(line.startswith("  60 × before  before.log:401  ") for line in told)


def test_twice_the_traffic_makes_nothing_more_frequent() -> None:
    found = _reduce(_quiet(900), _quiet(450))
    assert found.kinds == ()
    assert tell(found)[-1] == "Nothing in these logs stands out."


def test_an_error_that_the_baseline_has_too_comes_after_one_that_is_new() -> None:
    old = [f"{_at(n)} ERROR shop.mail: mail-1.example did not answer" for n in range(30)]
    found = _reduce(_quiet(100) + old + TRACE.format(at=_at(50), n=1).split("\n"), _quiet(100) + old[:20])
    assert [(failure.record.kind, failure.before) for failure in found.failures] == [("KeyError", 0), ("ERROR", 20)]


def test_an_error_that_was_always_there_is_told_to_be_more_frequent() -> None:
    def fail(count: int) -> list[str]:
        return [f"{_at(n)} ERROR shop.mail: mail-1.example did not answer" for n in range(count)]

    found = _reduce(_quiet(300) + fail(60), _quiet(300) + fail(3))
    assert [(failure.record.count, failure.before) for failure in found.failures] == [(60, 3)]
    assert [(kind.count, kind.before) for kind in found.select(Change.MORE)] == [(60, 3)]


def test_what_lies_before_the_incident_is_its_baseline() -> None:
    since = read_when("2026-11-20T14:01:00Z", "--since")
    lines = _quiet(120) + [f"{_at(60 + n)} INFO shop.cart: emptied {n}" for n in range(20)]
    found = _reduce(lines, span=Span(since=since, splits=True))
    assert (found.total.lines, found.total_before.lines) == (20, 120)
    assert [kind.first.number for kind in found.select(Change.NEW)] == [121]


def test_lines_of_a_trace_are_in_the_incident_with_the_line_they_belong_to() -> None:
    since, until = (read_when(f"2026-11-20T14:0{minute}:00", "--since") for minute in (1, 2))
    lines = TRACE.format(at=_at(10), n=1).split("\n") + TRACE.format(at=_at(70), n=2).split("\n")
    found = _reduce(lines, span=Span(since=since, until=until))
    assert found.total.lines == 7
    assert [failure.record.lines[0].number for failure in found.failures] == [8]


def test_a_burst_is_found_without_a_baseline() -> None:
    steady = [f"{_at(n)} INFO shop.cart: emptied {n}" for n in range(0, 1200, 30)]
    burst = [f"{_at(600)} INFO shop.cart: emptied {n}" for n in range(100)]
    found = _reduce(sorted(steady + burst))
    assert [(kind.peak, f"{kind.peak_at:%H:%M}") for kind in found.select(Change.BURST)] == [(102, "14:10")]


def test_without_a_baseline_what_sounds_bad_is_told() -> None:
    told = tell(_reduce([*_quiet(50), f"{_at(3)} INFO shop.db: connection refused by db-1"]))
    assert told[-1] == "  1 ×  app.log:51  2026-11-20 14:00:03 INFO shop.db: connection refused by db-1"


def test_a_long_trace_keeps_its_beginning_its_causes_and_its_end() -> None:
    java = [f"{_at(1)} ERROR shop.Main: request failed", "java.lang.IllegalStateException: no price"]
    java += [f"\tat shop.A{n}.call(A{n}.java:{n})" for n in range(60)]
    java += ["Caused by: java.io.IOException: disk full", "\tat shop.Disk.write(Disk.java:7)"]
    java += [f"\tat shop.B{n}.call(B{n}.java:{n})" for n in range(30)]
    told = tell(_reduce(_quiet(10) + java))
    assert len(told) <= 60
    assert any("Caused by: java.io.IOException: disk full" in line for line in told)
    assert any("shop.Disk.write(Disk.java:7)" in line for line in told)
    assert any(line.startswith("  … ") for line in told)


def test_of_a_stack_inside_a_structured_line_the_innermost_frames_are_told() -> None:
    usual = {"level": "info", "more": "x" * 500}
    lines = [json.dumps({"ts": f"{_at(n)}Z", "msg": f"stored order {n}"} | usual) for n in range(50)]
    failed = {"level": "error", "msg": "failed", "exc_info": TRACE.split("\n", 1)[1]}
    lines.append(json.dumps({"ts": f"{_at(51)}Z"} | usual | failed))
    told = tell(_reduce(lines))
    assert told[2] == "Error once, at 14:00:51: KeyError: 'garden'"
    assert told[-2:] == ["    at /app/shop/http.py:88 handle", "    at /app/shop/coupons.py:31 apply"]


def test_the_story_stays_within_its_lines_and_tokens() -> None:
    lines = [f"{_at(n % 3000)} ERROR shop.{'abcdefghij'[n % 10]}: {chr(97 + n % 23) * 300} failed" for n in range(500)]
    found = _reduce(lines)
    assert len(tell(found)) <= 60
    assert sum(map(len, tell(found, tokens=200))) <= 800


def test_every_text_that_comes_out_was_redacted() -> None:
    def redact(lines: Sequence[str]) -> list[str]:
        return [line.replace("hunter", "[redacted]") for line in lines]

    lines = [
        *_quiet(30),
        f"{_at(1)} WARNING shop: password=hunter is weak",
        f"{_at(2)} ERROR shop: hunter not accepted",
    ]
    lines += TRACE.replace("garden", "hunter").format(at=_at(3), n=1).split("\n")
    found = _reduce(lines, _quiet(30), redact=redact)
    assert "hunter" not in repr(found)
    assert "hunter" not in "\n".join(tell(found))


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("2026-11-20 14:00:00 ERROR shop: x", Severity.ERROR),
        ("[Fri Nov 20 14:00:00 2026] [crit] x", Severity.FATAL),
        ('{"level":"warning","msg":"x"}', Severity.WARNING),
        ("level=fatal msg=x", Severity.FATAL),
        ("11-20 14:00:00.000  1  2 E Shop: x", Severity.ERROR),
        ("2026-11-20 INFO shop: connection refused", Severity.SUSPICIOUS),
        ("java.io.IOException: x", Severity.SUSPICIOUS),
        ("2026-11-20 INFO shop: no news", Severity.INFO),
    ],
)
def test_how_bad_a_line_says_it_is(line: str, severity: Severity) -> None:
    assert find_severity(line) is severity


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20 14:05:06", "2026-11-20T14:05:06,123Z", "20261120-14:5:6:7", "2026-11-20-14.05.06.123456",
        "261120 140506", "11-20 14:05:06", "11.20 14:05:06", "Nov 20 14:05:06", "Fri Nov 20 14:05:06 2026",
        "20/Nov/2026:14:05:06 +0000", "1795183506", "1795183506123", "26/11/20 14:05:06", "14:05:06",
    ],
)  # fmt: skip
def test_times_are_read_in_the_shapes_that_logs_use(text: str) -> None:
    assert read_stamp(text, NEAR) == datetime(2026, 11, 20, 14, 5, 6, tzinfo=UTC)


# The command ----------------------------------------------------------------------------------------------------------
def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["logs", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def _write(folder: Path, name: str, lines: Sequence[str]) -> str:
    path = folder / name
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def test_the_command_reads_packed_files_and_prints_what_matters(tmp_path: Path) -> None:
    log = _write(tmp_path, "app.log.gz", _quiet(50) + TRACE.format(at=_at(40), n=1).split("\n"))
    base = _write(tmp_path, "before.log", _quiet(50))
    told = _run("reduce", log, "--baseline", base)
    assert "Error once, at 14:00:40, never before: KeyError: 'garden'" in told


def test_the_command_prints_json_with_every_place(tmp_path: Path) -> None:
    log = _write(tmp_path, "app.log", _quiet(50) + TRACE.format(at=_at(40), n=1).split("\n"))
    found = json.loads(_run("reduce", log, "--json"))
    assert found["schema"] == "nightshift.logs.reduce/1"
    error = found["errors"][0]
    assert error["frames"][-1] == {"path": "/app/shop/coupons.py", "line": 31, "function": "apply"}
    assert error["lines"][0]["file"] == "app.log"
    assert error["lines"][0]["line"] == 51


def test_the_templates_of_every_line_are_printed_as_json(tmp_path: Path) -> None:
    log = _write(tmp_path, "app.log", ["", *_quiet(3), "Traceback (most recent call last):"])
    found = json.loads(_run("templates", log, "--json"))
    assert found["lines"] == [1, 2, 2, 2, 3]
    assert found["templates"][1] == {"id": 2, "count": 3, "template": "GET <*> <*> in <*>"}


def test_secrets_are_printed_nowhere(tmp_path: Path) -> None:
    secret = f"{'ghp'}_aBcDeFgHiJkLmNoPqRsTuVwXyZabcdefghij"
    log = _write(tmp_path, "app.log", [*_quiet(30), f"{_at(9)} ERROR shop: token {secret} was refused by github"])
    for arguments in (["reduce", log], ["reduce", log, "--json"], ["templates", log], ["templates", log, "--json"]):
        assert secret not in _run(*arguments)


@pytest.mark.parametrize("command", [["reduce"], ["templates"], ["ci"], ["reduce", "--baseline"], ["ci", "--green"]])
def test_a_file_that_may_not_be_read_is_refused_like_one_that_is_not_there(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open.log").write_text("all is well\n")
    (tmp_path / "shut.log").write_text("all is well\n")
    _forbid(monkeypatch, tmp_path / "shut.log")
    given = [str(tmp_path / "open.log"), *command[1:], str(tmp_path / "shut.log")][-1 if len(command) == 1 else 0 :]
    with pytest.raises(Refused, match=r"shut\.log cannot be read: Permission denied"):
        CliRunner().invoke(app, ["logs", command[0], *given], catch_exceptions=False)


def _forbid(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let a file be one that may not be read: as root, the system itself would let us."""
    real = {name: getattr(os, name) for name in ("open", "access")}

    def refuse(name: str, *given: object, **more: object) -> object:
        if str(given[0]) != str(path):
            return real[name](*given, **more)
        if name == "access":
            return False
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for name in real:
        monkeypatch.setattr(os, name, partial(refuse, name))
    monkeypatch.setattr("io.open", partial(_refuse_open, io.open, path))


def _refuse_open(real: Callable[..., object], path: Path, *given: object, **more: object) -> object:
    if str(given[0]) == str(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return real(*given, **more)


def test_a_file_that_cannot_be_read_and_a_time_that_is_none_are_refused(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["logs", "reduce", str(tmp_path / "none.log")])
    assert isinstance(missing.exception, Refused)
    folder = CliRunner().invoke(app, ["logs", "templates", str(tmp_path)])
    assert isinstance(folder.exception, Refused)
    log = _write(tmp_path, "app.log", _quiet(3))
    for wrong in (["--since", "yesterday"], ["--since", "2026-11-20T15:00:00", "--until", "2026-11-20T14:00:00"]):
        assert CliRunner().invoke(app, ["logs", "reduce", log, *wrong]).exit_code == 2


@pytest.mark.parametrize(
    ("option", "at", "said"),
    [("--since", "2026-11-20 15:00:00", "from"), ("--until", "2026-11-20 13:00:00", "before")],
)
def test_a_time_that_no_line_is_in_is_named_and_not_called_quiet(
    tmp_path: Path, option: str, at: str, said: str
) -> None:
    log = _write(tmp_path, "app.log", _quiet(50))
    told = _run("reduce", log, option, at)
    assert f"note: no line is {said} {at} (UTC)" in told
    assert told.endswith("There is no line to look at.\n")


@pytest.mark.parametrize("calm", range(4, 13))
def test_an_error_that_is_cut_where_reading_again_ends_is_no_error_of_its_own(calm: int) -> None:
    trace = ("Traceback (most recent call last):", '  File "/app/cart.py", line 12, in total', "    return sum(prices)")
    lines = []
    for turn in range(500):
        lines += _quiet(calm, turn)
        lines += [f"{_at(turn)} ERROR shop.cart: failed for user {turn}", *trace, "TypeError: no number"]
    failures = _reduce(lines).failures
    assert {failure.record.headline for failure in failures} == {"TypeError: no number"}
    assert {len(failure.record.frames) for failure in failures} == {1}
