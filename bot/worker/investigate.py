"""One investigation without a model: collect → suspect → confirm → draft → verify.

Each stage's result is yielded as soon as it is there and stored by whoever asked, so that a restart goes on with the
stage after it. Nothing here knows a concrete log, repository or sandbox.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bot.domain.checks.plain_output import tell_output
from bot.domain.checks.reproduction import Reproduce
from bot.domain.checks.testing import name_files
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
    is_preliminary,
)
from bot.domain.logs.records import find_records, merge_records
from bot.domain.suspects.spectrum import merge_spectra
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
#: Investigations that read, and that run something in the sandbox, at once. Neither holds up the other.
READING, RUNNING = 2, 2

_Result = TypeVar("_Result")
_Stored = TypeVar("_Stored", bound=StageResult)


class Investigation:
    """Investigates jobs, one case per call."""

    def __init__(self, *, tools: Tools) -> None:
        self._tools = tools
        self._reading, self._running = asyncio.Semaphore(READING), asyncio.Semaphore(RUNNING)

    async def investigate(self, job: Job) -> AsyncGenerator[StageResult]:
        """Yield the stages that `job.done` does not hold whole; what is shown early is yielded again when it is whole.

        Raises `LimitReached` when the playbook's time is over. Waiting for other investigations costs nothing of it,
        and what these run never holds up what this one reads.
        """
        case = _Case(job, self._tools)
        try:
            if case.stored(Stage.COLLECT) is None:
                async with case.turn(self._reading):
                    collected = await case.within(Stage.COLLECT, asyncio.to_thread(collect, job, self._tools))
                yield collected
            if case.stored(Stage.SUSPECT) is None and (job.is_first_look or not case.has_check):
                yield await case.within(Stage.SUSPECT, case.suspect())
            if case.is_over():
                return
            async with case.turn(self._running):
                for stage in (Stage.SUSPECT, Stage.CONFIRM, Stage.DRAFT, Stage.VERIFY):
                    if case.stored(stage) is None:
                        yield await case.within(stage, case.work(stage))
                    if case.is_over():
                        return
        finally:
            await case.close()


class _Case:
    """What the stages of one job share. Everything can be built again from the job and the stored results."""

    def __init__(self, job: Job, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self._results = {_stage_of(result): result for result in job.done if not is_preliminary(result)}
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
        """Return a stage's result. One that is early counts only for what is shown before the whole one is there."""
        result = self._results.get(stage)
        return None if isinstance(result, Suspected) and result.is_early else result

    @property
    def has_check(self) -> bool:
        """Say whether a check is to be run, whose output says more than what is known without it."""
        return self._job.playbook.reproduce is Reproduce.CHECK and bool(self._job.service.checks)

    def is_over(self) -> bool:
        """Say whether there is nothing to go on with: no repository, no patch, or nothing to run until more is read."""
        collected, suspected, drafted = self._find(Collected), self._find(Suspected), self._find(Drafted)
        if suspected is not None and not suspected.head:
            return True
        if drafted is not None:
            return not drafted.patch
        return collected is not None and bool(collected.pending) and not collected.has_lead

    @asynccontextmanager
    async def turn(self, turns: asyncio.Semaphore) -> AsyncGenerator[None]:
        """Wait for a turn, which costs nothing of the playbook's time."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with turns:
            self._began += clock() - asked
            yield

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
            case Stage.SUSPECT:
                return await self.suspect(runs=True)
            case Stage.CONFIRM:
                return await self._confirm()
            case Stage.DRAFT:
                return await self._draft()
            case _:
                return await self._verify()

    async def _open(self) -> Checkout:
        """Clone while the logs are read."""
        return await open_repository(self._job, self._tools)

    async def suspect(self, *, runs: bool = False) -> Suspected:
        """Rank the commits. Where a check is red: by what is known without it, or else, with `runs`, by its output."""
        collected, playbook = self._get(Collected), self._job.playbook
        waits = playbook.evidence_seconds - (playbook.seconds - self._seconds_left)
        try:
            async with asyncio.timeout(max(waits, 0.0)):
                checkout = await asyncio.shield(self._opening)
            head, self._commits = await read_history(checkout, self._job.service.branch, playbook.history)
            bench = await self._get_bench()
            bench.head = head
            archive = await bench.archive(head, keep=True)
        except (Unavailable, Rejected, TimeoutError) as error:
            why = self._tools.clean(str(error), 300) or f"no answer in {playbook.evidence_seconds} s"
            return Suspected(head="", suspects=(), notes=(f"the repository could not be read: {why}",))
        output = await self._read_check(head) if self.has_check and runs else ()
        collected = replace(collected, records=merge_records((*collected.records, *(output or collected.ci_records))))
        commits = since_green(self._commits, self._job.green_sha)
        seen = bench.seen.values()
        ground = Ground(
            head=head,
            archive=archive,
            executed=merge_executed(each.executed for each in seen),
            spectrum=merge_spectra([each.spectrum for each in seen]),
        )
        found = await find_suspects(self._job, collected, ground=ground, commits=commits, tools=self._tools)
        note = f"only commits after {self._job.green_sha[:12]}, where CI was last green, are suspects"
        notes = found.notes if commits is self._commits else (*found.notes, note)
        return replace(found, notes=notes, is_early=self.has_check and not runs)

    @property
    def _aimed(self) -> Job:
        """The job with what was read, and the check that CI's log names in the place of what the alert's labels say."""
        collected = self._get(Collected)
        return replace(aim(self._job, collected.ci_job), done=(*self._job.done, collected))

    async def _read_check(self, head: str) -> tuple[ErrorRecord, ...]:
        """Return the errors that the failing check prints: they take the place of errors in a log."""
        bench = await self._prepare()
        trial = (await seek(bench, (), head, job=self._aimed)).trial
        if trial is None:
            return ()
        output = bench.outputs.get((trial.check, head)) or (await bench.run(trial, head)).output
        lines = [LogLine(source=trial.name, number=n, text=text) for n, text in enumerate(output.splitlines(), 1)]
        found = find_records(lines)[:MAX_RECORDS]
        if found:
            return found
        plain = tell_output(lines, name_files(self._job.service.checks.get(trial.check, ())))
        return (plain,) if plain else ()

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
        kind = self._aimed.reproduce
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

    def _find(self, kind: type[_Stored]) -> _Stored | None:
        return next((result for result in self._results.values() if isinstance(result, kind)), None)


_STAGES: dict[type[StageResult], Stage] = {
    Collected: Stage.COLLECT,
    Suspected: Stage.SUSPECT,
    Confirmed: Stage.CONFIRM,
    Drafted: Stage.DRAFT,
    Verified: Stage.VERIFY,
}


def _stage_of(result: StageResult) -> Stage:
    return _STAGES[type(result)]
