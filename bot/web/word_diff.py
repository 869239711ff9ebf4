"""Which words changed between a line and the one that takes its place."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

Span = tuple[int, int]
"""From where to where in a line, end excluded."""

_WORDS: Final = re.compile(r"\w+|\s+|.", re.DOTALL)
_MOST_CELLS: Final = 1_000_000
_LONGEST_LINE: Final = 1_000
_ENOUGH: Final = 0.4


class Budget:
    """How many comparisons are left for one page; used up, only a line's ends are compared."""

    def __init__(self, cells: int = _MOST_CELLS) -> None:
        self._left = cells

    def takes(self, cells: int) -> bool:
        if cells > self._left:
            return False
        self._left -= cells
        return True


def find_changes(old: str, new: str, budget: Budget) -> tuple[Sequence[Span], Sequence[Span]]:
    """Return what changed in the old and in the new line; nothing where they have too little in common to compare."""
    if max(len(old), len(new)) > _LONGEST_LINE:
        return (), ()
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    first = _count_equal(before, after)
    last = _count_equal(before[first:][::-1], after[first:][::-1])
    old_kept, new_kept = _keep_ends(len(before), first, last), _keep_ends(len(after), first, last)
    inner_old, inner_new = before[first : len(before) - last], after[first : len(after) - last]
    if inner_old and inner_new and budget.takes(len(inner_old) * len(inner_new)):
        for left, right in _common(inner_old, inner_new):
            old_kept[first + left] = new_kept[first + right] = True
    if not _is_alike(before, old_kept) and not _is_alike(after, new_kept):
        return (), ()
    return tuple(_spans(before, old_kept)), tuple(_spans(after, new_kept))


def _count_equal(before: Sequence[str], after: Sequence[str]) -> int:
    count = 0
    for left, right in zip(before, after, strict=False):
        if left != right:
            break
        count += 1
    return count


def _keep_ends(length: int, first: int, last: int) -> list[bool]:
    return [at < first or at >= length - last for at in range(length)]


def _common(before: Sequence[str], after: Sequence[str]) -> Iterator[Span]:
    """Yield the places of a longest common subsequence."""
    best = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for left in range(len(before) - 1, -1, -1):
        row, below = best[left], best[left + 1]
        for right in range(len(after) - 1, -1, -1):
            row[right] = below[right + 1] + 1 if before[left] == after[right] else max(below[right], row[right + 1])
    left = right = 0
    while left < len(before) and right < len(after):
        if before[left] == after[right]:
            yield left, right
            left, right = left + 1, right + 1
        elif best[left + 1][right] >= best[left][right + 1]:
            left += 1
        else:
            right += 1


def _is_alike(words: Sequence[str], kept: Sequence[bool]) -> bool:
    """Say whether enough of a line's words stayed; blanks and marks say nothing about that."""
    counted = [(len(word), keep) for word, keep in zip(words, kept, strict=True) if word[0].isalnum() or word[0] == "_"]
    return sum(size for size, keep in counted if keep) >= _ENOUGH * max(1, sum(size for size, _ in counted))


def _spans(words: Sequence[str], kept: Sequence[bool]) -> Iterator[Span]:
    """Yield the changed stretches; a blank between two changed words belongs to the change."""
    start = end = at = 0
    only_blanks = True
    for word, keep in zip(words, kept, strict=True):
        if not keep:
            if end > start and not only_blanks:
                yield start, end
                start = at
            start = at if end == 0 else start
            end, only_blanks = at + len(word), True
        elif not word.isspace():
            only_blanks = False
        at += len(word)
    if end > start:
        yield start, end
