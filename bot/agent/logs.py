"""What the service logged, as the model reads it: reduced to what matters, and line by line where it asks for that."""

from collections.abc import Callable, Sequence
from typing import Final

from bot.agent.sources import Pattern
from bot.agent.tools.paging import PAGE
from bot.domain.evidence import LogLine
from bot.errors import Reason, Refused

MAX_LINES: Final = 80
MAX_LINE: Final = 500
BESIDE: Final = 30
MAX_PLACES: Final = 5


class Logs:
    """Cleaned lines, oldest first, and what stands for places that could not be read.

    `reduce` says in few lines what matters in all of them, each as it was written, with its place.
    """

    def __init__(self, lines: Sequence[LogLine], faults: Sequence[str], reduce: Callable[[], Sequence[str]]) -> None:
        self._lines = lines
        self._faults = faults
        self._reduce = reduce
        self._reduced: str | None = None

    @property
    def size(self) -> int:
        return len(self._lines)

    @property
    def faults(self) -> Sequence[str]:
        """Return what could not be read, a line each."""
        return self._faults

    def reduced(self) -> str:
        """Return what matters; of a log that is short enough every line. It is worked out once."""
        if len(self._lines) <= MAX_LINES:
            return self.find(None, page=1)
        if self._reduced is None:
            how = '"pattern" and "page" show lines as they are, "at" those around one, such as at="{}".'
            told = self._reduce()
            self._reduced = "\n".join([*self._faults, *told, "", how.format(self._lines[-1].cite)])
        return self._reduced

    def find(self, pattern: Pattern | None, *, page: int) -> str:
        """Return lines as they are, the newest page first, with what could not be read. Raises `Refused` where there is
        no such page."""
        found = [_show(line) for line in self._lines if pattern is None or pattern.search(line.text)]
        ends = _find_pages(found)
        if page > len(ends):
            raise Refused(f"there is no page {page}; pages: 1, the newest lines, to {len(ends)}", Reason.NOT_FOUND)
        shown = found[ends[page] if page < len(ends) else 0 : ends[page - 1]]
        more = f"; page={page + 1} shows older ones" if page < len(ends) else ""
        count = f"{len(found):,} of {len(self._lines):,} lines match"
        head = f"{count}; page {page} of {len(ends)}, {len(shown)} lines{more}:"
        return "\n".join([*self._faults, head, *shown])

    def around(self, cite: str) -> str:
        """Return the lines around a place, as it is cited, as many as fit. Raises `Refused` where no line has it."""
        place = next((n for n, line in enumerate(self._lines) if line.cite == cite), None)
        if place is None:
            raise Refused(f'no line is at "{cite[:80]}"; {self._tell_places()}', Reason.NOT_FOUND)
        shown = [_show(self._lines[place])]
        size = _weigh(shown[0])
        before, after = place - 1, place + 1
        for _ in range(BESIDE):
            for near in (before, after):
                line = _show(self._lines[near]) if 0 <= near < len(self._lines) else ""
                size += _weigh(line)
                if size > PAGE:
                    return "\n".join(shown)
                if line:
                    shown.insert(0 if near < place else len(shown), line)
            before, after = before - 1, after + 1
        return "\n".join(shown)

    def _tell_places(self) -> str:
        """Say from where to where each source can be cited."""
        if not self._lines:
            return "no line was read at all"
        ends = {line.source: line.cite for line in self._lines}
        begins = {line.source: line.cite for line in reversed(self._lines)}
        return f"there is {', '.join(f'{begins[name]} to {ends[name]}' for name in list(ends)[:MAX_PLACES])}"


def _show(line: LogLine) -> str:
    return f"{line.cite}  {line.text[:MAX_LINE]}"


def _weigh(line: str) -> int:
    return len(line.encode("utf-8", "replace")) + 1


def _find_pages(lines: Sequence[str]) -> Sequence[int]:
    """Return where each page ends, the newest first: no page has more lines, or more bytes, than fit into an answer."""
    ends, count, size = [len(lines)], 0, 0
    for place in range(len(lines) - 1, -1, -1):
        weight = _weigh(lines[place])
        if count == MAX_LINES or (count and size + weight > PAGE):
            ends.append(place + 1)
            count = size = 0
        count += 1
        size += weight
    return ends
