"""Texts that a run asks for while it works: logs of another time, and CI's. Each is read once, and looked at often."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.agent.logs import Logs
from bot.domain.ci_logs.log import CILog
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, LogRead
from bot.errors import Reason, Refused
from bot.ports.desk import Ask, CILogWanted, LogsWanted
from bot.ports.logs import LogQuery
from bot.worker.ci_log import find_ci_failure
from bot.worker.log_view import read_logs
from bot.worker.tools import Tools

MAX_KEPT: Final = 6
MAX_BYTES: Final = 16 * 1024 * 1024


class Library:
    """What one run has read, the last few texts of it in memory."""

    def __init__(self, job: Job, tools: Tools, ask: Ask) -> None:
        self._job = job
        self._tools = tools
        self._ask = ask
        self._kept: dict[tuple[object, ...], Logs] = {}

    async def query_logs(self, since: datetime, until: datetime) -> Logs:
        """Read what the service logged in [since, until): files here, the rest through the front process."""
        return await self._keep((since, until), lambda: self._query(since, until))

    async def read_ci_log(self, sha: str) -> Logs:
        """Read CI's log of a commit. Raises `Refused` where there is none."""
        return await self._keep((sha,), lambda: self._read_ci(sha))

    async def _keep(self, key: tuple[object, ...], read: Callable[[], Awaitable[Logs]]) -> Logs:
        if key not in self._kept:
            found = await read()
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = found
        return self._kept[key]

    async def _query(self, since: datetime, until: datetime) -> Logs:
        job = replace(self._job, far_logs=())
        far = [place for place in job.service.logs if place.is_far]
        if far:
            told = await self._ask(LogsWanted(since=since, until=until))
            if told.fault and len(far) == len(job.service.logs):
                raise Refused(told.fault, Reason.NOT_FOUND)
            unread = tuple(LogRead(place=place, fault=told.fault) for place in far) if told.fault else ()
            job = replace(job, far_logs=unread or told.logs)
        query = LogQuery(service=job.service.name, since=since, until=until, max_bytes=MAX_BYTES, seconds=job.within)
        return await asyncio.to_thread(read_logs, job, self._tools, query)

    async def _read_ci(self, sha: str) -> Logs:
        told = await self._ask(CILogWanted(sha=sha))
        if told.fault or told.ci_log is None or not told.ci_log.text.strip():
            raise Refused(told.fault or f"CI keeps no log of {sha[:12]}", Reason.NOT_FOUND)
        return await asyncio.to_thread(_view, told.ci_log, self._tools)


def _view(log: CILog, tools: Tools) -> Logs:
    """Return the log line by line, and reduced to what its last green run did not write."""
    texts = tools.sanitize_lines(log.text.rstrip("\n").split("\n"))
    lines = [LogLine(source="ci", number=number, text=text) for number, text in enumerate(texts, 1)]
    failure = find_ci_failure(log, "", tools)

    def reduce() -> list[str]:
        if failure is None:
            return ["Nothing in it shows what failed."]
        beside = "what the last green run did not write" if failure.is_compared else "no green run of it is kept"
        return [f"{failure.cite} ({beside})", failure.summary, *failure.lines]

    return Logs(lines, (), reduce)
