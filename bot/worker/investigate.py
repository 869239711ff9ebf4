"""One investigation without a model: collect → suspect → confirm → draft → verify.

Each stage's result is yielded as soon as it is there and stored by whoever asked, so that a restart goes on with the
stage after it. Nothing here knows a concrete log, repository or sandbox.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.investigation import (
    Collected,
    Confirmed,
    Drafted,
    Job,
    Stage,
    StageResult,
    Suspected,
    Verified,
)
from bot.domain.records import find_records, merge_records
from bot.domain.reproduction import Reproduce
from bot.errors import LimitReached, Reason, Rejected, Unavailable
from bot.ports.workspace import Checkout, Commit
from bot.worker.ci_log import aim
from bot.worker.collect import MAX_RECORDS, collect
from bot.worker.confirm import confirm
from bot.worker.coverage import merge_executed
from bot.worker.mend import Aim, draft_fix
from bot.worker.repository import open_repository
from bot.worker.reproduce import Bench
from bot.worker.revert import choose_target, verify_patch
from bot.worker.seek import find_trial, seek
from bot.worker.suspect import Ground, find_suspects, read_history, since_green
from bot.worker.tools import Tools
from bot.worker.trial import Trial

__all__ = ["Investigation", "Tools"]

#: Share of the playbook's time after which the search for the culprit stops, so that a draft still fits.
SEARCH_SHARE = 0.6
#: And after which nothing smaller than the revert is tried.
SMALLER_SHARE = 0.75

_Result = TypeVar("_Result")
_Stored = TypeVar("_Stored", bound=StageResult)


class Investigation:
    """Investigates jobs, one case per call."""

    def __init__(self, *, tools: Tools) -> None:
        self._tools = tools

    async def investigate(self, job: Job) -> AsyncGenerator[StageResult]:
        """Yield the stages that `job.done` does not hold. Raises `LimitReached` when the playbook's time is over."""
        case = _Case(job, self._tools)
        try:
            for stage in Stage:
                result = case.stored(stage)
                if result is None:
                    result = await case.within(stage, case.work(stage))
                    yield result
                if _is_dead_end(result):
                    return
        finally:
            await case.close()


def _is_dead_end(result: StageResult) -> bool:
    if isinstance(result, Suspected):
        return not result.head
    return isinstance(result, Drafted) and not result.patch


class _Case:
    """What the stages of one job share. Everything can be built again from the job and the stored results."""

    def __init__(self, job: Job, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self._results: dict[Stage, StageResult] = {stage: r for r in job.done for stage in [_stage_of(r)]}
        self._began = asyncio.get_running_loop().time()
        self._opening = asyncio.ensure_future(self._open())
        self._bench: Bench | None = None
        self._commits: Sequence[Commit] = ()
        self._trial: Trial | None = None
        self._is_trial_known = False
        self._verified: Verified | None = None

    @property
    def _seconds_left(self) -> float:
        return self._job.playbook.seconds - (asyncio.get_running_loop().time() - self._began)

    def stored(self, stage: Stage) -> StageResult | None:
        return self._results.get(stage)

    async def within(self, stage: Stage, work: Awaitable[StageResult]) -> StageResult:
        try:
            async with asyncio.timeout(self._seconds_left):
                result = await work
        except TimeoutError as error:
            text = f"the playbook's {self._job.playbook.seconds} s were over during {stage.value}"
            raise LimitReached(text, Reason.TIMEOUT) from error
        self._results[stage] = result
        return result

    async def close(self) -> None:
        self._opening.cancel()
        await asyncio.gather(self._opening, return_exceptions=True)

    async def work(self, stage: Stage) -> StageResult:
        match stage:
            case Stage.COLLECT:
                return await asyncio.to_thread(collect, self._job, self._tools)
            case Stage.SUSPECT:
                return await self._suspect()
            case Stage.CONFIRM:
                return await self._confirm()
            case Stage.DRAFT:
                return await self._draft()
            case Stage.VERIFY:
                return await self._verify()

    async def _open(self) -> Checkout:
        """Clone while the logs are read."""
        return await open_repository(self._job, self._tools)

    async def _suspect(self) -> Suspected:
        collected = self._get(Collected)
        try:
            checkout = await asyncio.shield(self._opening)
            head, self._commits = await read_history(checkout, self._job.service.branch, self._job.playbook.history)
            bench = await self._get_bench()
            bench.head = head
            archive = await bench.archive(head, keep=True)
        except (Unavailable, Rejected) as error:
            why = self._tools.clean(str(error), 300)
            return Suspected(head="", suspects=(), notes=(f"the repository could not be read: {why}",))
        records = (*collected.records, *collected.ci_records)
        if self._job.playbook.reproduce is Reproduce.CHECK:
            records = (*collected.records, *(await self._read_check(head) or collected.ci_records))
        collected = replace(collected, records=merge_records(records))
        commits = since_green(self._commits, self._job.green_sha)
        ground = Ground(head=head, archive=archive, executed=merge_executed(bench.executed.values()))
        found = await find_suspects(self._job, collected, ground=ground, commits=commits, tools=self._tools)
        note = f"only commits after {self._job.green_sha[:12]}, where CI was last green, are suspects"
        return found if commits is self._commits else replace(found, notes=(*found.notes, note))

    @property
    def _aimed(self) -> Job:
        """The job, with the check that CI's log names in the place of what the alert's labels say."""
        return aim(self._job, self._get(Collected).ci_job)

    async def _read_check(self, head: str) -> tuple[ErrorRecord, ...]:
        """Return the errors that the failing check prints: they take the place of errors in a log."""
        bench = await self._prepare()
        trial = (await seek(bench, (), head, job=self._aimed)).trial
        if trial is None:
            return ()
        output = bench.outputs.get((trial.check, head)) or (await bench.run(trial, head)).output
        lines = [LogLine(source=trial.name, number=n, text=text) for n, text in enumerate(output.splitlines(), 1)]
        return find_records(lines)[:MAX_RECORDS]

    async def _confirm(self) -> Confirmed:
        bench = await self._prepare()
        suspected = self._get(Suspected)
        search_until = self._job.playbook.seconds * (1 - SEARCH_SHARE)
        confirmed, self._trial = await confirm(
            bench,
            job=self._aimed,
            requests=self._get(Collected).requests,
            suspects=suspected.suspects,
            commits=await self._get_commits(),
            has_time=lambda: self._seconds_left > search_until,
        )
        self._is_trial_known = True
        return confirmed

    async def _draft(self) -> Drafted:
        suspected = self._get(Suspected)
        kind = self._job.playbook.reproduce
        confirmed, commits = self._get(Confirmed), await self._get_commits()
        target = choose_target(confirmed, suspected.suspects, commits, kind=kind)
        bench, trial = await self._prepare(), await self._get_trial()
        small = confirmed.culprit if trial is not None and not self._job.wants_revert else None
        aim = Aim(
            target=target,
            culprit=next((commit for commit in commits if commit.sha == small), None),
            head=suspected.head,
            trial=trial,
            has_time=lambda: self._seconds_left > self._job.playbook.seconds * (1 - SMALLER_SHARE),
        )
        judged = await draft_fix(bench, aim)
        self._verified = judged.verified
        return judged.drafted

    async def _verify(self) -> Verified:
        if self._verified is not None:
            return self._verified
        return await verify_patch(await self._prepare(), self._get(Drafted), await self._get_trial())

    async def _get_trial(self) -> Trial | None:
        """Return what was red at the head; after a restart it is found again."""
        if not self._is_trial_known:
            confirmed = self._get(Confirmed)
            if confirmed.culprit is not None:
                requests = [confirmed.request] if confirmed.request else []
                head = self._get(Suspected).head
                self._trial = await find_trial(await self._prepare(), requests, head, job=self._aimed)
            self._is_trial_known = True
        return self._trial

    async def _get_commits(self) -> Sequence[Commit]:
        if not self._commits:
            checkout = await asyncio.shield(self._opening)
            self._commits = await checkout.log(self._get(Suspected).head, self._job.playbook.history)
        return self._commits

    async def _get_bench(self) -> Bench:
        if self._bench is None:
            self._bench = Bench(
                tools=self._tools,
                service=self._job.service,
                checkout=await asyncio.shield(self._opening),
                playbook=self._job.playbook,
            )
        return self._bench

    async def _prepare(self) -> Bench:
        bench = await self._get_bench()
        await bench.prepare(Path(self._job.folder))
        return bench

    def _get(self, kind: type[_Stored]) -> _Stored:
        return next(result for result in self._results.values() if isinstance(result, kind))


_STAGES: dict[type[StageResult], Stage] = {
    Collected: Stage.COLLECT,
    Suspected: Stage.SUSPECT,
    Confirmed: Stage.CONFIRM,
    Drafted: Stage.DRAFT,
    Verified: Stage.VERIFY,
}


def _stage_of(result: StageResult) -> Stage:
    return _STAGES[type(result)]
