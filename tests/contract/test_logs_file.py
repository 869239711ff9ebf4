import gzip
import os
import shutil
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.domain.evidence import LogLine
from bot.errors import Reason, Rejected, Unavailable
from connectors.logs import file as log_file
from connectors.logs.file import Source
from tests.contract.logs_suite import HOUR, NOON, LogContract, LogWorld, stamp


def put(path: Path, lines: Sequence[bytes], *, minutes: float | None = 30) -> Path:
    """Write a file whose last change seems to be that many minutes after noon."""
    text = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    if minutes is not None:
        at = (NOON + timedelta(minutes=minutes)).timestamp()
        os.utime(path, (at, at))
    return path


def read(pattern: Path | str, **change: object) -> list[LogLine]:
    return list(Source("file", str(pattern)).read(replace(HOUR, **change)))


class TestLogsFile(LogContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> LogWorld:
        path = tmp_path / "app.log"
        return LogWorld(source=Source("file", str(path)), write=lambda lines: put(path, lines) and None)


class TestLogsFilePacked(LogContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> LogWorld:
        path = tmp_path / "app.log.1.gz"
        return LogWorld(source=Source("file", str(tmp_path / "app.log")), write=lambda lines: put(path, lines) and None)


NAMES = {
    "numbers": ["app.log.10.gz", "app.log.2.gz", "app.log.1", "app.log"],
    "dates": ["app.log-20261118.gz", "app.log-20261119", "app.log"],
    "dates before the suffix": ["app-2026-11-18.log", "app.2026-11-19.0.log", "app.2026-11-19.10.log.gz", "app.log"],
    "hours": ["app.log.2026-11-20_09", "app.log.2026-11-20_10", "app.log"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("wildcard", [False, True], ids=["exact", "wildcard"])
def test_rotated_files_are_read_oldest_first(tmp_path: Path, names: list[str], wildcard: bool) -> None:
    for minute, name in enumerate(names):
        # All times equal, as after a copy: the name must decide.
        put(tmp_path / name, [stamp(minute * 2, "a"), stamp(minute * 2 + 1, "b")])
    put(tmp_path / "app.log.2.xz", [b"\xfd7zXZ"])
    put(tmp_path / "other.log", [stamp(1, "other")])
    lines = read(tmp_path / ("app*" if wildcard else "app.log"))
    assert [(line.source, line.number) for line in lines] == [(name, number) for name in names for number in (1, 2)]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "app.log", [stamp(-90 + n / 1000, "x" * 60) for n in range(120_000)])
    lines = read(path)
    assert lines[0].number == 90_001
    assert path.read_bytes().split(b"\n")[lines[0].number - 1].decode() == lines[0].text
    assert len(lines) == 30_000


def test_files_last_written_before_the_range_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path / "app.log.1", [stamp(10, "claims to be newer")], minutes=-60 * 48)
    put(tmp_path / "app.log", [stamp(10, "now")])
    assert [line.source for line in read(tmp_path / "app.log")] == ["app.log"]


def test_lines_before_the_first_time_go_with_what_follows(tmp_path: Path) -> None:
    put(tmp_path / "app.log", [b"  rest of a trace", stamp(1, "now")])
    assert len(read(tmp_path / "app.log")) == 2
    put(tmp_path / "app.log", [b"  rest of a trace", stamp(-1, "old"), stamp(1, "now")])
    assert [line.number for line in read(tmp_path / "app.log")] == [3]


def test_a_log_without_times_is_given_if_it_was_written_since(tmp_path: Path) -> None:
    put(tmp_path / "app.log", [b"hello", b"world"])
    assert [line.text for line in read(tmp_path / "app.log")] == ["hello", "world"]
    put(tmp_path / "app.log", [b"hello", b"world"], minutes=-1)
    assert read(tmp_path / "app.log") == []


def test_the_limit_spans_files_and_is_noted(tmp_path: Path) -> None:
    put(tmp_path / "app.log.1", [stamp(n / 10, "x" * 100) for n in range(100)])
    put(tmp_path / "app.log", [stamp(20, "y" * 100)])
    source = Source("file", str(tmp_path / "app.log"))
    lines = list(source.read(replace(HOUR, max_bytes=1_000)))
    assert [line.source for line in lines] == ["app.log.1"] * 7 + ["app.log"]
    assert lines[-2].number == 100
    assert any("app.log.1" in note for note in source.notes)


def test_reading_ends_with_its_time_and_what_was_read_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr(log_file, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    put(tmp_path / "app.log", [stamp(n / 100, f"line {n}") for n in range(2_000)])
    source = Source("file", str(tmp_path / "app.log"))
    lines = list(source.read(replace(HOUR, seconds=100)))
    assert 0 < len(lines) < 100
    assert "not read to its end (no time was left)" in source.notes[0]
    with pytest.raises(Unavailable, match=r"0 s were not enough to read .*app\.log, asked for the log of"):
        list(source.read(replace(HOUR, seconds=0)))


def test_windows_line_ends_are_removed(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(stamp(1, "a") + b"\r\n" + stamp(2, "b"))
    assert [line.text[-1] for line in read(tmp_path / "app.log")] == ["a", "b"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_logs_that_are_not_in_utf_8_show_their_letters(tmp_path: Path, encoding: str) -> None:
    text = stamp(10, "ERROR Größe ungültig").decode() + "\n"
    for name, raw in (("app.log", text.encode(encoding)), ("app.log.1.gz", gzip.compress(text.encode(encoding)))):
        put(tmp_path / name, [], minutes=30).write_bytes(raw)
    assert [line.text for line in read(tmp_path / "app.log")] == [text.strip()] * 2


@pytest.mark.parametrize("pattern", ["missing.log", "*.nothing", "no/such/folder/*.log", "no/folder/app.log"])
def test_no_match_names_pattern_and_range(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(tmp_path / pattern)
    assert caught.value.reason is Reason.NOT_FOUND
    for word in (pattern, "2026-11-20 12:00:00", "2026-11-20 13:00:00 UTC", "checkout"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(PermissionError(13, "Permission denied"), Rejected), (OSError(5, "Input/output error"), Unavailable)],
)
def test_an_unreadable_file_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError, kind: type[Exception]
) -> None:
    put(tmp_path / "app.log", [stamp(1, "x")])

    def refuse(*_: object) -> int:
        raise fault

    monkeypatch.setattr(log_file.os, "open", refuse)
    with pytest.raises(kind, match=r"app\.log") as caught:
        read(tmp_path / "app.log")
    assert str(fault.strerror) in str(caught.value)


def test_one_unreadable_file_among_others_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "app.log", [stamp(1, "x")])
    put(tmp_path / "app.log.1", [stamp(0, "x")])
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if path.name == "app.log.1":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags)

    monkeypatch.setattr(log_file.os, "open", refuse)
    source = Source("file", str(tmp_path / "app.log"))
    assert len(list(source.read(HOUR))) == 1
    assert source.notes == ["app.log.1: Permission denied"]


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "app.log.1")
    (tmp_path / "app.log.2").mkdir()
    put(tmp_path / "app.log", [stamp(1, "x")])
    assert len(read(tmp_path / "app.log*")) == 1
    (tmp_path / "app.log").unlink()
    with pytest.raises(Unavailable, match=r"app\.log"):
        read(tmp_path / "app.log*")


def test_a_bomb_is_stopped_in_bounded_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "app.log.1.gz", "wb", compresslevel=9) as packed:
        packed.write(stamp(1, "before") + b"\n")
        for _ in range(200):
            packed.write(b"\0" * 1024 * 1024)
    put(tmp_path / "app.log", [stamp(2, "x")])
    source = Source("file", str(tmp_path / "app.log"))
    tracemalloc.start()
    lines = list(source.read(HOUR))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines[0].text.endswith("before")
    assert lines[-1].text.endswith("x")
    assert any("app.log.1.gz: not read to its end" in note for note in source.notes)
    assert peak < 32 * 1024 * 1024


@pytest.mark.parametrize("size", [12, 4_000, 40_000])
def test_a_damaged_packed_file_gives_what_is_left(tmp_path: Path, size: int) -> None:
    whole = gzip.compress(b"\n".join(stamp(n / 1000, os.urandom(16).hex()) for n in range(2_000)))
    (tmp_path / "app.log.1.gz").write_bytes(whole[:size])
    put(tmp_path / "app.log", [stamp(59, "last")])
    source = Source("file", str(tmp_path / "app.log"))
    lines = list(source.read(HOUR))
    assert lines[-1].text.endswith("last")
    assert source.notes
    assert len(lines) > 1 or size == 12


def test_a_file_rotated_and_truncated_while_it_is_read_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    put(path, [stamp(n / 1000, str(n)) for n in range(4_000)], minutes=None)
    put(tmp_path / "app.log.1", [stamp(0, "older")], minutes=None)
    stop = threading.Event()

    def rotate() -> None:
        while not stop.is_set():
            path.rename(tmp_path / "app.log.9")
            path.write_bytes(b"")
            (tmp_path / "app.log.9").replace(path)
            time.sleep(0.001)

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        for _ in range(10):
            texts = [line.text for line in read(path)]
            assert len(texts) == len(set(texts))
            assert len(texts) in {1, 4_001}  # the moment in which the new file is the empty one
    finally:
        stop.set()
        rotating.join()


def test_a_file_emptied_under_the_reader_ends_early(tmp_path: Path) -> None:
    path = put(tmp_path / "app.log", [stamp(n / 1000, "x" * 100) for n in range(20_000)])
    source = Source("file", str(path))
    lines = source.read(HOUR)
    next(lines)
    path.write_bytes(b"")
    assert len(list(lines)) == 19_999
    assert read(path) == []


def test_fifty_megabytes_without_a_line_end_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with path.open("wb") as out:
        out.write(stamp(1, "before") + b"\n" + stamp(2, ""))
        for _ in range(50):
            out.write(b"z" * 1024 * 1024)
        out.write(b"\n" + stamp(3, "after"))
    tracemalloc.start()
    lines = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line.number for line in lines] == [1, 2, 3]
    assert len(lines[1].text) < 70_000
    assert peak < 16 * 1024 * 1024


def pack(path: Path, raw: bytes) -> Path:
    """Write a file as zstd packs it."""
    path.write_bytes(subprocess.run(["zstd", "--quiet", "--stdout"], input=raw, capture_output=True, check=True).stdout)
    os.utime(path, (NOON.timestamp() + 1800,) * 2)
    return path


@pytest.mark.skipif(not shutil.which("zstd"), reason="zstd is not installed")
class TestZstd:
    def test_rotated_files_are_read_as_one_log(self, tmp_path: Path) -> None:
        pack(tmp_path / "app.log.1.zst", b"\n".join([stamp(1, "old"), stamp(2, "older")]))
        put(tmp_path / "app.log", [stamp(3, "new")])
        lines = read(tmp_path / "app.log")
        assert [line.text.split()[-1] for line in lines] == ["old", "older", "new"]

    def test_a_broken_one_is_read_as_far_as_it_goes(self, tmp_path: Path) -> None:
        path = pack(tmp_path / "app.log.1.zst", b"\n".join(stamp(n / 100, os.urandom(40).hex()) for n in range(9_000)))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        os.utime(path, (NOON.timestamp() + 1800,) * 2)
        source = Source("file", str(tmp_path / "app.log.1.zst"))
        assert 0 < len(list(source.read(HOUR))) < 9_000
        assert "not read to its end (zstd cannot unpack it)" in source.notes[0]

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr("connectors.logs.file_blocks._FREE_UNPACKED", 1_000_000)
        pack(tmp_path / "app.log.1.zst", b"x" * 50_000_000)
        source = Source("file", str(tmp_path / "app.log.1.zst"))
        list(source.read(HOUR))
        assert "times its size" in source.notes[0]

    def test_without_the_program_the_note_says_so(self, tmp_path: Path, monkeypatch) -> None:
        pack(tmp_path / "app.log.1.zst", stamp(1, "x"))
        monkeypatch.setattr("connectors.logs.file_blocks._UNPACK", ("/nowhere/zstd",))
        source = Source("file", str(tmp_path / "app.log.1.zst"))
        assert list(source.read(HOUR)) == []
        assert "/nowhere/zstd" in source.notes[0]
