"""From log lines to error records: multi-line stack traces and error lines, counted over their repeats. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from bot.domain.evidence import ErrorRecord, Frame, LogLine
from bot.domain.logs.logfields import as_object, flatten, parse_logfmt, parse_object
from bot.domain.logs.logtime import parse_time
from bot.domain.traces.frames import MAX_LINES, find_trace, may_start, parse_stack, strip_header
from bot.domain.traces.parts import Trace, split_exception

__all__ = ["MAX_RECORDS", "find_records", "merge_records", "parse_time"]

MAX_RECORDS: Final = 100
_MAX_GROUPS: Final = 5_000
_MAX_KEPT_LINES: Final = 200
_MESSAGE_LINES: Final = 10

_LEVEL: Final = re.compile(
    r"(?:^|[\s\[<|(.,])(?:(ERROR|CRITICAL|FATAL|SEVERE|PANIC|EMERG(?:ENCY)?)\b(?![=\w])|(?:level|lvl|severity)=\"?(?i:error|err|critical"
    r"|crit|fatal|panic|alert|emerg)\b)|[\[<](?i:error|err|critical|crit|fatal|emerg)[\]>]|^[EF]\d{4} \d\d:"
)
_LEVEL_REACH: Final = 160
_LEVEL_HINTS: Final = ("err", "crit", "fatal", "severe", "panic", "emerg", "alert")
_ERROR_LEVELS: Final = frozenset(
    {"error", "err", "critical", "crit", "fatal", "panic", "dpanic", "emerg", "emergency", "alert", "severe"}
)
_JSON_HINT: Final = re.compile(
    r'"(?:error|err|critical|crit|fatal|panic|dpanic|emerg|emergency|alert|severe)"|exc_info|traceback|stack|exception'
    r'|"level": ?[56]\d\b',
    re.IGNORECASE,
)
_LEVEL_KEYS: Final = ("level", "severity", "lvl", "levelname", "log.level", "loglevel", "severity_text")
_STACK_KEYS: Final = (
    "exc_info", "traceback", "stack", "stack_trace", "stacktrace", "exception", "exc_text", "error.stack", "err.stack",
    "error.stack_trace", "exception.stacktrace", "exception.stack_trace", "error.stacktrace", "error", "err", "message",
    "msg", "log", "attributes.exception.stacktrace",
)  # fmt: skip
_KIND_KEYS: Final = (
    "exc_type", "error.type", "error.kind", "error.name", "err.type", "err.name", "exception.type", "exception_class",
    "error_class", "exception.class", "error_type",
)  # fmt: skip
_MESSAGE_KEYS: Final = ("message", "msg", "event", "error.message", "err.message", "error", "err", "text", "log")
_VARIABLE: Final = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"|\b(?:0x)?[0-9a-f]{8,}(?:-[0-9a-f]{4,12}){0,4}\b|\d+")


@dataclass(kw_only=True)
class _Group:
    record: ErrorRecord
    count: int = 0
    times: list[datetime] = field(default_factory=list)

    def add(self, at: datetime | None) -> None:
        self.count += 1
        if at is not None:
            self.times = [min([*self.times, at]), max([*self.times, at])]

    def finish(self) -> ErrorRecord:
        first, last = (self.times[0], self.times[-1]) if self.times else (None, None)
        return replace(self.record, count=self.count, first_at=first, last_at=last)


def find_records(lines: Iterable[LogLine]) -> tuple[ErrorRecord, ...]:
    """Return the distinct errors of `lines`, at most `MAX_RECORDS`.

    Errors with a stack trace come first, then the more frequent, then the one with more frames. In `frames` the
    innermost frame is the LAST. Repeats (same kind and frames; without frames same text but for numbers and quoted
    parts) are counted; the first one's lines are kept.
    """
    groups: dict[object, _Group] = {}
    for _source, run in groupby(lines, key=lambda line: line.source):
        for record, at in _scan(run):
            key = (record.kind, record.frames) if record.frames else (record.kind, _VARIABLE.sub("*", record.headline))
            group = groups.get(key)
            if group is None:
                if len(groups) >= _MAX_GROUPS:
                    continue
                group = groups[key] = _Group(record=record)
            group.add(at)
    found = _drop_told([group.finish() for group in groups.values()])
    found.sort(key=lambda record: (not record.frames, -record.count, -len(record.frames)))
    return tuple(found[:MAX_RECORDS])


def has_record(lines: Iterable[LogLine]) -> bool:
    """Say whether `find_records` finds an error, as soon as one is seen."""
    return any(True for _source, run in groupby(lines, key=lambda line: line.source) for _ in _scan(run))


def merge_records(records: Iterable[ErrorRecord]) -> tuple[ErrorRecord, ...]:
    """Return the records of several sources, of those that say the same thing at the same places the first."""
    found: dict[object, ErrorRecord] = {}
    for record in records:
        places = tuple((frame.path.rsplit("/", 1)[-1], frame.line) for frame in record.frames)
        found.setdefault((record.kind, places or record.headline), record)
    return tuple(_drop_told(list(found.values())))


def _drop_told(records: list[ErrorRecord]) -> list[ErrorRecord]:
    """Leave out what a test run's summary only names again: a frame without a line, of an error with frames."""
    told = {(record.kind, frame.path) for record in records for frame in record.frames if frame.line}
    return [
        record
        for record in records
        if any(frame.line for frame in record.frames)
        or not record.frames
        or any((record.kind, frame.path) not in told for frame in record.frames)
    ]


def _scan(lines: Iterable[LogLine]) -> Iterator[tuple[ErrorRecord, datetime | None]]:
    """Yield each error of one source with its time. Looks ahead a bounded number of lines."""
    window = _Window(lines)
    at: datetime | None = None
    while (line := window.first()) is not None:
        at = line.at or at
        used, record = _take(window, timed=at is not None)
        if record is not None:
            times = [one.at for one in record.lines if one.at is not None]
            yield record, (times[0] if times else at)
        window.drop(used)


class _Window:
    """The next lines of a source and their texts without headers."""

    def __init__(self, lines: Iterable[LogLine]) -> None:
        self._rest = iter(lines)
        self._start = 0
        self.lines: list[LogLine] = []
        self.texts: list[str] = []
        self.drop(0)

    def first(self) -> LogLine | None:
        return self.lines[self._start] if self._start < len(self.lines) else None

    def peek(self, ahead: int) -> str:
        place = self._start + ahead
        return self.texts[place] if place < len(self.texts) else ""

    def slice_texts(self) -> list[str]:
        return self.texts[self._start : self._start + MAX_LINES]

    def slice_lines(self, count: int) -> list[LogLine]:
        return self.lines[self._start : self._start + count]

    def drop(self, count: int) -> None:
        self._start += count
        if len(self.lines) - self._start > MAX_LINES:
            return
        del self.lines[: self._start], self.texts[: self._start]
        self._start = 0
        for line in self._rest:
            self.lines.append(line)
            self.texts.append(strip_header(line.text))
            if len(self.lines) >= 4 * MAX_LINES:
                break


def _take(window: _Window, *, timed: bool) -> tuple[int, ErrorRecord | None]:
    """Return how many lines were used up, and the error they are."""
    text, line = window.peek(0), window.slice_lines(1)[0]
    if "{" in text[:256] and _JSON_HINT.search(line.text):
        fields = parse_object(line.text)
        if fields is not None:
            return 1, _from_fields(line, fields)
    if r"\n" in line.text and (trace := _unfolded(line.text)) is not None:
        return 1, _from_trace(trace, [line])
    offset = _trace_offset(window)
    if offset is not None and (trace := find_trace(window.slice_texts()[offset:])) is not None:
        used = offset + trace.end
        used += _count_message_lines(window, used) if timed else 0
        return used, _from_trace(trace, window.slice_lines(used))
    match = _find_level(text)
    return (1, _from_text(line, text, match)) if match is not None else (1, None)


def _find_level(text: str) -> re.Match[str] | None:
    """Return where a text names a level of errors. Few lines do, so the letters are looked for first."""
    text = text[:_LEVEL_REACH]
    folded = text.lower()
    if text[:1] not in {"E", "F"} and not any(hint in folded for hint in _LEVEL_HINTS):
        return None
    return _LEVEL.search(text)


def _trace_offset(window: _Window) -> int | None:
    """Return 0 where a trace may begin, 1 where this error line only announces it, None for neither."""
    first, second = window.peek(0), window.peek(1)
    if may_start(first, second) and find_trace(window.slice_texts()) is not None:
        return 0
    is_event = second.startswith("{") or r"\n" in second  # with a trace in its own line
    if not is_event and _find_level(first) and may_start(second, window.peek(2)):
        return 1
    return None


def _count_message_lines(window: _Window, used: int) -> int:
    """Return how many lines after a trace go on with its message: without a time in a log that has times."""
    count = 0
    for line in window.slice_lines(used + _MESSAGE_LINES)[used:]:
        if line.at is not None or not line.text.strip() or parse_time(line.text) is not None:
            break
        if may_start(window.peek(used + count), window.peek(used + count + 1)):
            break
        count += 1
    return count


def _unfolded(text: str) -> Trace | None:
    """Return the trace of a line that holds it with written-out line ends."""
    if not may_start(text[:4_000], ""):
        return None
    return parse_stack(text.replace(r"\n", "\n").replace(r"\t", "\t").replace(r"\"", '"'))


def _from_trace(trace: Trace, lines: list[LogLine]) -> ErrorRecord:
    return ErrorRecord(
        headline=trace.headline[:500], kind=trace.kind, frames=trace.frames, lines=tuple(lines[:_MAX_KEPT_LINES])
    )


def _from_text(line: LogLine, text: str, level: re.Match[str]) -> ErrorRecord:
    headline = text[level.end() :].strip(' :]>-|\t"')[:500] or text.strip()[:500]
    if "=" in level.group() and (pairs := parse_logfmt(line.text)):
        return _from_fields(line, pairs) or _from_headline(line, text.strip(), "ERROR")
    return _from_headline(line, headline, level.group(1) or "ERROR")


def _from_headline(line: LogLine, headline: str, fallback: str) -> ErrorRecord:
    named = split_exception(headline)
    kind = named[0] if named is not None else fallback
    return ErrorRecord(headline=headline[:500], kind=kind, frames=(), lines=(line,))


def _from_fields(line: LogLine, fields: Mapping[str, object]) -> ErrorRecord | None:
    flat = flatten(fields, frozenset({"body", "payload", "request_body"}))
    trace = _field_trace(flat)
    if trace is not None:
        return _from_trace(trace, [line])
    if not _is_error(flat):
        return None
    headline = _first_text(flat, _MESSAGE_KEYS) or line.text.strip()
    named = split_exception(headline[:2_000])
    kind = _first_text(flat, _KIND_KEYS) or (named[0] if named is not None else "ERROR")
    return ErrorRecord(headline=headline[:500], kind=kind[:200], frames=(), lines=(line,))


def _is_error(flat: Mapping[str, object]) -> bool:
    for key in _LEVEL_KEYS:
        level = flat.get(key)
        if isinstance(level, str):
            return level.lower() in _ERROR_LEVELS
        if isinstance(level, int):
            return level >= 50
    return False


def _first_text(flat: Mapping[str, object], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = flat.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _field_trace(flat: Mapping[str, object]) -> Trace | None:
    for key in _STACK_KEYS:
        value = flat.get(key)
        trace = _listed_trace(value)
        if trace is None and isinstance(value, str) and ("\n" in value or "\\n" in value):
            trace = parse_stack(value if "\n" in value else value.replace("\\n", "\n"))
        if trace is not None and trace.frames:
            return trace
    return None


def _listed_trace(value: object) -> Trace | None:
    """Return the trace of a list of exceptions with frames, as structured Python loggers write it."""
    last = as_object(value[-1]) if isinstance(value, list) and value else None
    listed = last.get("frames") if last is not None else None
    if last is None or not isinstance(listed, list):
        return None
    frames = [frame for item in listed[-128:] if (frame := _listed_frame(as_object(item))) is not None]
    kind, message = last.get("exc_type") or last.get("type"), last.get("exc_value") or last.get("value")
    return Trace(kind=str(kind or "Error")[:200], message=str(message or "")[:500], frames=tuple(frames), end=1)


def _listed_frame(item: Mapping[str, object] | None) -> Frame | None:
    if item is None:
        return None
    path, line = item.get("filename") or item.get("path"), item.get("lineno") or item.get("line")
    name = item.get("name") or item.get("function")
    if not isinstance(path, str) or not isinstance(line, int) or line > 10**8:
        return None
    return Frame(path=path[:500], line=line, function=str(name or "")[:200], code=str(item.get("line") or "")[:300])
