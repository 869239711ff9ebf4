"""Reads logs as batches for the tally, and single stretches of them again."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.reduction.blocks import fold_blocks, sample_layout
from bot.reduction.folding import split_block
from bot.reduction.layout import PLAIN, Layout
from bot.reduction.sources import BlockSource
from bot.reduction.stamps import read_stamp
from bot.reduction.tally import Batch
from bot.reduction.templates import Texts

_MAX_STAMPS: Final = 100_000
_FRACTION: Final = re.compile(r"(\d:\d{1,2}:\d{1,2}|\d[.]\d\d[.]\d\d|^1\d{9})[.,:]\d{1,9}", re.ASCII)


@dataclass(kw_only=True)
class ReadLog:
    """A log while and after it is read."""

    source: BlockSource
    is_baseline: bool
    layout: Layout = PLAIN
    lines: int = 0


class _Clock:
    """Reads the times of lines in order. Where the last time stood the next one is looked up, not parsed."""

    def __init__(self, layout: Layout, near: datetime) -> None:
        self._patterns = [re.compile(pattern) for pattern in layout.stamps]
        self._near = near
        self._known: dict[str, int] = {}
        self._place = slice(0, 0)
        self._last: int | None = None

    def read(self, lines: Sequence[str]) -> tuple[list[int | None], list[bool]]:
        """Return each line's time, or else that of the line before it, and whether it shows one itself."""
        if not self._patterns:
            return [None] * len(lines), [False] * len(lines)
        times: list[int | None] = []
        stamped: list[bool] = []
        known, last = self._known, self._last
        for line in lines:
            at = known.get(line[self._place])
            if at is None:
                at = self._parse(line)
            if at is not None:
                last = at
            times.append(last)
            stamped.append(at is not None)
        self._last = last
        return times, stamped

    def _parse(self, line: str) -> int | None:
        match = next((match for pattern in self._patterns if (match := pattern.search(line))), None)
        if match is None:
            return None
        stamp = _FRACTION.sub(r"\1", match.group(1), count=1)
        found = read_stamp(stamp, self._near)
        if found is None:
            return None
        at = int(found.timestamp())
        fraction = _FRACTION.search(match.group(1))
        whole = fraction.end(1) if fraction else len(stamp)  # without fraction and zone, which a log seldom changes
        place = slice(match.start(1), match.start(1) + whole)
        if place != self._place or len(self._known) >= _MAX_STAMPS:
            self._known.clear()
            self._place = place
        self._known[line[place]] = at
        return at


def read_batches(log: ReadLog, texts: Texts, *, is_light: bool = False) -> Iterator[Batch]:
    """Yield all lines of a log; `log` learns how many there are and how they begin."""
    log.layout, blocks = sample_layout(log.source.blocks())
    clock = _Clock(log.layout, log.source.near)
    for folded in fold_blocks(blocks, log.layout, is_light=is_light):
        lines = folded.read_lines()
        times, stamped = clock.read(lines)
        yield Batch(
            source=log.source.name,
            numbers=range(log.lines + 1, log.lines + len(lines) + 1),
            lines=lines,
            codes=texts.add(folded.texts, folded.codes),
            times=times,
            stamped=stamped,
            is_baseline=log.is_baseline,
        )
        log.lines += len(lines)


def read_again(log: ReadLog, ranges: Sequence[range]) -> Iterator[tuple[int, str, int | None]]:
    """Yield number, text and own time of the lines in some ranges of numbers, which are in order and apart."""
    clock = _Clock(log.layout, log.source.near)
    waiting = [wanted for wanted in ranges if wanted.start <= log.lines]
    number = 1
    for block in log.source.blocks():
        if not waiting:
            return
        after = number + block.count(b"\n") + (not block.endswith(b"\n"))
        if waiting[0].start < after:
            lines = split_block(block)
            while waiting and waiting[0].start < after:
                wanted = waiting.pop(0)
                inside = range(max(wanted.start, number), min(wanted.stop, after))
                for place in inside:
                    line = lines[place - number]
                    times, stamped = clock.read([line])
                    yield place, line, times[0] if stamped[0] else None
                if wanted.stop > after:
                    waiting.insert(0, range(after, wanted.stop))
        number = after
