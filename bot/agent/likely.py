"""Which of very many texts may be the one that was meant, before the costly comparison of each."""

from collections.abc import Iterable
from heapq import nlargest
from itertools import pairwise
from typing import Final

MOST_COMPARED: Final = 50


def list_likely(wanted: str, among: Iterable[str]) -> list[str]:
    """Return the texts that share the most pairs of letters with one: to compare them all takes seconds."""
    pairs = set(pairwise(wanted))
    return nlargest(MOST_COMPARED, among, key=lambda text: len(pairs.intersection(pairwise(text))))
