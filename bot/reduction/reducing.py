"""The whole way from logs to what is worth reading: count, compare, and read the errors again in full."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.logs.records import find_records
from bot.reduction.comparing import Change, Kind, compare
from bot.reduction.reading import ReadLog, read_again, read_batches
from bot.reduction.severity import Severity
from bot.reduction.sources import BlockSource
from bot.reduction.tally import Place, Span, Tally, Total

MAX_READ: Final = 60_000
CONTEXT: Final = 2
_BEHIND: Final = 3
_AHEAD: Final = 60
_MAX_LISTED: Final = 50
_EARLY: Final = 0.1

Redact = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error of the incident. `before` counts it in the baseline; `context` is what was written just before it."""

    record: ErrorRecord
    before: int
    context: tuple[LogLine, ...]


@dataclass(frozen=True, kw_only=True)
class LogSummary:
    """One log that was read."""

    name: str
    lines: int
    columns: tuple[str, ...]
    is_baseline: bool


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """What is worth reading. `kinds` are those set apart, most telling first, without the lines of `failures`.

    `is_sampled` says that not every error was read again, so that errors are counted from below.
    """

    logs: tuple[LogSummary, ...]
    total: Total
    total_before: Total
    kind_count: int
    failures: tuple[Failure, ...]
    kinds: tuple[Kind, ...]
    is_sampled: bool
    notes: tuple[str, ...]

    def select(self, change: Change) -> list[Kind]:
        return [kind for kind in self.kinds if kind.change is change]


def reduce_logs(
    sources: Sequence[BlockSource],
    baseline: Sequence[BlockSource],
    *,
    span: Span,
    redact: Redact,
    is_light: bool = False,
) -> Reduction:
    """Read the logs and return what matters in them. Every text in what comes back went through `redact`.

    `is_light` never loads the engine that is quicker on large logs, and takes 80 MB for itself.
    """
    tally = Tally(span)
    logs = [ReadLog(source=source, is_baseline=False) for source in sources]
    logs += [ReadLog(source=source, is_baseline=True) for source in baseline]
    for log in logs:
        for batch in read_batches(log, tally.texts, is_light=is_light):
            tally.add(batch)
    wanted, is_sampled = _choose_ranges(tally)
    lines = {is_incident: _read_lines(logs, wanted[is_incident], redact) for is_incident in (True, False)}
    records = list(_find_whole(lines[True], wanted[True]))
    failures = _find_failures(records, lines[True], lines[False], {log.source.name: log.lines for log in logs})
    kinds = compare(tally)
    return Reduction(
        logs=tuple(
            LogSummary(name=log.source.name, lines=log.lines, columns=log.layout.columns, is_baseline=log.is_baseline)
            for log in logs
        ),
        total=tally.total,
        total_before=tally.total_before,
        kind_count=len(kinds),
        failures=failures,
        kinds=_set_apart(kinds, failures, logs, redact),
        is_sampled=is_sampled,
        notes=(*_note(logs, span), *_note_no_line(tally, span)),
    )


def _note(logs: Sequence[ReadLog], span: Span) -> Iterable[str]:
    for log in logs:
        yield from log.source.notes
        if log.lines and not log.layout.stamps and (span.since is not None or span.until is not None):
            yield f"{log.source.name}: its lines show no times that could be read, so all of it was taken"


def _note_no_line(tally: Tally, span: Span) -> Iterable[str]:
    if tally.total.lines or (span.since is None and span.until is None):
        return
    bounds = (("from", span.since), ("before", span.until))
    said = " ".join(
        f"{word} {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" for word, at in bounds if at is not None
    )
    yield f"no line is {said} (UTC)"


# Errors in full -------------------------------------------------------------------------------------------------------
def _choose_ranges(tally: Tally) -> tuple[dict[bool, dict[str, list[range]]], bool]:
    """Return the stretches to read again by incident and source, and whether some had to be left out."""
    order = sorted(tally.places, key=lambda key: (-tally.seen[key[0]].severity, key))
    chosen: dict[bool, dict[str, set[int]]] = {True: defaultdict(set), False: defaultdict(set)}
    left = MAX_READ
    is_sampled = False
    for turn in range(2):  # one place of each kind first
        for code, is_incident in order:
            places = tally.places[code, is_incident]
            is_sampled = is_sampled or bool(places.last)
            for source, number in _take_turn([*places.first, *places.last], turn):
                if left <= 0:
                    return _join(chosen), True
                fresh = set(range(max(1, number - _BEHIND), number + _AHEAD)) - chosen[is_incident][source]
                chosen[is_incident][source] |= fresh
                left -= len(fresh)
    return _join(chosen), is_sampled


def _take_turn(places: Sequence[Place], turn: int) -> Sequence[Place]:
    return places[1:] if turn else places[:1]


def _join(chosen: dict[bool, dict[str, set[int]]]) -> dict[bool, dict[str, list[range]]]:
    return {
        is_incident: {source: list(_as_ranges(sorted(numbers))) for source, numbers in sources.items()}
        for is_incident, sources in chosen.items()
    }


def _as_ranges(numbers: Sequence[int]) -> Iterable[range]:
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield range(numbers[start], numbers[place - 1] + 1)
            start = place


def _read_lines(logs: Sequence[ReadLog], wanted: dict[str, list[range]], redact: Redact) -> list[LogLine]:
    lines: list[LogLine] = []
    for log in logs:
        ranges = wanted.get(log.source.name, [])
        found = list(read_again(log, ranges)) if ranges else []
        texts = redact([text for _number, text, _at in found])
        lines += [
            LogLine(source=log.source.name, number=number, text=text, at=_as_time(at))
            for (number, _raw, at), text in zip(found, texts, strict=True)
        ]
    return lines


def _as_time(at: int | None) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at is not None else None


def _find_whole(lines: Sequence[LogLine], wanted: Mapping[str, Sequence[range]]) -> Iterator[ErrorRecord]:
    """Yield the errors of the stretches, but for what began behind the last place of one and goes on past its end."""
    begins = {(source, part.stop - 1): part.stop - _AHEAD for source, parts in wanted.items() for part in parts}
    for record in find_records(lines):
        first, last = record.lines[0], record.lines[-1]
        if first.number <= begins.get((last.source, last.number), first.number):
            yield record


def _find_failures(
    records: Sequence[ErrorRecord],
    lines: Sequence[LogLine],
    lines_before: Sequence[LogLine],
    totals: Mapping[str, int],
) -> tuple[Failure, ...]:
    known = {_key(record): record.count for record in find_records(lines_before)}
    places = {(line.source, line.number): place for place, line in enumerate(lines)}
    owned = {(line.source, line.number) for record in records for line in record.lines}
    failures = []
    for record in records:
        first = record.lines[0]
        place = places[first.source, first.number]
        context = [
            line
            for line in lines[max(0, place - CONTEXT) : place]
            if _is_just_before(line, first) and (line.source, line.number) not in owned
        ]
        failures.append(Failure(record=record, before=known.get(_key(record), 0), context=tuple(context)))
    failures.sort(key=lambda one: (one.before > 0, not one.record.frames, _is_early(one.record, totals)))
    return tuple(failures)


def _is_early(record: ErrorRecord, totals: Mapping[str, int]) -> bool:
    """Return whether an error was there when its log began: less telling than one that came later."""
    first = record.lines[0]
    return first.number <= _EARLY * totals[first.source]


def _is_just_before(line: LogLine, first: LogLine) -> bool:
    return line.source == first.source and first.number - CONTEXT <= line.number < first.number


def _key(record: ErrorRecord) -> tuple[object, ...]:
    if record.frames:
        return record.kind, record.frames
    return record.kind, "".join(letter for letter in record.headline if not letter.isdigit())


# Kinds of lines -------------------------------------------------------------------------------------------------------
def _set_apart(
    kinds: Sequence[Kind], failures: Sequence[Failure], logs: Sequence[ReadLog], redact: Redact
) -> tuple[Kind, ...]:
    """Return the kinds that changed or sound bad, but for what goes on with another line or a failure tells."""
    covered = {(line.source, line.number) for failure in failures for line in failure.record.lines}
    timed = {log.source.name for log in logs if log.layout.stamps}
    kept: list[Kind] = []
    listed: dict[Change, int] = defaultdict(int)
    for kind in kinds:
        is_continuation = kind.first.source in timed and not kind.is_timed
        is_dull = kind.change is Change.USUAL and (kind.severity <= Severity.INFO or not kind.count)
        is_told = kind.change is not Change.MORE and (kind.first.source, kind.first.number) in covered
        if is_continuation or is_dull or is_told:
            continue
        listed[kind.change] += 1
        if listed[kind.change] <= _MAX_LISTED:
            text, template = redact([kind.first.text, kind.template])
            kept.append(replace(kind, first=replace(kind.first, text=text), template=template))
    return tuple(kept)
