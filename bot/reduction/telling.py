"""A reduction in words: few lines, the most telling first, each with where it stands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.evidence import LogLine
from bot.reduction.comparing import Change, Kind
from bot.reduction.reducing import Failure, LogSummary, Reduction
from bot.reduction.severity import Severity
from bot.reduction.tally import Total

LINES: Final = 60
TOKENS: Final = 4_000
_CHARACTERS: Final = 4  # about one token
_WIDTH: Final = 400
_MAX_RECORD: Final = 26
_MIN_RECORD: Final = 5
_MAX_RECORDS: Final = 8
_ENDING: Final = 4
_FRAMES: Final = 3
_FOR_KINDS: Final = 12
_LISTS: Final = ((Change.NEW, "New", 10), (Change.MORE, "Much more frequent", 8), (Change.BURST, "In a burst", 4))
_WITH_CONTEXT: Final = 10
_GONE: Final = 5
_BAD: Final = 8
_CAUSES: Final = re.compile(r"Caused by|During handling of|direct cause of|panicked at|goroutine \d+ \[running")


@dataclass(kw_only=True)
class _Page:
    """Lines within a budget."""

    lines_left: int
    characters_left: int

    def take(self, lines: Sequence[str]) -> list[str]:
        """Return the lines that still fit."""
        taken = []
        for line in lines:
            if self.lines_left <= 0 or len(line) > self.characters_left:
                break
            self.lines_left -= 1
            self.characters_left -= len(line) + 1
            taken.append(line)
        return taken


def tell(reduction: Reduction, *, lines: int = LINES, tokens: int = TOKENS) -> list[str]:
    """Return what is worth reading, in at most so many lines and about so many tokens."""
    page = _Page(lines_left=lines, characters_left=tokens * _CHARACTERS)
    head = page.take([_cut(line) for line in _tell_head(reduction)])
    told = list(head)
    has_baseline = bool(reduction.total_before.lines)
    shares = _share_out(lines - len(told), reduction)
    for place, most in enumerate(shares):
        failure = reduction.failures[place]
        with_context = replace(failure, context=failure.context if most >= _WITH_CONTEXT else ())
        told += page.take(list(_tell_failure(with_context, reduction, most, has_baseline=has_baseline)))
    if len(reduction.failures) > len(shares):
        left = len(reduction.failures) - len(shares)
        told += page.take([f"… and {left:,} more {'kind of error' if left == 1 else 'kinds of errors'}"])
    for change, title, most in _LISTS:
        told += page.take(_tell_kinds(title, reduction.select(change), most))
    bad = [kind for kind in reduction.select(Change.USUAL) if not has_baseline or kind.severity >= Severity.WARNING]
    told += page.take(_tell_kinds("Sounds bad" if not has_baseline else "Bad, and as before", bad, _BAD))
    told += page.take(_tell_kinds("Gone", reduction.select(Change.GONE), _GONE))
    if len(told) == len(head):
        nothing = "Nothing in these logs stands out." if reduction.total.lines else "There is no line to look at."
        told += page.take([nothing])
    return told


def _share_out(lines: int, reduction: Reduction) -> list[int]:
    """Return how many lines each failure that is told may take: the first one twice as many as the others."""
    left = lines - min(_FOR_KINDS, 3 * len(reduction.kinds))
    count = min(len(reduction.failures), _MAX_RECORDS)
    while count > 1 and (left - 2 * count) // (count + 1) < _MIN_RECORD:
        count -= 1
    each = max(_MIN_RECORD, (left - 2 * count) // (count + 1))
    return [min(_MAX_RECORD, 2 * each), *([min(_MAX_RECORD, each)] * (count - 1))] if count else []


def _tell_head(reduction: Reduction) -> Iterator[str]:
    logs = [log for log in reduction.logs if not log.is_baseline]
    kinds = f"{_count(reduction.kind_count, 'kind')} of lines"
    yield f"{_name(logs)}: {_count(reduction.total.lines, 'line')}{_tell_span(reduction.total)}, {kinds}"
    before = reduction.total_before
    if before.lines:
        names = _name([log for log in reduction.logs if log.is_baseline] or logs)
        yield f"compared with {_count(before.lines, 'line')} before{_tell_span(before)} of {names}"
    yield from (f"note: {note}" for note in reduction.notes[:3])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _name(logs: Sequence[LogSummary]) -> str:
    names = [log.name for log in logs]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _tell_span(total: Total) -> str:
    if total.since is None or total.until is None:
        return ""
    since, until = (datetime.fromtimestamp(at, UTC) for at in (total.since, total.until))
    return f" from {since:%Y-%m-%d %H:%M:%S} to {_say(until, since)}"


def _tell_failure(failure: Failure, reduction: Reduction, most: int, *, has_baseline: bool) -> Iterator[str]:
    record = failure.record
    least = "at least " if reduction.is_sampled and record.count > 1 else ""
    times = "once" if record.count == 1 else f"{least}{record.count:,} times"
    when = ""
    if record.first_at is not None and record.last_at is not None:
        same = record.first_at == record.last_at
        when = f", at {record.first_at:%H:%M:%S}" if same else _first_and_last(record.first_at, record.last_at)
    known = f", {failure.before:,} times before" if failure.before else ", never before" if has_baseline else ""
    yield ""
    yield _cut(f"Error {times}{when}{known}: {record.headline}")
    yield from (_cut(f"  {_quote(line)}") for line in failure.context)
    for kept in _shorten(record.lines, most - len(failure.context)):
        yield _cut(f"> {_quote(kept)}") if isinstance(kept, LogLine) else f"  … {kept} lines"
    if len(record.lines) == 1:  # the stack is folded into it, and perhaps cut off
        for frame in record.frames[-_FRAMES:]:
            yield _cut(f"    at {frame.path}:{frame.line} {frame.function}".rstrip())


def _shorten(lines: Sequence[LogLine], most: int) -> Iterator[LogLine | int]:
    """Yield the lines that tell a record's story, and how many are left out between them."""
    if len(lines) <= most:
        yield from lines
        return
    kept = set(range(max(1, most // 4)))
    for place, line in enumerate(lines):
        if len(kept) + 2 + _ENDING <= most and _CAUSES.search(line.text):
            kept |= {place, min(place + 1, len(lines) - 1)}
    for place in range(len(lines) - 1, 0, -1):
        if len(kept) >= most:
            break
        kept.add(place)
    last = -1
    for place in sorted(kept):
        if place > last + 1:
            yield place - last - 1
        yield lines[place]
        last = place


def _tell_kinds(title: str, kinds: Sequence[Kind], most: int) -> list[str]:
    if not kinds:
        return []
    more = f", {most} of {len(kinds)}" if len(kinds) > most else ""
    return ["", f"{title}{more}:", *(tell_kind(kind) for kind in kinds[:most])]


def tell_kind(kind: Kind) -> str:
    """Return how often a kind of line was written, and its first line with its place."""
    count = f"{kind.count:,} ×"
    if kind.change is Change.GONE:
        count = f"{kind.before:,} × before"
    elif kind.change is Change.MORE:
        count += f" ({kind.before:,} before)"
    elif kind.change is Change.BURST and kind.peak_at is not None:
        count += f" ({kind.peak:,} at {kind.peak_at:%H:%M})"
    return _cut(f"  {count}  {_quote(kind.first)}")


def _quote(line: LogLine) -> str:
    return f"{line.cite}  {line.text}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _first_and_last(first: datetime, last: datetime) -> str:
    return f", first {first:%H:%M:%S}, last {_say(last, first)}"


def _say(at: datetime, other: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.date() == other.date() else f"{at:%Y-%m-%d %H:%M:%S}"
