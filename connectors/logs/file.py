"""Log files on this machine, rotated ones included: `app.log`, `app.log.1`, `app.log.2.gz`, `app-2026-11-20.log`."""

import os
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.domain.evidence import LogLine
from bot.domain.logs.logtime import parse_time
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.logs import LogQuery
from connectors.logs.file_blocks import BROKEN, MAX_LINE, read_lines
from connectors.logs.file_rotation import OpenFile, find_files, sort_files

_CUT: Final = " … [the rest of this line was cut]"
_ZONES: Final = timedelta(hours=26)  # a log in local time without a zone may seem this far off
_TIME_REACH: Final = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class _Raw:
    number: int
    text: bytes
    at: datetime | None


class _Tail:
    """The newest lines within a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.lines: deque[_Raw] = deque()
        self.used = 0
        self.is_cut = False

    def add(self, line: _Raw) -> None:
        self.lines.append(line)
        self.used += len(line.text) + 1
        while self.used > self._limit and self.lines:
            self.used -= len(self.lines.popleft().text) + 1
            self.is_cut = True


class Source:
    """`LogSource` over the files that `pattern` matches; an exact name finds its rotated files too.

    Files are opened before the first one is read, so that a rotation in between loses and repeats nothing. `read`
    raises when its first line is asked for; it ends with the query's seconds. `notes` says what the latest read had to
    leave out.
    """

    def __init__(self, name: str, pattern: str) -> None:
        self._name = name
        self._pattern = pattern
        self._ends_at = 0.0
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.notes = []
        self._ends_at = time.monotonic() + query.seconds
        with ExitStack() as stack:
            kept = self._keep(self._open(query, stack), query)
        if time.monotonic() > self._ends_at and not any(tail.lines for _, tail in kept):
            raise Unavailable(self._say(f"{query.seconds:.0f} s were not enough to read", query), Reason.TIMEOUT)
        for name, tail in reversed(kept):
            while tail.lines:
                line = tail.lines.popleft()
                yield LogLine(source=name, number=line.number, text=_decode(line.text), at=line.at)

    def _keep(self, files: list[OpenFile], query: LogQuery) -> list[tuple[str, _Tail]]:
        kept: list[tuple[str, _Tail]] = []
        budget = query.max_bytes
        for file in reversed(files):
            name = file.path.name
            if file.written_at is not None and file.written_at < query.since - _ZONES:
                continue
            if budget <= 0:
                self.notes.append(f"{name} and older: not read, the limit of {query.max_bytes} bytes is used up")
                break
            tail = self._keep_newest(file, query, budget)
            if tail.is_cut:
                self.notes.append(f"{name}: only the newest {tail.used} bytes were kept")
            budget = 0 if tail.is_cut else budget - tail.used
            kept.append((name, tail))
        return kept

    def _keep_newest(self, file: OpenFile, query: LogQuery, budget: int) -> _Tail:
        """Return the newest lines in [since, until). A line without a time goes with the line before it."""
        near = file.written_at or query.until
        head, tail = _Tail(budget), _Tail(budget)
        clock: datetime | None = None
        try:
            for number, text in read_lines(
                file.stream, query.since, query.until, time_of=lambda raw: self._time_of(raw, near)
            ):
                line = _Raw(number=number, text=text, at=self._time_of(text, near))
                if clock is None and line.at is None:
                    head.add(line)
                    continue
                is_first, clock = clock is None, line.at or clock
                if clock is None or not query.since <= clock < query.until:
                    continue
                for early in head.lines if is_first else ():
                    tail.add(early)
                tail.add(line)
        except BROKEN as error:
            self.notes.append(f"{file.path.name}: not read to its end ({error})")
        is_recent = file.written_at is None or file.written_at >= query.since
        return head if clock is None and is_recent else tail

    def _time_of(self, raw: bytes, near: datetime) -> datetime | None:
        """Return the time that a line shows. Raises `TimeoutError` when there is no time left."""
        if time.monotonic() > self._ends_at:
            raise TimeoutError("no time was left")
        return _time_of(raw, near)

    def _open(self, query: LogQuery, stack: ExitStack) -> list[OpenFile]:
        try:
            paths = find_files(self._pattern)
        except OSError as error:
            raise self._explain([error], query) from error
        if not paths:
            raise Rejected(self._say("No file matches", query), Reason.NOT_FOUND)
        opened: dict[tuple[int, int], OpenFile] = {}
        faults: list[OSError] = []
        for path in paths:
            try:
                # A FIFO put there by the service must not make us wait.
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                faults.append(error)
                continue
            stream = stack.enter_context(os.fdopen(descriptor, "rb"))
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                file = OpenFile(path=path, stream=stream, mtime=status.st_mtime)
                opened.setdefault((status.st_dev, status.st_ino), file)
        if not opened:
            raise self._explain(faults, query)
        self.notes += [f"{Path(str(fault.filename)).name}: {fault.strerror}" for fault in faults]
        return sort_files(opened.values())

    def _explain(self, faults: list[OSError], query: LogQuery) -> NightshiftError:
        if not faults:
            return Unavailable(self._say("No readable file is left of", query), Reason.NOT_FOUND)
        why = f" ({faults[0].strerror})"
        if any(isinstance(fault, PermissionError) for fault in faults):
            return Rejected(self._say("Nightshift may not read", query) + why, Reason.NOT_ALLOWED)
        return Unavailable(self._say("Cannot read", query) + why, Reason.UNREACHABLE)

    def _say(self, what: str, query: LogQuery) -> str:
        span = f"{query.since:%Y-%m-%d %H:%M:%S} to {query.until:%Y-%m-%d %H:%M:%S %Z}"
        return f"{what} {self._pattern}, asked for the log of {query.service} from {span}"


def _time_of(raw: bytes, near: datetime) -> datetime | None:
    return parse_time(raw[:_TIME_REACH].decode("utf-8", "backslashreplace"), near=near)


def _decode(raw: bytes) -> str:
    if len(raw) <= MAX_LINE:
        return raw.decode("utf-8", "backslashreplace")
    return raw[:MAX_LINE].decode("utf-8", "backslashreplace") + _CUT
