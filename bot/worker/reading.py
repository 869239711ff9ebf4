"""Reads the log places of a service, all at once: one that hangs is named, and keeps nobody waiting.

Every text in what comes back went through the tools' redaction, before anything else saw it.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace
from bot.errors import NightshiftError, Reason
from bot.ports.aside import begin
from bot.ports.logs import LogQuery
from bot.worker.tools import Tools


def plan_query(job: Job) -> LogQuery:
    """Return what to read of the service's logs."""
    since, until = job.log_span
    return LogQuery(service=job.service.name, since=since, until=until, seconds=job.within)


def read_places(job: Job, tools: Tools, query: LogQuery | None = None) -> Iterator[LogRead]:
    """Yield what each place of the service holds, in their order, within the job's time.

    `query` asks for another time than that around the alert.
    """
    query = query or plan_query(job)
    ends_at = time.monotonic() + job.within
    places = job.service.logs
    begun = [
        begin(partial(_read, job, place, tools=tools, query=query), name=f"reads {place.kind}") for place in places
    ]
    for place, reading in zip(places, begun, strict=True):
        try:
            yield reading.result(timeout=max(0.0, ends_at - time.monotonic()))
        except TimeoutError:
            yield LogRead(place=place, fault=f"no answer in {job.within:.0f} s", is_pending=True)


def _read(job: Job, place: LogPlace, *, tools: Tools, query: LogQuery) -> LogRead:
    """Read one place: a file here, of another what was handed over."""
    if place.is_far:
        read = _find_read(job, place)
        lines, notes, fault, is_pending = read.lines, read.notes, read.fault, False
    else:
        try:
            source = tools.log_source(place)
            lines = tuple(source.read(query))
            notes, fault, is_pending = tuple(getattr(source, "notes", ())), "", False
        except NightshiftError as error:
            lines, notes, fault, is_pending = (), (), str(error), error.reason is Reason.TIMEOUT
        except (OSError, ValueError) as error:
            lines, notes, fault, is_pending = (), (), f"{type(error).__name__}: {error}", False
    texts = tools.sanitize_lines([line.text for line in lines])
    return LogRead(
        place=place,
        lines=tuple(
            line if text == line.text else replace(line, text=text) for line, text in zip(lines, texts, strict=True)
        ),
        notes=tuple(tools.clean(note, 300) for note in notes),
        fault=tools.clean(fault, 300),
        is_pending=is_pending,
    )


def _find_read(job: Job, place: LogPlace) -> LogRead:
    """Return what the front process has handed over of a place, or that nobody has read it."""
    handed = (read for read in job.far_logs if read.place == place)
    return next(handed, LogRead(place=place, fault="it was not read for this investigation"))
