"""Journals: of a script that writes what journalctl does, and, where systemd's programs are there, of real files."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.service import LogPlace
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.logs.journald import Source
from tests.contract.log_servers import as_entries
from tests.contract.logs_suite import HOUR, NOON, LogContract, LogWorld, stamp

PLACE = LogPlace(kind="journald", query="_SYSTEMD_UNIT=shop.service")
REMOTES = ("/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote")
REMOTE = next((path for path in REMOTES if Path(path).exists()), "")
FAKE = """#!{python}
import sys
sys.stdout.write(open({file!r}).read())
open({file!r} + ".argv", "w").write("\\n".join(sys.argv[1:]))
{more}
"""


def make_program(folder: Path, *, more: str = "") -> Path:
    """Return a program that prints a file, as journalctl would print a journal with --reverse."""
    program = folder / "journalctl"
    program.write_text(FAKE.format(python=sys.executable, file=str(folder / "journal"), more=more))
    program.chmod(0o755)
    (folder / "journal").write_text("")
    return program


def as_json(at: int, message: object) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": str(at // 1_000), "__CURSOR": "s=1", "MESSAGE": message})


def write(folder: Path, *lines: str) -> None:
    (folder / "journal").write_text("".join(f"{line}\n" for line in lines))


class TestLogsJournald(LogContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> LogWorld:
        program = make_program(tmp_path)

        def put(lines) -> None:
            write(tmp_path, *(as_json(at, text) for at, text in reversed(as_entries(lines))))

        return LogWorld(source=Source(PLACE, str(program)), write=put)


def test_journalctl_is_asked_for_the_range_and_the_matches_alone(tmp_path: Path) -> None:
    program = make_program(tmp_path)
    query = "_SYSTEMD_UNIT=shop.service + CONTAINER_NAME=shop"
    list(Source(LogPlace(kind="journald", path=str(tmp_path), query=query), str(program)).read(HOUR))
    assert (tmp_path / "journal.argv").read_text().split("\n") == [
        "--output=json", "--all", "--quiet", "--no-pager", "--reverse", "--output-fields=MESSAGE",
        f"--directory={tmp_path}", "--since=@1795176000", "--until=@1795179600", "--", *query.split(),
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["--file=/etc/shadow", "-u", "unit", "A=\x1b[31m", "a=b", "=x"])
def test_what_is_no_match_is_refused(tmp_path: Path, query: str) -> None:
    with pytest.raises(Rejected, match="is no match"):
        list(Source(replace(PLACE, query=query), str(make_program(tmp_path))).read(HOUR))


NOON_NS = int(NOON.timestamp() * 10**9)
HOSTILE = (
    "",
    "{",
    "null",
    "[]",
    "7",
    '{"MESSAGE": "no time"}',
    '{"__REALTIME_TIMESTAMP": 7, "MESSAGE": "x"}',
    '{"__REALTIME_TIMESTAMP": "-1", "MESSAGE": "x"}',
    '{"__REALTIME_TIMESTAMP": "99999999999999999999", "MESSAGE": "x"}',
    as_json(NOON_NS, None),
    as_json(NOON_NS, [300, -1]),
    as_json(NOON_NS, {"a": 1}),
    "[" * 50_000,
)


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_an_entry_that_is_none_is_left_out(tmp_path: Path, line: str) -> None:
    program = make_program(tmp_path)
    write(tmp_path, line, as_json(NOON_NS, "good"))
    source = Source(PLACE, str(program))
    assert [entry.text for entry in source.read(HOUR)] == ["good"]
    assert source.notes == ["journal: 1 entry could not be read"]


def test_bytes_that_are_no_text_and_fields_that_come_twice_are_read(tmp_path: Path) -> None:
    program, at = make_program(tmp_path), int(NOON.timestamp() * 10**9)
    write(tmp_path, as_json(at, [104, 105, 255]), as_json(at, ["first", "last"]))
    assert [entry.text for entry in Source(PLACE, str(program)).read(HOUR)] == ["last", r"hi\xff"]


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        ("sys.stderr.write('No journal files were opened'); sys.exit(1)", Unavailable, "No journal files were opened"),
        ("import time; time.sleep(60)", Unavailable, "did not end in time"),
    ],
    ids=["fails", "hangs"],
)
def test_what_keeps_it_from_being_read_is_said_with_query_and_range(tmp_path: Path, more: str, kind, says: str) -> None:
    with pytest.raises(kind, match=says) as told:
        list(Source(PLACE, str(make_program(tmp_path, more=more))).read(replace(HOUR, seconds=0.5)))
    assert "12:00:00 to 2026-11-20 13:00:00 UTC, filter _SYSTEMD_UNIT=shop.service" in str(told.value)


def test_what_was_read_until_the_time_is_over_is_kept(tmp_path: Path) -> None:
    program = make_program(tmp_path, more="sys.stdout.flush(); import time; time.sleep(60)")
    write(tmp_path, as_json(int(NOON.timestamp() * 10**9), "good"))
    source = Source(PLACE, str(program))
    assert [line.text for line in source.read(replace(HOUR, seconds=1.0))] == ["good"]
    assert "only what was read in" in source.notes[0]


def test_a_machine_without_journalctl_is_told_so() -> None:
    with pytest.raises(NightshiftError) as told:
        list(Source(PLACE, "/nowhere/journalctl").read(HOUR))
    assert told.value.reason is Reason.NOT_FOUND


@pytest.mark.skipif(not shutil.which("journalctl"), reason="systemd's journalctl is not installed")
def test_a_real_journalctl_takes_the_arguments(tmp_path: Path) -> None:
    assert list(Source(LogPlace(kind="journald", path=str(tmp_path), query=PLACE.query)).read(HOUR)) == []


@pytest.mark.skipif(not (REMOTE and shutil.which("journalctl")), reason="systemd-journal-remote is not installed")
def test_real_journal_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "shop.journal"
    fields = [
        f"__REALTIME_TIMESTAMP={int((NOON.timestamp() + n) * 1e6)}\n__MONOTONIC_TIMESTAMP={n + 1}\n"
        f"_BOOT_ID={'a' * 32}\n_SYSTEMD_UNIT=shop.service\nMESSAGE=line {n}\n"
        for n in range(300)
    ]
    subprocess.run([REMOTE, f"--output={file}", "-"], input="\n".join([*fields, ""]).encode(), check=True)
    for place in (file, tmp_path):
        lines = list(Source(LogPlace(kind="journald", path=str(place), query=PLACE.query)).read(HOUR))
        assert [line.text for line in lines] == [f"line {n}" for n in range(300)]
        assert lines[1].at.second == 1
    assert list(Source(LogPlace(kind="journald", path=str(file), query="_SYSTEMD_UNIT=other")).read(HOUR)) == []


def test_of_a_long_journal_the_newest_are_read_and_the_program_is_ended(tmp_path: Path) -> None:
    program = make_program(tmp_path, more="sys.stdout.flush(); import time; time.sleep(60)")
    entries = reversed(as_entries([stamp(n / 100, f"line {n}") for n in range(2_000)]))
    write(tmp_path, *(as_json(at, text) for at, text in entries))
    source = Source(PLACE, str(program))
    lines = list(source.read(replace(HOUR, max_bytes=3_000)))
    assert lines[-1].text.endswith("line 1999")
    assert len(lines) < 100
    assert source.notes == ["journal: only the newest 3,000 bytes were read"]
