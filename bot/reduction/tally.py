"""Counts the kinds of lines of an incident and of the time before it. Holds kinds, never the lines of a log."""

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.evidence import LogLine
from bot.domain.traces.frames import may_start, strip_header
from bot.reduction.severity import Severity, find_severity
from bot.reduction.templates import Texts

MAX_KEPT: Final = 1_000
MAX_TRIGGERS: Final = 5_000
_FIRST_PLACES: Final = 400
_LAST_PLACES: Final = 20
_MAX_BINS: Final = 200_000

Place = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Lines of one source in order, the number of each, its text's number, and its time in seconds, if it has one.

    A line without a time of its own goes with the line before it; `stamped` says which lines show one.
    """

    source: str
    numbers: Sequence[int]
    lines: Sequence[str]
    codes: Sequence[int]
    times: Sequence[int | None]
    stamped: Sequence[bool]
    is_baseline: bool = False


@dataclass(frozen=True, kw_only=True)
class Span:
    """The incident, from `since` to before `until` in seconds; what lies before is the baseline if `splits`."""

    since: int | None = None
    until: int | None = None
    splits: bool = False


@dataclass(kw_only=True)
class Seen:
    """What is known of one text. `first` is its first line in the incident, or else in the baseline."""

    first: LogLine
    severity: Severity
    is_timed: bool
    is_in_incident: bool
    last: datetime | None = None


@dataclass(kw_only=True)
class Total:
    """How many lines there were, and from when to when."""

    lines: int = 0
    since: int | None = None
    until: int | None = None

    def add(self, times: Iterable[int | None], count: int) -> None:
        self.lines += count
        known = [at for at in times if at is not None]
        if known:
            first, last = min(known), max(known)
            self.since = first if self.since is None else min(self.since, first)
            self.until = last if self.until is None else max(self.until, last)


@dataclass(kw_only=True)
class Places:
    """Where a kind of line that may begin an error stands: the first and the last places."""

    first: list[Place] = field(default_factory=list)
    last: "deque[Place]" = field(default_factory=lambda: deque(maxlen=_LAST_PLACES))

    def add(self, place: Place) -> None:
        if len(self.first) < _FIRST_PLACES:
            self.first.append(place)
        else:
            self.last.append(place)


class Tally:
    """Takes batches in; `texts` numbers the texts of all of them."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.texts = Texts()
        self.seen: dict[int, Seen] = {}
        self.now, self.before = Counter[int](), Counter[int]()
        self.bins = Counter[tuple[int, int]]()
        self.bin_seconds = 60
        self.total, self.total_before = Total(), Total()
        self.places: dict[tuple[int, bool], Places] = {}
        self._triggers: set[int] = set()

    def add(self, batch: Batch) -> None:
        """Count a batch's lines."""
        if batch.is_baseline or (self._span.since is None and self._span.until is None):
            if batch.codes:
                self._add_whole(batch, range(len(batch.codes)), is_incident=not batch.is_baseline)
            return
        since, until = self._span.since, self._span.until
        inside, early = array("I"), array("I")
        for place, at in enumerate(batch.times):
            if at is None or ((since is None or at >= since) and (until is None or at < until)):
                inside.append(place)
            elif self._span.splits and since is not None and at < since:
                early.append(place)
        self._add_part(batch, inside, is_incident=True)
        self._add_part(batch, early, is_incident=False)

    def _add_part(self, batch: Batch, places: Sequence[int], *, is_incident: bool) -> None:
        if places:
            part = replace(
                batch,
                numbers=[batch.numbers[place] for place in places],
                lines=[batch.lines[place] for place in places],
                codes=[batch.codes[place] for place in places],
                times=[batch.times[place] for place in places],
                stamped=[batch.stamped[place] for place in places],
            )
            self._add_whole(part, range(len(places)), is_incident=is_incident)

    def _add_whole(self, batch: Batch, places: Sequence[int], *, is_incident: bool) -> None:
        codes, times = batch.codes, batch.times
        (self.now if is_incident else self.before).update(codes)
        (self.total if is_incident else self.total_before).add(times, len(codes))
        for code, place in dict(zip(reversed(codes), reversed(places), strict=True)).items():
            self._see_first(batch, code, place, is_incident=is_incident)
        if is_incident:
            for code, at in dict(zip(codes, times, strict=True)).items():
                if at is not None:
                    self.seen[code].last = datetime.fromtimestamp(at, UTC)
            self._count_bins(codes, times)
        if not self._triggers.isdisjoint(codes):
            self._note_places(batch, is_incident=is_incident)

    def _see_first(self, batch: Batch, code: int, place: int, *, is_incident: bool) -> None:
        known = self.seen.get(code)
        if known is not None and (known.is_in_incident or not is_incident):
            return
        at, text = batch.times[place], batch.lines[place]
        line = LogLine(
            source=batch.source,
            number=batch.numbers[place],
            text=text[:MAX_KEPT],
            at=datetime.fromtimestamp(at, UTC) if at is not None else None,
        )
        severity = find_severity(text)
        self.seen[code] = Seen(first=line, severity=severity, is_timed=batch.stamped[place], is_in_incident=is_incident)
        following = batch.lines[place + 1] if place + 1 < len(batch.lines) else ""
        if len(self._triggers) < MAX_TRIGGERS and (
            severity >= Severity.ERROR or may_start(strip_header(text), strip_header(following))
        ):
            self._triggers.add(code)

    def _count_bins(self, codes: Sequence[int], times: Sequence[int | None]) -> None:
        size = self.bin_seconds
        bins = [at // size if at is not None else None for at in times]
        for (code, number), count in Counter(zip(codes, bins, strict=True)).items():
            if number is not None:
                self.bins[code, number] += count
        if len(self.bins) > _MAX_BINS:
            self.bin_seconds *= 4
            self.bins = _widen(self.bins)

    def _note_places(self, batch: Batch, *, is_incident: bool) -> None:
        triggers = self._triggers
        for place, code in enumerate(batch.codes):
            if code in triggers:
                noted = self.places.get((code, is_incident))
                if noted is None:
                    noted = self.places[code, is_incident] = Places()
                noted.add((batch.source, batch.numbers[place]))


def _widen(bins: Mapping[tuple[int, int], int]) -> Counter[tuple[int, int]]:
    wide = Counter[tuple[int, int]]()
    for (code, number), count in bins.items():
        wide[code, number // 4] += count
    return wide
