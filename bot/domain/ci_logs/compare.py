"""What a failed log shows that the last green log of the same job does not."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from bot.domain.ci_logs.diff import find_new
from bot.domain.ci_logs.ends import Span
from bot.domain.ci_logs.text import CILine, mask
from bot.domain.ci_logs.words import is_idle

_REACH: Final = 2


def compare(failed: Sequence[CILine], green: Sequence[CILine], spans: Sequence[Span]) -> list[int]:
    """Return the places of the lines of `failed` that are new and tell something, in order.

    `spans` are where the failed commands' outputs stand: where CI divides its log into steps nothing else counts. A
    line that the green log has elsewhere counts only beside one that it has not at all.
    """
    known = [mask(line.text) for line in green]
    masked = [mask(line.text) for line in failed]
    seen = set(known)
    told = [place for place in find_new(known, masked) if masked[place] and not is_idle(failed[place].text)]
    if spans[0].is_step:
        told = [place for place in told if any(span.begin <= place < span.end for span in spans)]
    kept = {place for place in told if masked[place] not in seen}
    for order in (told, told[::-1]):
        kept.update(_spread(order, kept))
    return sorted(kept | _fill(failed, sorted(kept)))


def _spread(order: Sequence[int], kept: set[int]) -> set[int]:
    """Return the places of `order` that stand beside a kept one, or beside one that was found so."""
    found = set(kept)
    for place in order:
        if not found.isdisjoint(range(place - _REACH, place + _REACH + 1)):
            found.add(place)
    return found


def _fill(failed: Sequence[CILine], kept: Sequence[int]) -> set[int]:
    """Return what stands between two kept lines that are close to each other."""
    close = ((first, second) for first, second in pairwise(kept) if second - first <= _REACH + 1)
    between = (place for first, second in close for place in range(first + 1, second))
    return {place for place in between if not is_idle(failed[place].text)}
