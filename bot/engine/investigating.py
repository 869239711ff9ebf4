"""An investigation from its evidence on: what has answered is shown within seconds, what is slow is named and taken in
when it comes, what is dead is named and never waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from bot.domain.ci_logs.log import CILog, find_commit
from bot.domain.conclusion import find_result
from bot.domain.investigation import Collected, Confirmed, Job, LogRead, StageResult, Suspected, Verified
from bot.domain.service import LogPlace
from bot.engine.ci_log import asks_ci, fetch_ci_log
from bot.engine.far_logs import SLACK, plan_far_query, read_place
from bot.engine.far_metrics import fetch_metrics
from bot.engine.gathering import Asked, Gathering, Put
from bot.engine.green_logs import GreenLogs
from bot.engine.tools import PhaseWork, Tools
from bot.errors import Reason, Unavailable
from bot.metrics import STAGES
from bot.ports.faults import reach
from bot.ports.logs import LogQuery, LogSource
from bot.ports.work import Store
from bot.services import triage
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)
FAR_SHARE: Final = 0.5
"""Of the time until something is shown: for what lies elsewhere. The rest is for what the worker reads itself."""
SHOWING: Final = 2.0
"""Seconds of that time for sorting out what was read, and for the message."""
GRACE: Final = 0.5
"""Seconds that a repository has which is not there when the rest is; after them the logs are read without it."""
LEAST: Final = 1.0
Results = tuple[StageResult, ...]


class Investigating(PhaseWork):
    """Runs investigations. What a run has stored already is not done again."""

    def __init__(
        self,
        store: Store,
        rules: Rulebook,
        tools: Tools,
        *,
        green: GreenLogs,
        localize: Callable[[Job], Awaitable[Job]],
    ) -> None:
        super().__init__(store, rules, tools)
        self._green = green
        self._localize = localize

    async def run(self, job: Job) -> None:
        """Investigate until nothing is left to do. Raises `Unavailable` where another try may help."""
        local = asyncio.ensure_future(self._localize_in_time(job))
        try:
            if _is_whole(job.done):
                await self._go(await local)
            else:
                async with Gathering(list(self._list_asked(job))) as sources:
                    await self._gather(job, sources, local)
        finally:
            local.cancel()
            await asyncio.gather(local, return_exceptions=True)

    async def _gather(self, job: Job, sources: Gathering, local: "asyncio.Future[Job]") -> None:
        """Go as far as the first look leads; then look again for what was late."""
        first = await self._look_first(job, sources)
        await asyncio.wait({local}, timeout=GRACE)
        if local.done() and local.exception() is None:
            done = await self._go(_put_repository(first, local.result()))
        else:
            done = await self._go(first, last=Collected)
            repository = await local
            first = await self._look_first(job, sources)
            done = await self._go(_put_repository(replace(first, done=done), repository))
        if not _is_whole(done):
            await self._look_again(_put_repository(job, local.result()), done, sources)

    async def _look_first(self, job: Job, sources: Gathering) -> Job:
        """Return the job with what has come in a part of the playbook's first seconds; the worker gets the rest."""
        first = await sources.look(job, seconds=job.playbook.first_seconds * FAR_SHARE)
        left = job.playbook.first_seconds - SHOWING - sources.passed
        return replace(first, within=max(left, LEAST), is_first_look=True)

    async def _look_again(self, job: Job, done: Results, sources: Gathering) -> None:
        """Take in what was late: into the findings where the cause is known, else begin anew if it says more.

        Where the cause is known nobody waits for it.
        """
        is_known, evidence_seconds = _is_known(done), job.playbook.evidence_seconds
        last = await sources.look(job, seconds=0 if is_known else evidence_seconds)
        left = evidence_seconds - SHOWING - sources.passed
        last = replace(last, done=(), within=LEAST if is_known else max(left, LEAST))
        async with aclosing(self._tools.investigator.investigate(last)) as stages:
            fuller = await anext(stages)
        goes_on = not is_known and (_says_more(fuller, done) or not _is_through(done))
        await self._record(job, fuller, is_anew=goes_on)
        if goes_on:
            await self._go(replace(last, done=(fuller,)))

    async def _go(self, job: Job, *, last: type[StageResult] | None = None) -> Results:
        """Let the worker go on from what is done, up to the stage with the result `last`; return all that is done."""
        done = {type(result): result for result in job.done}
        async with aclosing(self._tools.investigator.investigate(job)) as stages:
            async for result in stages:
                await self._record(job, result)
                done[type(result)] = result
                if type(result) is last:
                    break
        return tuple(done.values())

    async def _record(self, job: Job, result: StageResult, *, is_anew: bool = False) -> None:
        stage = type(result).__name__.lower()
        reach(f"stage.{stage}.before")
        await self._in_unit(lambda w: triage.record_stage(w, job.incident, run=job.run, result=result, is_anew=is_anew))
        reach(f"stage.{stage}.after")
        STAGES.labels(stage=stage).inc()

    async def _localize_in_time(self, job: Job) -> Job:
        try:
            async with asyncio.timeout(job.playbook.evidence_seconds):
                return await self._localize(job)
        except TimeoutError:
            text = f"The repository of {job.service.name} did not answer in {job.playbook.evidence_seconds} s."
            raise Unavailable(text, Reason.TIMEOUT) from None

    # What is asked for -----------------------------------------------------------------------------------------------
    def _list_asked(self, job: Job) -> Iterator[Asked]:
        """Yield every source that lies elsewhere and that the playbook's evidence comes from."""
        open_log = self._tools.open_log
        places = [place for place in job.service.logs if place.is_far and "logs" in job.playbook.evidence]
        if open_log is not None:
            query = plan_far_query(job, len(places), seconds=max(job.playbook.evidence_seconds - SLACK, LEAST))
            for place in places:
                lack = partial(_lack_log, place)
                yield Asked(name=f"{place.kind} log {place.label}", ask=_ask_log(place, query, open_log), lack=lack)
        if self._tools.metrics is not None and "metrics" in job.playbook.evidence:
            yield Asked(name="the metrics", ask=self._ask_metrics(job), lack=lambda job, _why: job)
        if asks_ci(job):
            yield Asked(name="CI's log", ask=self._ask_ci(job), lack=_lack_ci)

    async def _ask_metrics(self, job: Job) -> Put:
        reads = await fetch_metrics(job, self._tools.metrics)
        for read in reads:
            if read.fault:
                log.warning("metric_unread", incident=job.incident, query=read.query.name, error=read.fault)
        return lambda other: replace(other, metrics=reads)

    async def _ask_ci(self, job: Job) -> Put:
        found = await fetch_ci_log(job, self._tools, seconds=float(job.playbook.evidence_seconds))
        if found is not None:
            found = await self._green.add(found, job.service.name, green_sha=job.green_sha)
        return lambda other: replace(other, ci_log=found)


async def _ask_log(place: LogPlace, query: LogQuery, open_log: Callable[[LogPlace], LogSource]) -> Put:
    read = await read_place(place, query, open_log)
    return partial(_add_read, read)


def _add_read(read: LogRead, job: Job) -> Job:
    return replace(job, far_logs=(*job.far_logs, read))


def _lack_log(place: LogPlace, job: Job, why: str) -> Job:
    return _add_read(LogRead(place=place, fault=why), job)


def _lack_ci(job: Job, why: str) -> Job:
    return replace(job, ci_log=CILog(ci=job.service.ci, sha=find_commit(job.labels), fault=why))


# What is done --------------------------------------------------------------------------------------------------------
def _put_repository(job: Job, local: Job) -> Job:
    return replace(job, service=replace(job.service, repository=local.service.repository))


def _is_whole(done: Sequence[StageResult]) -> bool:
    """Say whether everything that can be read was read."""
    collected = find_result(done, Collected)
    return collected is not None and not collected.pending


def _is_known(done: Sequence[StageResult]) -> bool:
    """Say whether a run has shown the cause, or the cure."""
    confirmed, verified = find_result(done, Confirmed), find_result(done, Verified)
    return bool(confirmed and confirmed.culprit) or bool(verified and verified.is_verified)


def _is_through(done: Sequence[StageResult]) -> bool:
    """Say whether what was read first led as far as anything can."""
    suspected = find_result(done, Suspected)
    return find_result(done, Confirmed) is not None or (suspected is not None and not suspected.head)


def _says_more(fuller: StageResult, done: Sequence[StageResult]) -> bool:
    before = find_result(done, Collected)
    if not isinstance(fuller, Collected) or before is None:
        return True
    return replace(fuller, notes=(), missing=(), pending=()) != replace(before, notes=(), missing=(), pending=())
