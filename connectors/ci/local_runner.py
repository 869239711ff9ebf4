"""The runner of the local CI: one process per spool that takes queued runs in order and runs their checks.

It needs nothing of the bot but the folder. A runner that is killed leaves its run in the queue; the next one
continues it as a further attempt of the same run.
"""

import asyncio
import shlex
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from bot.domain.ci import CIState
from bot.errors import NightshiftError, Unavailable
from bot.ports.clock import Clock, SystemClock
from bot.ports.faults import reach
from bot.ports.sandbox import Sandbox, SandboxJob, SandboxResult
from bot.ports.workspace import Workspaces
from connectors.ci.local_deploy import run_deploy
from connectors.ci.local_spool import LocalPlan, RunRecord, Spool, Ticket, after_crash

POLL_SECONDS: Final = 0.1
LOCK_SECONDS: Final = 2.0
MAX_CRASHES: Final = 5
BRANCH_DEPTH: Final = 200
TAIL_LINES, TAIL_CHARS = 20, 2000


async def run_spool(
    spool: Path, *, sandbox: Sandbox, workspaces: Workspaces, idle_seconds: float, clock: Clock | None = None
) -> int:
    """Serve a spool until it was idle for `idle_seconds`; return how many runs were finished.

    Returns 0 at once where another runner serves it. The lock is let go before the last look at the queue:
    either the bot sees that nobody holds it, or this runner sees what the bot has queued.
    """
    runner = _Runner(Spool(spool), sandbox, workspaces, clock or SystemClock())
    finished = 0
    while True:
        served = await runner.serve(idle_seconds)
        if served is None or not runner.has_work():
            return finished + (served or 0)
        finished += served


class _StepFailed(Exception):  # noqa: N818 - the outcome of a run, not an error of this program
    """A step did not pass."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


@dataclass
class _Job:
    """The attempt under way; `tail` is the output to show of the step that ran last."""

    sha: str
    record: RunRecord
    tail: str = ""


class _Runner:
    def __init__(self, spool: Spool, sandbox: Sandbox, workspaces: Workspaces, clock: Clock) -> None:
        self._spool = spool
        self._sandbox = sandbox
        self._workspaces = workspaces
        self._clock = clock

    def has_work(self) -> bool:
        return bool(self._spool.waiting())

    async def serve(self, idle_seconds: float) -> int | None:
        """Hold the lock and work until idle; None where another runner holds it."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            with self._spool.hold() as is_ours:
                if is_ours:
                    return await self._work(idle_seconds)
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _work(self, idle_seconds: float) -> int:
        finished, idle_since = 0, time.monotonic()
        while True:
            waiting = self._spool.waiting()
            if waiting:
                await self._take(waiting[0])
                finished, idle_since = finished + 1, time.monotonic()
            elif time.monotonic() - idle_since >= idle_seconds:
                return finished
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def _take(self, sha: str) -> None:
        """Bring one run to an end and take it out of the queue."""
        try:
            found = self._spool.read(sha)
            if found is not None and not found.state.is_final:
                await self._attempt(sha, found)
            self._spool.leave_queue(sha)
        except Unavailable:  # a state that cannot be read: `status` says so, and the runs behind it go on
            self._spool.drop(sha)

    async def _attempt(self, sha: str, found: RunRecord) -> None:
        record = after_crash(found) if found.state is CIState.RUNNING else found
        record = replace(record, state=CIState.RUNNING, started_at=record.started_at or self._clock.now())
        job = _Job(sha=sha, record=record)
        self._spool.write(sha, record)
        self._spool.note(sha, self._clock.now(), "attempt", str(record.attempt))
        failed_step, state = "", CIState.PASSED
        try:
            if not await self._unless_cancelled(job, self._steps(job)):
                state = CIState.CANCELLED
                self._say(job, "Cancelled.")
        except _StepFailed as failure:
            failed_step, state = failure.step, CIState.FAILED
        now = self._clock.now()
        tail = "\n".join(job.tail.splitlines()[-TAIL_LINES:])[-TAIL_CHARS:]
        self._spool.write(sha, replace(record, state=state, failed_step=failed_step, log_tail=tail, finished_at=now))
        self._spool.note(sha, now, state, failed_step)

    async def _unless_cancelled(self, job: _Job, work: Coroutine[None, None, None]) -> bool:
        """Return whether the work came to its end; a wish to cancel stops it, with all that it runs."""
        task = asyncio.create_task(work)
        try:
            while not task.done() and not self._spool.has_wish(job.sha, "cancel", job.record.round):
                await asyncio.wait({task}, timeout=POLL_SECONDS)
        finally:
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            return False
        task.result()
        return True

    async def _steps(self, job: _Job) -> None:
        """Run every step in order. Raises `_StepFailed` at the first that does not pass."""
        if job.record.crashes > MAX_CRASHES:
            self._fail(job, "runner", f"The runner died {job.record.crashes} times at this run; it is left alone.")
        try:
            ticket = self._spool.ticket(job.sha)
        except (Unavailable, FileNotFoundError) as error:
            self._fail(job, "request", str(error))
        plan = ticket.plan
        self._reach(job)
        tree = await self._fetch(job, ticket)
        if plan.toolchain is not None and not _is_folder(plan.toolchain):
            self._fail(job, "toolchain", f"{plan.toolchain} is not there; run the service's setup command first.")
        for name, argv in plan.checks.items():
            self._reach(job)
            await self._check(job, name, argv, plan=plan, tree=tree)
        if plan.deploy:
            self._reach(job)
            await self._deploy(job, ticket)

    async def _fetch(self, job: _Job, ticket: Ticket) -> bytes:
        """Return the tree of the SHA, once it is sure that the branch holds it."""
        request, url = ticket.request, ticket.plan.url
        self._say(job, f"== checkout: {request.branch} at {job.sha}")
        try:
            tip = await self._workspaces.remote_sha(url, request.branch)
            if tip is None:
                self._fail(job, "checkout", f"There is no branch {request.branch}.")
            checkout = await self._workspaces.open(url, self._spool.clone_folder(url))
            if tip != job.sha and job.sha not in {c.sha for c in await checkout.log(tip or "", BRANCH_DEPTH)}:
                self._fail(job, "checkout", f"{job.sha} is not on {request.branch}, which stands at {tip}.")
            return await checkout.archive(job.sha)
        except NightshiftError as error:
            self._fail(job, "checkout", str(error))

    async def _check(self, job: _Job, name: str, argv: tuple[str, ...], *, plan: LocalPlan, tree: bytes) -> None:
        self._say(job, f"== {name}: {shlex.join(argv)}")
        try:
            result = await self._sandbox.run(
                SandboxJob(argv=argv, tree=tree, toolchain=plan.toolchain, env=plan.env, limits=plan.limits)
            )
        except NightshiftError as error:
            self._fail(job, name, str(error))
        self._judge(job, name, result)

    async def _deploy(self, job: _Job, ticket: Ticket) -> None:
        """Run the operator's own command, trusted and outside the sandbox."""
        plan = ticket.plan
        self._say(job, f"== deploy: {shlex.join(plan.deploy)}")
        result = await run_deploy(
            plan.deploy,
            request=ticket.request,
            seconds=plan.deploy_seconds,
            output=self._spool.output_file(job.sha, f"deploy-{job.record.attempt}.txt"),
        )
        self._judge(job, "deploy", result)

    def _judge(self, job: _Job, step: str, result: SandboxResult) -> None:
        """Log what a step said. Raises `_StepFailed` unless it ended with 0."""
        output = result.output if result.output.endswith(b"\n") or not result.output else result.output + b"\n"
        self._spool.append_log(job.sha, job.record.attempt, output)
        how = f"stopped by the limit on {result.ended_by}" if result.ended_by else f"exit {result.exit_code}"
        job.tail = output.decode(errors="replace")
        self._say(job, f"== {step}: {how} after {result.seconds:.1f} s")
        self._spool.note(job.sha, self._clock.now(), "step", f"{step}: {how}")
        if result.exit_code != 0:
            raise _StepFailed(step)

    def _say(self, job: _Job, line: str) -> None:
        self._spool.append_log(job.sha, job.record.attempt, f"{line}\n".encode(errors="replace"))
        job.tail += f"{line}\n"

    def _fail(self, job: _Job, step: str, why: str) -> NoReturn:
        self._say(job, why)
        self._spool.note(job.sha, self._clock.now(), "step", f"{step}: {why}")
        raise _StepFailed(step)

    def _reach(self, job: _Job) -> None:
        """Offer the fault point, but not to a run that a fault has already hit: a retry must be able to end."""
        if not job.record.crashes:
            reach("ci.runner.step")


def _is_folder(path: Path) -> bool:
    return path.is_dir()
