"""The output of commands as a log: their arguments, their environment, and how they are kept from harm."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.service import LogPlace
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.logs import process
from connectors.logs.command import TEMPLATES, Source
from tests.contract.logs_suite import HOUR, LogContract, LogWorld, stamp

SHOW = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
WRITE = "import sys, json; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:]))"


def python(code: str, *words: str, **more: object) -> Source:
    return Source(LogPlace(kind="command", command=(sys.executable, "-c", code, *words), **more))


class TestLogsCommand(LogContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> LogWorld:
        file = tmp_path / "log"
        file.write_bytes(b"")
        return LogWorld(
            source=python(SHOW, str(file)), write=lambda lines: file.write_bytes(b"\n".join(lines) + b"\n") and None
        )


def test_it_is_told_the_range_and_the_service_and_no_shell_reads_its_words(tmp_path: Path) -> None:
    words = ("{since}", "{until}", "{since_epoch}", "{until_epoch}", "{service}", "{path}", "$(id)", "{other}", "a;b")
    list(python(WRITE, str(tmp_path / "words"), *words, path="shop-1").read(HOUR))
    assert json.loads((tmp_path / "words").read_text()) == [
        "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z", "1795176000", "1795179601", "checkout", "shop-1",
        "$(id)", "{other}", "a;b",
    ]  # fmt: skip


def test_its_environment_is_empty_but_for_what_is_named(monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    monkeypatch.setenv("NIGHTSHIFT_ADMIN_TOKEN", "s3cr3t")
    code = "import os; print('\\n'.join(sorted(os.environ)))"
    names = {line.text for line in python(code, env=("KUBECONFIG", "NOT_SET")).read(HOUR)}
    assert {"KUBECONFIG", "LANG", "PATH"} <= names
    assert names <= {"KUBECONFIG", "LANG", "PATH", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}


@pytest.mark.parametrize(("field", "value"), [("path", "--help"), ("path", "-f"), ("query", "-x")])
def test_a_value_is_never_an_option(field: str, value: str) -> None:
    place = LogPlace(kind="command", command=("true", f"{{{field}}}"), **{field: value})
    with pytest.raises(Rejected, match="taken for an option"):
        list(Source(place).read(HOUR))


SPAN = ("--since=2026-11-20T12:00:00Z", "--until=2026-11-20T13:00:00Z")
ARGUMENTS = {
    "docker": ["logs", "--timestamps", *SPAN, "--", "shop-1"],
    "kubectl": ["logs", "--timestamps", "--since-time=2026-11-20T12:00:00Z", "--tail=-1", "--", "shop-1"],
    "ssh": [
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "--", "shop-1"),
        *("journalctl", "--no-pager", "--quiet", "--utc", "--output=short-iso-precise"),
        *("'--unit=shop.service; id'", "--since=@1795176000", "--until=@1795179601"),
    ],
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_becomes_an_argument_list(name: str, tmp_path: Path, monkeypatch) -> None:
    program, words = tmp_path / name, tmp_path / "words"
    program.write_text(f"#!{sys.executable}\nimport sys; sys.argv.insert(1, {str(words)!r})\n{WRITE}\n")
    program.chmod(0o755)
    monkeypatch.setattr(process, "PATH", str(tmp_path))
    list(Source(LogPlace(kind="command", command=(name,), path="shop-1", query="shop.service; id")).read(HOUR))
    assert json.loads(words.read_text()) == ARGUMENTS[name]


def test_what_docker_writes_is_read_with_its_times_and_both_streams(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "docker"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "print('2026-11-20T12:00:01.123456789Z Traceback (most recent call last):', flush=True)\n"
        "print('2026-11-20T12:00:02.5Z KeyError: 1', file=sys.stderr, flush=True)\n"
        "print('2026-11-20T14:00:00Z late')\nprint('2026-99-20T12:00:00Z odd')\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(process, "PATH", str(tmp_path))
    lines = list(Source(LogPlace(kind="command", command=("docker",), path="shop-1")).read(HOUR))
    assert [(line.text, line.at and line.at.microsecond) for line in lines] == [
        ("Traceback (most recent call last):", 123456), ("KeyError: 1", 500000),
    ]  # fmt: skip
    assert {line.source for line in lines} == {"shop-1"}


@pytest.mark.parametrize(
    ("code", "kind", "reason", "says"),
    [
        ("import sys; sys.stderr.write('no such container\\x1b[31m'); sys.exit(3)", Unavailable, Reason.SERVER_ERROR,
         "ended with 3: no such container"),
        ("import time; time.sleep(60)", Unavailable, Reason.TIMEOUT, "did not end in time"),
        ("import os, time\nif not os.fork(): time.sleep(60)", Unavailable, Reason.TIMEOUT, "did not end in time"),
        ("while True: print('x' * 100_000)", Rejected, Reason.TOO_LARGE, "writes without end"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Unavailable, Reason.SERVER_ERROR, "ended with -9"),
    ],
    ids=["fails", "hangs", "leaves a child", "never stops", "is killed"],
)  # fmt: skip
def test_what_keeps_it_from_being_read_is_said_with_query_and_range(code, kind, reason, says, monkeypatch) -> None:
    monkeypatch.setattr(process, "MAX_OUTPUT", 5_000_000)
    began = time.monotonic()
    with pytest.raises(kind) as told:
        list(python(code, path="shop-1").read(replace(HOUR, seconds=1.0)))
    assert time.monotonic() - began < 30
    assert told.value.reason is reason
    assert says in str(told.value)
    assert "asked for the log of checkout from 2026-11-20 12:00:00 to 2026-11-20 13:00:00 UTC" in str(told.value)
    assert str(told.value).isprintable()


def test_what_it_wrote_until_its_time_was_over_is_kept() -> None:
    source = python(f"print({stamp(1, 'good').decode()!r}, flush=True)\nimport time; time.sleep(60)")
    assert [line.text for line in source.read(replace(HOUR, seconds=0.6))] == [stamp(1, "good").decode()]
    assert "only what it wrote in" in source.notes[0]


@pytest.mark.parametrize("command", [(), ("/nowhere/program",), ("",), ("a\0b",)])
def test_a_command_that_cannot_be_started_is_refused(command) -> None:
    with pytest.raises(NightshiftError) as told:
        list(Source(LogPlace(kind="command", command=command)).read(HOUR))
    assert told.value.reason in {Reason.NOT_FOUND, Reason.BAD_INPUT}


def test_nothing_of_it_is_left_when_reading_stops_early() -> None:
    lines = process.run_lines([sys.executable, "-c", "while True: print('x')"], env={}, seconds=5)
    assert next(lines) == b"x"
    lines.close()
