"""Green logs: fetched where the credentials are, bounded and redacted, and read by the worker beside a red one."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from bot.domain.ci import CIRun, CIState
from bot.domain.ci_logs.jobs import plain_log
from bot.domain.ci_logs.log import CIFailure, CILog
from bot.engine.phases import Phase
from bot.engine.tools import Args, PhaseWork
from bot.errors import NightshiftError
from bot.services import green_logs

log = structlog.get_logger(__name__)
READ_SECONDS: Final = 30.0
FETCH_SECONDS: Final = 10.0
MAX_LINES: Final = 24
MAX_TEXT: Final = 3_000


class GreenLogs(PhaseWork):
    """The phase green, and what following needs of green logs. Nothing here is ever waited for long, or fails a run."""

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="green", run=self._fetch, failed=self._missed, together=2, patience=600),)

    async def keep(self, service: str, sha: str, text: str, *, workflow: str = "") -> None:
        """Keep the log of a run that has passed."""
        clean = await asyncio.to_thread(lambda: self._tools.redact(plain_log(text)))
        await self._in_unit(lambda w: green_logs.keep(w, service, clean, sha, self._rules, workflow=workflow))

    async def add(self, found: CILog, service: str, *, green_sha: str = "") -> CILog:
        """Put beside a red log what its jobs wrote when they were last green.

        Where nothing is kept of them, the log of `green_sha` is fetched, if the alert names that commit.
        """
        green = await self._in_unit(lambda w: green_logs.find(w, service, found.text, self._rules))
        if not green and green_sha and found.text:
            with suppress(TimeoutError, NightshiftError):
                async with asyncio.timeout(FETCH_SECONDS):
                    text = await self._tools.find_ci(found.ci).log(green_sha)
                await self.keep(service, green_sha, text)
            green = await self._in_unit(lambda w: green_logs.find(w, service, found.text, self._rules))
        return replace(found, green=green)

    async def explain(self, run: CIRun, ci: str, service: str, text: str) -> CIRun:
        """Say in a red run which lines of its log tell why."""
        reader = self._tools.ci_reader
        if reader is None or not text:
            return run
        clean = await asyncio.to_thread(lambda: self._tools.redact(plain_log(text)))
        try:
            async with asyncio.timeout(READ_SECONDS):
                failure = await reader.read_ci(await self.add(CILog(ci=ci, sha=run.sha, text=clean), service))
        except (TimeoutError, NightshiftError) as error:
            log.warning("ci_log_unread", sha=run.sha, error=str(error))
            return run
        return replace(run, failure=_tell(failure)) if failure is not None else run

    async def _fetch(self, args: Args) -> None:
        """Keep the log of a run that is said to have passed. Without a workflow only CI knows whether it did: an alert
        that is over may still name the commit that was red."""
        service = self._rules.services.get(args["service"])
        if service is None:
            return
        ci, sha, workflow = self._tools.find_ci(service.ci), args["sha"], args["workflow"]
        run = None if workflow else await ci.status(sha)
        if workflow or (run is not None and run.state is CIState.PASSED):
            await self.keep(args["service"], sha, await ci.log(sha), workflow=workflow)

    async def _missed(self, args: Args, why: str) -> None:
        log.warning("green_log_missed", sha=args["sha"], error=self._tools.redact(why))


def _tell(failure: CIFailure) -> str:
    """Return the lines that tell why, from the first error on, as many as a message holds."""
    first = failure.records[0].lines[0].text if failure.records else ""
    begin = failure.lines.index(first) if first in failure.lines and not failure.is_compared else 0
    lines = failure.lines[begin : begin + MAX_LINES]
    left = len(failure.lines) - len(lines)
    head = "What the last green run did not write:" if failure.is_compared else failure.cite
    return "\n".join((head, *lines, *([f"… {left:,} more lines, see /ci logs"] if left else ())))[:MAX_TEXT]
