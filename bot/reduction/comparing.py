"""Compares the kinds of lines of an incident with those before it: new, gone, much more frequent, in a burst."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from bot.domain.evidence import LogLine
from bot.reduction.severity import Severity
from bot.reduction.tally import Tally

#: Of a log-likelihood ratio, which is χ² distributed: chance gives as much once in 10,000 kinds.
SIGNIFICANT: Final = 15.1
_MANY_TIMES: Final = 3.0
_LEAST: Final = 5
_BURST: Final = 10
_MIN_BINS: Final = 5


class Change(StrEnum):
    """What sets a kind of line apart in the incident."""

    NEW = "new"
    MORE = "more"
    GONE = "gone"
    BURST = "burst"
    USUAL = "usual"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of line. `score` is how little the change can be chance; `peak` is the fullest time of a burst."""

    template: str
    first: LogLine
    severity: Severity
    is_timed: bool
    count: int
    before: int
    change: Change
    score: float
    last: datetime | None = None
    peak: int = 0
    peak_at: datetime | None = None


def compare(tally: Tally) -> list[Kind]:
    """Return all kinds of lines, the most telling first."""
    templates, places = tally.texts.find_templates()
    members: dict[int, list[int]] = defaultdict(list)
    for code in tally.seen:
        members[places[code]].append(code)
    bins = _sum_bins(tally, places)
    kinds = [_judge(tally, templates[place].text, codes, bins[place]) for place, codes in members.items()]
    return sorted(kinds, key=_rank)


def _rank(kind: Kind) -> tuple[int, float, str, int]:
    return -kind.severity, -kind.score, kind.first.source, kind.first.number


def _sum_bins(tally: Tally, places: list[int]) -> dict[int, Counter[int]]:
    sums: dict[int, Counter[int]] = defaultdict(Counter)
    for (code, number), count in tally.bins.items():
        sums[places[code]][number] += count
    return sums


def _judge(tally: Tally, template: str, codes: list[int], bins: Counter[int]) -> Kind:
    seen = [tally.seen[code] for code in codes]
    inside = [one for one in seen if one.is_in_incident] or seen
    first = min(inside, key=lambda one: (one.first.at or datetime.min.replace(tzinfo=UTC), one.first.number))
    count, before = sum(tally.now[code] for code in codes), sum(tally.before[code] for code in codes)
    score = _score(count, before, tally.total.lines, tally.total_before.lines)
    change = _name(count, before, tally, score)
    peak_bin, peak = max(bins.items(), key=lambda item: (item[1], -item[0]), default=(0, 0))
    if change is Change.USUAL and _is_burst(tally, count, peak):
        change = Change.BURST
    return Kind(
        template=template,
        first=first.first,
        severity=max(one.severity for one in seen),
        is_timed=first.is_timed,
        count=count,
        before=before,
        change=change,
        score=score,
        last=max((one.last for one in seen if one.last is not None), default=None),
        peak=peak,
        peak_at=datetime.fromtimestamp(peak_bin * tally.bin_seconds, UTC) if peak else None,
    )


def _name(count: int, before: int, tally: Tally, score: float) -> Change:
    if not tally.total_before.lines:
        return Change.USUAL if count else Change.GONE
    if not before:
        return Change.NEW
    if score < SIGNIFICANT:
        return Change.USUAL
    if not count:
        return Change.GONE
    share, share_before = count / max(1, tally.total.lines), before / tally.total_before.lines
    return Change.MORE if count >= _LEAST and share >= _MANY_TIMES * share_before else Change.USUAL


def _score(count: int, before: int, lines: int, lines_before: int) -> float:
    """Return the log-likelihood ratio of two counts, given how many lines there were (Dunning's G²)."""
    if not lines or not lines_before:
        return 0.0
    expected = (count + before) * lines / (lines + lines_before)
    expected_before = count + before - expected
    parts = [(count, expected), (before, expected_before)]
    return max(0.0, 2 * sum(seen * math.log(seen / wanted) for seen, wanted in parts if seen))


def _is_burst(tally: Tally, count: int, peak: int) -> bool:
    since, until = tally.total.since, tally.total.until
    if since is None or until is None or peak < _BURST:
        return False
    bins = (until - since) // tally.bin_seconds + 1
    return bins >= _MIN_BINS and peak >= 5 * max(1.0, (count - peak) / (bins - 1))
