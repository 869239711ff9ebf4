"""What the logs write since the incident that they did not write before: evidence where no error says it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.investigation import Job
from bot.reduction.comparing import Change, Kind, compare
from bot.reduction.reading import ReadLog, read_batches
from bot.reduction.tally import Span, Tally
from bot.reduction.telling import tell_kind

MAX_LISTED: Final = 6
MAX_LINES: Final = 200_000
_MIN_BEFORE: Final = 200
_MIN_SINCE: Final = 20
#: How long before an alert its cause may have begun to write, the longest first.
_LEADS: Final = (timedelta(minutes=10), timedelta(minutes=5), timedelta(minutes=2))
_TITLES: Final = {
    Change.NEW: "not written before",
    Change.MORE: "written much more often than before",
    Change.BURST: "written in a burst",
}
_BLOCK: Final = 10_000


class _Lines:
    """`BlockSource` over lines that were read, and redacted, already; numbers are places among them, from 1."""

    name = ""

    def __init__(self, lines: Sequence[LogLine], near: datetime) -> None:
        self._lines = lines
        self.near = near
        self.notes: list[str] = []

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self._lines), _BLOCK):
            texts = (line.text.replace("\n", " ") for line in self._lines[start : start + _BLOCK])
            yield "".join(f"{text}\n" for text in texts).encode("utf-8", "backslashreplace")


def tell_changes(job: Job, lines: Sequence[LogLine], records: Sequence[ErrorRecord]) -> list[tuple[str, str, str]]:
    """Return kind, place and text of a piece of evidence for each way in which kinds of lines changed.

    Lines of `records` are told elsewhere. Only the newest lines are looked at, and nothing is said where too little was
    written before, or since.
    """
    lines = lines[-MAX_LINES:]
    since = _choose_beginning(job.alert_started_at, lines)
    if since is None:
        return []
    kinds = _find_changed(lines, since, job.now)
    known = {(line.source, line.number) for record in records for line in record.lines}
    pieces = []
    for change, title in _TITLES.items():
        told = [kind for kind in kinds if kind.change is change and (kind.first.source, kind.first.number) not in known]
        if told:
            more = f", {MAX_LISTED} of {len(told)} kinds of lines" if len(told) > MAX_LISTED else ""
            text = "\n".join([f"{title}, since {since:%H:%M:%S}{more}", *map(tell_kind, told[:MAX_LISTED])])
            pieces.append((change.value, told[0].first.cite, text))
    return pieces


def _choose_beginning(alerted_at: datetime, lines: Sequence[LogLine]) -> datetime | None:
    times = [line.at for line in lines if line.at is not None]
    for lead in _LEADS:
        since = alerted_at - lead
        before = sum(at < since for at in times)
        if before >= _MIN_BEFORE and len(times) - before >= _MIN_SINCE:
            return since
    return None


def _find_changed(lines: Sequence[LogLine], since: datetime, near: datetime) -> list[Kind]:
    tally = Tally(Span(since=int(since.timestamp()), splits=True))
    for batch in read_batches(ReadLog(source=_Lines(lines, near), is_baseline=False), tally.texts):
        tally.add(batch)
    return [
        replace(kind, first=lines[kind.first.number - 1])
        for kind in compare(tally)
        if kind.change in _TITLES and kind.is_timed
    ]
