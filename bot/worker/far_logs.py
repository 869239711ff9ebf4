"""Log places in the worker: files are read here, of the others what the front process has handed over."""

from collections.abc import Iterator

from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace
from bot.errors import Reason, Unavailable
from bot.ports.logs import LogQuery, LogSource
from bot.worker.tools import Tools


class HandedOver:
    """`LogSource` over lines that were read already, for exactly this query."""

    def __init__(self, read: LogRead) -> None:
        self._read = read
        self.notes = list(read.notes)

    @property
    def name(self) -> str:
        return self._read.place.label

    def read(self, query: LogQuery) -> Iterator[LogLine]:  # noqa: ARG002 -- the port's; it was asked before
        if self._read.fault:
            raise Unavailable(self._read.fault, Reason.UNREACHABLE)
        return iter(self._read.lines)


def open_log(job: Job, place: LogPlace, tools: Tools) -> LogSource:
    """Return the source of a place. Raises `Unavailable` where nobody has read it."""
    if not place.is_far:
        return tools.log_source(place)
    handed = next((read for read in job.far_logs if read.place == place), None)
    if handed is None:
        raise Unavailable("it was not read for this investigation", Reason.UNREACHABLE)
    return HandedOver(handed)
