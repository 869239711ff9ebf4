"""Logs that a server or a program must be asked for: read here, where the credentials are, all at once, for the worker.

What is read is handed over as it is: the worker takes secrets out before anything else sees it, as out of files.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace
from bot.errors import NightshiftError, Reason, Rejected
from bot.ports.aside import begin
from bot.ports.logs import LogQuery, LogSource

log = structlog.get_logger(__name__)
MAX_BYTES: Final = 8 * 1024 * 1024
"""Of all places together: a frame to the worker holds 64 MiB, and each line has a number and a time beside it."""
SECONDS: Final = 15.0
SLACK: Final = 2.0


async def fetch_far_logs(job: Job, open_log: Callable[[LogPlace], LogSource] | None) -> Job:
    """Return the job with what its far log places hold. One that is dead or slow is a reason, and is not waited for."""
    places = [place for place in job.service.logs if place.is_far]
    if not places or open_log is None or "logs" not in job.playbook.evidence:
        return job
    return replace(job, far_logs=await read_places(job, places, open_log))


async def read_places(
    job: Job, places: Sequence[LogPlace], open_log: Callable[[LogPlace], LogSource]
) -> tuple[LogRead, ...]:
    """Read several places at once, each with its share of the bytes."""
    query = plan_far_query(job, len(places), seconds=SECONDS)
    return tuple(await asyncio.gather(*(read_place(place, query, open_log) for place in places)))


def plan_far_query(job: Job, count: int, *, seconds: float) -> LogQuery:
    """Return what to ask each of so many places for, with its share of the bytes."""
    since, until = job.log_span
    share = MAX_BYTES // max(count, 1)
    return LogQuery(service=job.service.name, since=since, until=until, max_bytes=share, seconds=seconds)


async def read_place(place: LogPlace, query: LogQuery, open_log: Callable[[LogPlace], LogSource]) -> LogRead:
    """Read one place, in a thread that nobody waits for longer than that."""
    try:
        async with asyncio.timeout(query.seconds + SLACK):
            return await asyncio.wrap_future(begin(partial(_read, place, query, open_log), name=f"asks {place.kind}"))
    except TimeoutError:
        fault = f"no answer within {query.seconds:g} s"
    except NightshiftError as error:
        fault = str(error)
    log.warning("log_place_unread", kind=place.kind, error=fault)
    return LogRead(place=place, fault=fault)


def _read(place: LogPlace, query: LogQuery, open_log: Callable[[LogPlace], LogSource]) -> LogRead:
    try:
        source = open_log(place)
        lines = tuple(source.read(query))
    except (OSError, ValueError) as error:
        raise Rejected(f"{type(error).__name__} while reading it", Reason.SERVER_ERROR) from error
    return LogRead(place=place, lines=lines, notes=tuple(getattr(source, "notes", ())))
