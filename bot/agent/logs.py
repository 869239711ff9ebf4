"""What the service logged, as the model reads it: reduced to what matters, and line by line where it asks for that."""

from collections.abc import Callable, Sequence
from typing import Final

from bot.agent.sources import Pattern
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
        found = [line for line in self._lines if pattern is None or pattern.search(line.text)]
        pages = max(1, -(-len(found) // MAX_LINES))
        if page > pages:
            raise Refused(f"there is no page {page}; pages: 1, the newest lines, to {pages}", Reason.NOT_FOUND)
        end = len(found) - (page - 1) * MAX_LINES
        shown = found[max(0, end - MAX_LINES) : end]
        more = f"; page={page + 1} shows older ones" if page < pages else ""
        count = f"{len(found):,} of {len(self._lines):,} lines match"
        head = f"{count}; page {page} of {pages}, {len(shown)} lines{more}:"
        return "\n".join([*self._faults, head, *(_show(line) for line in shown)])

    def around(self, cite: str) -> str:
        """Return the lines around a place, as it is cited. Raises `Refused` where no line has it."""
        place = next((n for n, line in enumerate(self._lines) if line.cite == cite), None)
        if place is None:
            raise Refused(f'no line is at "{cite[:80]}"; {self._tell_places()}', Reason.NOT_FOUND)
        first = max(0, place - BESIDE)
        return "\n".join(_show(line) for line in self._lines[first : place + BESIDE + 1])

    def _tell_places(self) -> str:
        """Say from where to where each source can be cited."""
        if not self._lines:
            return "no line was read at all"
        ends = {line.source: line.cite for line in self._lines}
        begins = {line.source: line.cite for line in reversed(self._lines)}
        return f"there is {', '.join(f'{begins[name]} to {ends[name]}' for name in list(ends)[:MAX_PLACES])}"


def _show(line: LogLine) -> str:
    return f"{line.cite}  {line.text[:MAX_LINE]}"
