"""Where the first red commit of a line can still be, how likely each is, and which run tells most. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.evidence import Check

#: Of all suspicion, what is spread evenly over the commits: the ranking may be wrong.
_EVEN: Final = 0.2
#: Of all suspicion, what lies before the oldest commit while none is known to be green.
_OLDER: Final = 0.15


@dataclass(frozen=True, kw_only=True)
class Link:
    """A commit as the search sees it."""

    sha: str
    parents: tuple[str, ...]


def first_parents(sha: str, known: Mapping[str, Link]) -> list[Link]:
    """Return the line of first parents from a commit on, newest first."""
    line: list[Link] = []
    while (link := known.get(sha)) and len(line) < len(known):
        line.append(link)
        sha = link.parents[0] if link.parents else ""
    return line


def weigh_line(line: Sequence[Link], known: Mapping[str, Link], scores: Mapping[str, float]) -> list[float]:
    """Return how likely each commit of a line is the first red one; a merge stands for all that it brought in."""
    seen = {link.sha for link in line}
    raw: list[float] = []
    for link in reversed(line):
        brought = _bring_in(link, known, seen)
        raw.append(sum(scores.get(sha, 0.0) ** 2 for sha in (link.sha, *brought)))
    whole = sum(raw) or 1.0
    share = (_EVEN if any(raw) else 1.0) / max(len(line), 1)
    return [(1 - _EVEN) * weight / whole + share for weight in reversed(raw)]


def _bring_in(link: Link, known: Mapping[str, Link], seen: set[str]) -> list[str]:
    """Return the commits that a merge brings into a line, and count them as seen."""
    waiting, found = list(link.parents[1:]), list[str]()
    while waiting:
        sha = waiting.pop()
        if sha in seen or sha not in known:
            continue
        seen.add(sha)
        found.append(sha)
        waiting += known[sha].parents
    return found


class Span:
    """A line of commits, newest first: red up to and including `red`, green from `green` on; between is unknown."""

    def __init__(self, *, line: Sequence[Link], weights: Sequence[float], green: int | None = None) -> None:
        self.line = line
        self.red = 0
        self.green = len(line) if green is None else green
        self.green_known = green is not None
        self._blind: set[int] = set()
        self._weights = weights

    @property
    def width(self) -> int:
        """How many commits may still be the first red one."""
        return self.green - self.red

    def learn(self, index: int, verdict: Check) -> None:
        if verdict is Check.UNKNOWN:
            self._blind.add(index)
        elif verdict is Check.RED and index < self.green:
            self.red = max(self.red, index)
        elif verdict is Check.GREEN and index > self.red:
            self.green, self.green_known = min(self.green, index), True

    def choose(self) -> tuple[int, ...]:
        """Return the commits to run next: the one that splits the suspicion most evenly, none when nothing is left.

        Where one commit has most of the suspicion, it and the one before it are returned: both will be needed.
        """
        open_ones = [index for index in range(self.red + 1, self.green) if index not in self._blind]
        if not open_ones:
            return ()
        older = 0.0 if self.green_known else _OLDER * sum(self._weights)
        mass = self._weights[self.red : self.green]
        whole = sum(mass) + older
        top = self.red + max(range(len(mass)), key=lambda index: mass[index])
        if self._weights[top] > whole / 2 and {top, top + 1} <= set(open_ones):
            return top, top + 1

        def imbalance(index: int) -> float:
            return abs(sum(self._weights[self.red : index]) - whole / 2)

        return (min(open_ones, key=lambda index: (imbalance(index), index)),)
