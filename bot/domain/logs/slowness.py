"""Which requests became slow, and when: the log's own time before against its time since. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Final

from bot.domain.evidence import FailingRequest, LogLine
from bot.domain.logs.durations import read_duration
from bot.domain.logs.requests import SeenRequest, join_requests

MAX_SLOW: Final = 5
_MAX_SHAPES: Final = 2_000
_MAX_SAMPLES: Final = 20_000
_LEAST: Final = 3
_TINY: Final = 1e-6
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Slowdown:
    """One kind of request, in seconds: `since` is its median after it became slow, `before` the one until then, None
    where the log shows no quicker time. `counts` are the requests before and since; `began_at` is the first slow one.
    """

    request: FailingRequest
    since: float
    before: float | None
    counts: tuple[int, int]
    began_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class _Sample:
    seconds: float
    order: int
    seen: SeenRequest


@dataclass(kw_only=True)
class _Samples:
    """The timed requests of one shape: all of them, or evenly thinned out every `stride`th."""

    kept: list[_Sample] = field(default_factory=list)
    stride: int = 1
    count: int = 0

    def add(self, sample: _Sample) -> None:
        if self.count % self.stride == 0:
            self.kept.append(sample)
        self.count += 1
        if len(self.kept) > _MAX_SAMPLES:
            del self.kept[1::2]
            self.stride *= 2


def find_slowdowns(lines: Sequence[LogLine], *, factor: float, floor: float) -> tuple[Slowdown, ...]:
    """Return the requests that became slower by `factor` and by `floor` seconds, the most time lost first.

    Where none did, the slowest ones that took `floor` at least, with `before` None.
    """
    shapes = _measure(lines)
    found = [slow for samples in shapes if (slow := _split(samples, factor, floor)) is not None]
    found.sort(key=lambda slow: -(slow.since - (slow.before or 0.0)) * slow.counts[1])
    if not found:
        whole = [_tell(samples, 0) for samples in shapes]
        found = sorted((slow for slow in whole if slow.since >= floor), key=lambda slow: -slow.since)
    return tuple(found[:MAX_SLOW])


def _measure(lines: Sequence[LogLine]) -> list[_Samples]:
    """Return the timed requests by their shape, each in the order of time."""
    took = {line.cite: seconds for line in lines if (seconds := read_duration(line.text)) is not None}
    shapes: dict[tuple[str, str, str], _Samples] = {}
    for order, seen in enumerate(join_requests(lines) if took else ()):
        seconds = max((took[cite] for cite in seen.cites if cite in took), default=None)
        if seconds is None or (seen.shape not in shapes and len(shapes) >= _MAX_SHAPES):
            continue
        shapes.setdefault(seen.shape, _Samples()).add(_Sample(seconds=seconds, order=order, seen=seen))
    for samples in shapes.values():
        samples.kept.sort(key=lambda sample: (sample.seen.at or _LONG_AGO, sample.order))
    return list(shapes.values())


def _split(samples: _Samples, factor: float, floor: float) -> Slowdown | None:
    """Cut the samples where their (logarithmic) means differ most, and say whether the later part is slower."""
    if len(samples.kept) < 2 * _LEAST:
        return None
    logs = [math.log(max(sample.seconds, _TINY)) for sample in samples.kept]
    mean, total, best, cut = sum(logs) / len(logs), 0.0, -1.0, 0
    for count, value in enumerate(logs[:-_LEAST], 1):
        total += value
        gain = (total - count * mean) ** 2 / (count * (len(logs) - count))
        if count >= _LEAST and gain > best:
            best, cut = gain, count
    slow = _tell(samples, cut)
    before = slow.before or 0.0
    return slow if slow.since >= max(before * factor, before + floor) else None


def _tell(samples: _Samples, cut: int) -> Slowdown:
    """Describe the samples from `cut` on. The request to send again is a whole one, near their median, the newest."""
    since = samples.kept[cut:]
    middle = median(sample.seconds for sample in since)
    whole = [sample for sample in since if not sample.seen.lacks_body] or list(since)
    chosen = min(
        whole, key=lambda sample: (abs(math.log(max(sample.seconds, _TINY) / max(middle, _TINY))) > 0.7, -sample.order)
    )
    return Slowdown(
        request=chosen.seen.request,
        since=middle,
        before=_median(samples.kept[:cut]),
        counts=(cut * samples.stride, samples.count - cut * samples.stride),
        began_at=since[0].seen.at if cut else None,
    )


def _median(samples: Iterable[_Sample]) -> float | None:
    seconds = [sample.seconds for sample in samples]
    return median(seconds) if seconds else None
