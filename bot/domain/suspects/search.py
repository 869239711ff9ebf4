"""Where the first red commit of a history can still be, how likely each is, and which run tells most. Pure.

Branches and merges are searched as they are, as `git bisect` does: what is red leaves only what came before it, what
is green leaves out all that came before it. But the next run is where it splits the suspicion, not the count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.evidence import Check

#: Of all suspicion, what is spread evenly over the commits: the ranking may be wrong.
_EVEN: Final = 0.15
#: How much of it the first suspects have, measured on the regressions that the tests build.
_PLACES: Final = (0.55, 0.15, 0.08, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.02)
_LEAD: Final = 1.5
#: Where a commit has so much of it, it and its parent are run side by side.
_CLEAR: Final = 0.6
#: Of all suspicion, what lies before the oldest commit while none is known to be green.
_OLDER: Final = 0.15


@dataclass(frozen=True, kw_only=True)
class Link:
    """A commit as the search sees it."""

    sha: str
    parents: tuple[str, ...]


class Hunt:
    """Commits that may be the first red one. The first of `links` is the head, and red."""

    def __init__(self, links: Sequence[Link], scores: Mapping[str, float], *, green: str = "") -> None:
        self.links = links
        self._place = {link.sha: index for index, link in enumerate(links)}
        self._before = _list_before(links, self._place)
        self._weights = _weigh(links, scores)
        self._blind = 0
        self.red = 0
        self.green_known = False
        self._left = self._before[0]
        if self._place.get(green):
            self.learn(self._place[green], Check.GREEN)

    @property
    def left(self) -> list[int]:
        """Return the commits that may still be the first red one, newest first."""
        return [index for index in range(len(self.links)) if self._left >> index & 1]

    @property
    def is_open(self) -> bool:
        return bool(self._left & ~(1 << self.red))

    @property
    def culprit(self) -> Link | None:
        """Return the first red commit, once it is the only one left and something before it was green."""
        return self.links[self.red] if self._left == 1 << self.red and self.green_known else None

    def find(self, sha: str) -> int | None:
        return self._place.get(sha)

    def learn(self, index: int, verdict: Check) -> None:
        if verdict is Check.UNKNOWN:
            self._blind |= 1 << index
        elif verdict is Check.RED and self._left >> index & 1:
            self.red = index
            self._left &= self._before[index]
        elif verdict is Check.GREEN:
            rest = self._left & ~self._before[index]
            if rest >> self.red & 1:
                self._left, self.green_known = rest, True

    def choose(self) -> tuple[int, ...]:
        """Return the commits to run next: the one that splits the suspicion most evenly, none when nothing is left.

        Where one commit has most of the suspicion, it and the one before it are returned: both will be needed.
        """
        open_ones = [index for index in self.left if index != self.red and not self._blind >> index & 1]
        if not open_ones:
            return ()
        older = 0.0 if self.green_known else _OLDER
        whole = sum(self._weights[index] for index in self.left) + older
        top = max(self.left, key=lambda index: self._weights[index])
        parents = [self._place[sha] for sha in self.links[top].parents if sha in self._place]
        if self._weights[top] > _CLEAR * whole and top in open_ones and len(parents) == 1 and parents[0] in open_ones:
            return top, parents[0]

        def imbalance(index: int) -> float:
            inside = self._left & self._before[index]
            return abs(sum(self._weights[each] for each in self.left if inside >> each & 1) + older - whole / 2)

        return (min(open_ones, key=lambda index: (imbalance(index), index)),)


def _list_before(links: Sequence[Link], place: Mapping[str, int]) -> list[int]:
    """Return, for each commit, itself and all that came before it, as bits. Dates may lie, so parents decide."""
    done: dict[int, int] = {}
    for start in range(len(links)):
        waiting = [start]
        while waiting:
            index = waiting[-1]
            parents = [place[sha] for sha in links[index].parents if sha in place]
            missing = [parent for parent in parents if parent not in done]
            if missing and index not in done:
                waiting += missing
                continue
            waiting.pop()
            bits = 1 << index
            for parent in parents:
                bits |= done[parent]
            done[index] = bits
    return [done[index] for index in range(len(links))]


def _weigh(links: Sequence[Link], scores: Mapping[str, float]) -> list[float]:
    """Return how likely each commit is the first red one: mostly as the ranking says, and a little any of them.

    Places count more than scores, since a ranking is right about as often whatever its scores; a first suspect far
    ahead of the second is right more often.
    """
    ranked = sorted((sha for sha in scores if scores[sha] > 0), key=lambda sha: -scores[sha])
    places = dict(zip(ranked, _PLACES, strict=False))
    if len(ranked) > 1 and scores[ranked[0]] >= _LEAD * scores[ranked[1]]:
        places[ranked[0]] *= 2
    raw = [places.get(link.sha, 0.0) for link in links]
    whole = sum(raw)
    if not whole:
        return [1 / len(links)] * len(links)
    return [(1 - _EVEN) * weight / whole + _EVEN / len(links) for weight in raw]
