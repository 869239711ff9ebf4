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
    """Return the source of a place. What nobody has read of one that must be asked raises when it is read."""
    return HandedOver(find_read(job, place)) if place.is_far else tools.log_source(place)


def find_read(job: Job, place: LogPlace) -> LogRead:
    """Return what was handed over of a place, or that nobody has read it."""
    handed = (read for read in job.far_logs if read.place == place)
    return next(handed, LogRead(place=place, fault="it was not read for this investigation"))
