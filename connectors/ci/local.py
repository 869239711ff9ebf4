"""The CI that needs no server: a runner process of its own, met in a folder.

This side only leaves requests and reads states; `local_runner` does the work in a process that outlives the bot.
Asking twice, from two processes or after a crash gives one run, because a run is one folder named by its SHA.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bot.domain.ci import CIRequest, CIRun
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health
from bot.ports.clock import Clock, SystemClock
from bot.ports.faults import reach
from connectors.ci.local_spool import LocalPlan, RunRecord, Spool, Ticket, is_sha

WAKE_PAUSE: Final = 2.0
CANCEL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


class LocalCI:
    """`CIProvider` over a spool folder. `plans` maps a repository, as requests name it, to how it is checked.

    `start_runner` starts a process that calls `run_spool` on the same folder; one too many ends by itself.
    """

    def __init__(
        self,
        spool: Path,
        start_runner: Callable[[], None],
        *,
        plans: Mapping[str, LocalPlan],
        clock: Clock | None = None,
    ) -> None:
        self._folder = spool
        self._start_runner = start_runner
        self._plans = plans
        self._clock = clock or SystemClock()
        self._woken = -WAKE_PAUSE

    async def start(self, request: CIRequest) -> CIRun:
        return await asyncio.to_thread(self._start, request)

    async def status(self, sha: str) -> CIRun | None:
        return await asyncio.to_thread(self._status, sha)

    async def log(self, sha: str) -> str:
        return await asyncio.to_thread(self._log, sha)

    async def cancel(self, sha: str) -> CIRun:
        """Stop the run, and wait some seconds until the runner has: the answer says how it stands then."""
        run = await asyncio.to_thread(self._wish_cancel, sha)
        deadline = time.monotonic() + CANCEL_SECONDS
        while not run.state.is_final and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            run = await asyncio.to_thread(self._must_status, sha)
        return run

    async def rerun(self, sha: str) -> CIRun:
        return await asyncio.to_thread(self._rerun, sha)

    async def check(self) -> Health:
        return await asyncio.to_thread(self._check)

    def _start(self, request: CIRequest) -> CIRun:
        if not is_sha(request.sha):
            raise Rejected(f"{request.sha!r} is not a whole commit id.", Reason.BAD_INPUT)
        plan = self._plans.get(request.repository)
        if plan is None or not plan.checks:
            raise Rejected(
                f"The local CI has no checks for {request.repository}; name them under its service.", Reason.NOT_FOUND
            )
        with self._spool() as spool:
            now = self._clock.now()
            reach("ci.start.before")
            if spool.create(Ticket(request=request, plan=plan, asked_at=now)):
                spool.note(request.sha, now, "created", request.branch)
            reach("ci.start.after")
            return self._see_to(spool, request.sha, self._record(spool, request.sha))

    def _status(self, sha: str) -> CIRun | None:
        if not is_sha(sha):
            return None
        with self._spool() as spool:
            record = spool.read(sha)
            return None if record is None else self._see_to(spool, sha, record)

    def _must_status(self, sha: str) -> CIRun:
        with self._spool() as spool:
            return self._see_to(spool, sha, self._record(spool, sha))

    def _log(self, sha: str) -> str:
        with self._spool() as spool:
            attempts = self._record(spool, sha).attempt
            parts = [(number, spool.read_log(sha, number)) for number in range(1, attempts + 1)]
            return "".join(f"=== attempt {number} ===\n{text}" for number, text in parts if text)

    def _wish_cancel(self, sha: str) -> CIRun:
        with self._spool() as spool:
            record = self._record(spool, sha)
            if not record.state.is_final:
                spool.wish(sha, "cancel", record.round)
                spool.note(sha, self._clock.now(), "cancel asked")
            return self._see_to(spool, sha, record)

    def _rerun(self, sha: str) -> CIRun:
        with self._spool() as spool:
            record = self._record(spool, sha)
            if record.state.is_final:
                spool.wish(sha, "rerun", record.round + 1)
                spool.note(sha, self._clock.now(), "rerun asked")
                record = self._record(spool, sha)
            return self._see_to(spool, sha, record)

    def _check(self) -> Health:
        try:
            with self._spool() as spool:
                runs, runner = spool.count_runs(), spool.runner()
        except Unavailable as error:
            return Health(ok=False, text=str(error))
        if not os.access(self._folder, os.W_OK):
            return Health(ok=False, text=f"The local CI cannot write to {self._folder}; give Nightshift that folder.")
        state = "at work or waiting for work" if runner is not None else "asleep, it starts when needed"
        return Health(ok=True, text=f"local CI: {runs} run(s) kept, {len(self._plans)} plan(s), runner {state}")

    def _record(self, spool: Spool, sha: str) -> RunRecord:
        record = spool.read(sha) if is_sha(sha) else None
        if record is None:
            raise Rejected(f"The local CI has no run of {sha!r}.", Reason.NOT_FOUND)
        return record

    def _see_to(self, spool: Spool, sha: str, record: RunRecord) -> CIRun:
        """Make sure that an unfinished run is queued and that a runner lives, then report the run."""
        if not record.state.is_final:
            spool.ring(sha)
            now = time.monotonic()
            if now - self._woken >= WAKE_PAUSE and spool.runner() is None:
                self._woken = now
                self._start_runner()
        return record.as_run(sha)

    @contextmanager
    def _spool(self) -> Iterator[Spool]:
        """Open the spool, and turn what the machine may answer into the errors of the port."""
        try:
            yield Spool(self._folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"The local CI cannot use {self._folder}: {error}.", Reason.UNREACHABLE) from error


def spawn_detached(argv: Sequence[str], *, env: Mapping[str, str], output: Path) -> None:
    """Start a process in a session of its own, which this process neither waits for nor takes along when it dies.

    Raises `OSError` or `subprocess.SubprocessError` where it cannot be started.
    """
    setsid = shutil.which("setsid")
    if setsid is None:
        raise FileNotFoundError("setsid is missing; install util-linux")
    with output.open("ab") as sink:
        command = [setsid, "--fork", "--", *argv]
        # A session of its own from the first moment: between its fork and its setsid the child is in ours otherwise,
        # and dies when our whole group is killed just then.
        subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            check=True,
            start_new_session=True,
        )
