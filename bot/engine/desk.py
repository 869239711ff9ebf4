"""Answers what a run's tools ask for: here are the credentials, the store and the rules.

The service and the incident are those of the run, whatever the worker says. Everything is bounded, redacted with the
secrets that only this process knows, and changes nothing.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import structlog

from bot.agent.cleaning import redact_value
from bot.agent.recall import recall_far_tools
from bot.domain.ci_logs.jobs import plain_log
from bot.domain.ci_logs.log import CILog, is_commit
from bot.domain.investigation import Job
from bot.domain.metrics.metric import MAX_QUERIES, MetricRead
from bot.domain.metrics.promql import fault_of_query
from bot.engine.far_logs import read_place
from bot.engine.far_metrics import read_metrics
from bot.engine.green_logs import GreenLogs
from bot.engine.tools import PhaseWork, T, Tools
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.desk import (
    AlikeWanted,
    ChangesWanted,
    CILogWanted,
    ImageWanted,
    LogsWanted,
    MCPWanted,
    MetricsWanted,
    PlaybookText,
    PlaybookWanted,
    Question,
    RunsWanted,
    Told,
)
from bot.ports.logs import LogQuery
from bot.ports.work import Store
from bot.render.playbook import render_text
from bot.services import looking_up
from bot.services.rulebook import Rulebook
from bot.services.wishes import base_run

log = structlog.get_logger(__name__)
SECONDS: Final = 30.0
LOG_SECONDS: Final = 15.0
LOG_BYTES: Final = 2 * 1024 * 1024
MAX_SPAN: Final = timedelta(days=8)
MAX_POINTS: Final = 1_000
MAX_RUNS: Final = 5


class FrontDesk(PhaseWork):
    """`bot.ports.desk.Desk` with real connectors."""

    def __init__(self, store: Store, rules: Rulebook, tools: Tools, *, green: GreenLogs) -> None:
        super().__init__(store, rules, tools)
        self._green = green
        self._answers: Mapping[type, Callable[[Job, Any], Awaitable[Told]]] = {
            LogsWanted: self._read_logs,
            MetricsWanted: self._read_metrics,
            RunsWanted: self._list_runs,
            CILogWanted: self._read_ci_log,
            ChangesWanted: self._list_changes,
            AlikeWanted: self._list_alike,
            PlaybookWanted: self._read_playbook,
            ImageWanted: self._read_image,
            MCPWanted: self._call_tool,
        }

    async def answer(self, job: Job, question: Question) -> Told:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._answers[type(question)](job, question)
        except TimeoutError:
            fault = f"no answer within {SECONDS:g} s"
        except NightshiftError as error:
            fault = self._tools.redact(str(error))[:1_000]
        log.info("tool_unanswered", incident=job.incident, asked=question.kind, error=fault)
        return Told(fault=fault)

    async def _read_logs(self, job: Job, wanted: LogsWanted) -> Told:
        places = [place for place in job.service.logs if place.is_far]
        open_log = self._tools.open_log
        if open_log is None or not places:
            raise Refused(f"no log server is configured for {job.service.name}", Reason.NOT_FOUND)
        if not timedelta(0) < wanted.until - wanted.since <= MAX_SPAN:
            raise Refused(f"logs are read over at most {MAX_SPAN.days} days", Reason.TOO_LARGE)
        query = LogQuery(
            service=job.service.name,
            since=wanted.since,
            until=wanted.until,
            max_bytes=LOG_BYTES // len(places),
            seconds=LOG_SECONDS,
        )
        reads = await asyncio.gather(*(read_place(place, query, open_log) for place in places))
        safe = await self._redact(tuple((read.lines, read.notes, read.fault) for read in reads))
        parts = zip(reads, safe, strict=True)
        return Told(logs=tuple(replace(read, lines=each[0], notes=each[1], fault=each[2]) for read, each in parts))

    async def _read_metrics(self, job: Job, wanted: MetricsWanted) -> Told:
        if self._tools.metrics is None:
            raise Refused(
                f"no metric server is configured for {job.service.name} ([connections.prometheus])", Reason.NOT_FOUND
            )
        for read in wanted.unread[:MAX_QUERIES]:
            _check_metric(read)
        reads = await read_metrics(wanted.unread[:MAX_QUERIES], self._tools.metrics)
        return Told(metrics=await self._redact(reads))

    async def _list_runs(self, job: Job, wanted: RunsWanted) -> Told:
        provider = self._tools.find_ci(job.service.ci)
        runs = await asyncio.gather(*(provider.status(_check_sha(sha)) for sha in wanted.shas[:MAX_RUNS]))
        return Told(runs=await self._redact(tuple(run for run in runs if run is not None)))

    async def _read_ci_log(self, job: Job, wanted: CILogWanted) -> Told:
        ci, sha = job.service.ci, _check_sha(wanted.sha)
        text = await self._tools.find_ci(ci).log(sha)
        clean = await asyncio.to_thread(lambda: self._tools.redact(plain_log(text)))
        return Told(ci_log=await self._green.add(CILog(ci=ci, sha=sha, text=clean), job.service.name))

    async def _list_changes(self, job: Job, wanted: ChangesWanted) -> Told:
        name = job.service.name
        found = await self._in_unit(lambda w: looking_up.list_changes(w, name, wanted.since, wanted.until))
        return Told(changes=await self._redact(found))

    async def _list_alike(self, job: Job, wanted: AlikeWanted) -> Told:
        run, text = base_run(job.run), wanted.text
        return Told(
            alike=await self._redact(await self._in_unit(lambda w: looking_up.list_alike(w, job.incident, run, text)))
        )

    async def _read_playbook(self, job: Job, wanted: PlaybookWanted) -> Told:
        known = self._rules.playbooks
        if not wanted.name:
            return Told(playbooks=tuple(PlaybookText(name=each.name, title=each.title) for each in known))
        found = next((each for each in known if each.name == wanted.name), None)
        if found is None:
            names = ", ".join(each.name for each in known) or "none"
            raise Refused(f"there is no playbook {wanted.name[:60]!r}; there is: {names}", Reason.NOT_FOUND)
        incident = await self._in_unit(lambda w: w.incidents.get(job.incident))
        text = await asyncio.to_thread(render_text, found, incident)
        return Told(playbooks=await self._redact((PlaybookText(name=found.name, title=found.title, text=text),)))

    async def _read_image(self, job: Job, wanted: ImageWanted) -> Told:
        """Images are not redacted: whoever posted one showed it to the model."""
        found = await self._in_unit(lambda w: w.images.of(job.incident, (wanted.sha256,)))
        if wanted.sha256 not in found:
            raise Refused(f"the image {wanted.sha256[:12]}… is not stored any more", Reason.NOT_FOUND)
        return Told(image=base64.b64encode(found[wanted.sha256]).decode("ascii"))

    async def _call_tool(self, job: Job, wanted: MCPWanted) -> Told:
        """Call a tool that the run's first row says it was given: the worker's word is not enough."""
        if self._tools.far_tools is None:
            raise Refused("no server of tools is configured", Reason.NOT_FOUND)
        given = recall_far_tools(await self._in_unit(lambda w: w.transcripts.of(job.run)))
        return Told(far=await self._tools.far_tools.call(wanted, given))

    async def _redact(self, value: T) -> T:
        """Redact in a thread: it may be megabytes."""
        return await asyncio.to_thread(redact_value, value, self._tools.redact)


def _check_sha(sha: str) -> str:
    if not is_commit(sha):
        raise Refused(f"{sha[:80]!r} is not a whole commit id", Reason.BAD_INPUT)
    return sha


def _check_metric(read: MetricRead) -> None:
    fault = fault_of_query(read.query.expr)
    if fault:
        raise Refused(f"the query {fault}", Reason.BAD_INPUT)
    span = read.until - read.since
    if not timedelta(0) < span <= MAX_SPAN or not span.total_seconds() <= read.step * MAX_POINTS:
        raise Refused(f"metrics are read over at most {MAX_SPAN.days} days and {MAX_POINTS:,} points", Reason.TOO_LARGE)
