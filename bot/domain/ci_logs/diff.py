"""Which lines of a failed log are new against a green one: the longest common subsequence, in bounded memory."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

MAX_CELLS: Final = 2**28
"""Bits of the table: 32 MiB. Two logs of 16,000 common lines each still fit."""


def find_new(green: Sequence[str], failed: Sequence[str]) -> list[int]:
    """Return the places in `failed` that have no partner in `green`, in order.

    Lines that stand in one log only need no comparison. Of the rest the longest common subsequence is exact, by
    whole-number arithmetic over one bit for each line of `green`; beyond `MAX_CELLS` the counts alone decide.
    """
    known, wanted = set(green), set(failed)
    left = [line for line in green if line in wanted]
    right = [place for place, line in enumerate(failed) if line in known]
    texts = [failed[place] for place in right]
    same = _match(left, texts) if len(left) * len(texts) <= MAX_CELLS else _count(left, texts)
    matched = {right[place] for place in same}
    return [place for place in range(len(failed)) if place not in matched]


def _match(left: Sequence[str], right: Sequence[str]) -> list[int]:
    """Return the places in `right` that a longest common subsequence takes: of equal lines the first."""
    begin = 0
    while begin < min(len(left), len(right)) and left[begin] == right[begin]:
        begin += 1
    matched, left, right = list(range(begin)), left[begin:], right[begin:]
    rows = _fill(left, right)
    at, row = len(left), len(right)
    while at and row:
        if rows[row] >> (at - 1) & 1:
            at -= 1
            continue
        row -= 1
        if rows[row] >> (at - 1) & 1:
            matched.append(begin + row)
            at -= 1
    return matched


def _fill(left: Sequence[str], right: Sequence[str]) -> list[int]:
    """Return for each length of `right` a number: bit n is 0 where line n of `left` makes the common part longer."""
    places: dict[str, int] = {}
    for place, line in enumerate(left):
        places[line] = places.get(line, 0) | 1 << place
    whole = (1 << len(left)) - 1
    rows = [whole]
    for line in right:
        row = rows[-1]
        hits = row & places.get(line, 0)
        rows.append(((row + hits) | (row - hits)) & whole)
    return rows


def _count(left: Sequence[str], right: Sequence[str]) -> list[int]:
    """Return the first occurrences in `right`, as many of each line as `left` has."""
    free = Counter(left)
    matched = []
    for place, line in enumerate(right):
        if free[line]:
            free[line] -= 1
            matched.append(place)
    return matched
