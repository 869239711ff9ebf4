"""The logs of an incident for the model: read once, cleaned, and reduced with the code of `nightshift logs reduce`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.agent.logs import Logs
from bot.domain.conclusion import find_result, top_record
from bot.domain.evidence import LogLine
from bot.domain.investigation import Collected, Job
from bot.domain.logs.logtime import parse_time
from bot.ports.logs import LogQuery
from bot.reduction.reducing import Failure, Reduction, reduce_logs
from bot.reduction.tally import Span
from bot.reduction.telling import tell
from bot.worker.reading import read_places
from bot.worker.tools import Tools

MAX_LINES: Final = 50_000
TOKENS: Final = 3_000
_END: Final = "\n"
_LEAD: Final = timedelta(minutes=1)


def read_logs(job: Job, tools: Tools, query: LogQuery | None = None) -> Logs:
    """Read every log place that can be read, newest lines kept; `query` asks for another time than the alert's."""
    lines: list[LogLine] = []
    faults: list[str] = []
    for read in read_places(job, tools, query):
        lines += read.lines
        faults += [f"({note})" for note in read.notes]
        faults += [f"({read.place.label} could not be read: {read.fault})"] if read.fault else []
    kept = lines[-MAX_LINES:]
    if len(kept) < len(lines):
        faults.append(f"(only the newest {MAX_LINES:,} of {len(lines):,} lines)")
    begin = _find_begin(job)
    return Logs(kept, faults, lambda: tell(_reduce(kept, begin, job.now), tokens=TOKENS))


def _find_begin(job: Job) -> datetime:
    """Return when it began: a little before the first sign of it. What was written earlier is the baseline."""
    collected = find_result(job.done, Collected)
    record = top_record(collected) if collected else None
    signs = [job.alert_started_at, record.first_at if record else None, collected.began_at if collected else None]
    return min(at for at in signs if at is not None) - _LEAD


def _reduce(lines: Sequence[LogLine], begin: datetime, now: datetime) -> Reduction:
    by_source: Mapping[str, list[LogLine]] = defaultdict(list)
    for line in lines:
        by_source[line.source].append(line)
    sources = [_Source(name, each, now) for name, each in by_source.items()]
    span = Span(since=int(begin.timestamp()), splits=True)
    return _cite(reduce_logs(sources, [], span=span, redact=list, is_light=True), by_source)


class _Source:
    """`BlockSource` over lines that are in memory. One whose time is not in its text gets it written before it."""

    def __init__(self, name: str, lines: Sequence[LogLine], now: datetime) -> None:
        self.name = name
        self.near = now
        self.notes: list[str] = []
        self._lines = lines

    def blocks(self) -> Iterator[bytes]:
        yield "".join(f"{self._stamp(line)}{line.text.replace(_END, ' ')}{_END}" for line in self._lines).encode(
            "utf-8", "backslashreplace"
        )

    def _stamp(self, line: LogLine) -> str:
        if line.at is None or parse_time(line.text, near=self.near) is not None:
            return ""
        return f"{line.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} "


def _cite(found: Reduction, by_source: Mapping[str, Sequence[LogLine]]) -> Reduction:
    """Return it with the lines' numbers where they were read in the place of those in the text that was reduced."""

    def place(line: LogLine) -> LogLine:
        return replace(line, number=by_source[line.source][line.number - 1].number)

    def place_all(failure: Failure) -> Failure:
        record = replace(failure.record, lines=tuple(map(place, failure.record.lines)))
        return replace(failure, record=record, context=tuple(map(place, failure.context)))

    return replace(
        found,
        failures=tuple(map(place_all, found.failures)),
        kinds=tuple(replace(kind, first=place(kind.first)) for kind in found.kinds),
    )
