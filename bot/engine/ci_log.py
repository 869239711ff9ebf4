"""CI's log of the commit that an alert carries: fetched here, where the credentials are, for the worker to read."""

import asyncio
from typing import Final

import structlog

from bot.domain.checks.reproduction import Reproduce
from bot.domain.ci_logs.jobs import plain_log
from bot.domain.ci_logs.log import CILog, find_commit
from bot.domain.conclusion import find_result
from bot.domain.investigation import Collected, Job
from bot.engine.tools import Tools
from bot.errors import NightshiftError

log = structlog.get_logger(__name__)
LOG_SECONDS: Final = 20.0


async def fetch_ci_log(job: Job, tools: Tools, *, seconds: float = LOG_SECONDS) -> CILog | None:
    """Return it bounded and redacted, or with the reason why it cannot be had; an investigation never waits for it.

    None where there is nothing to ask for.
    """
    ci, sha = job.service.ci, find_commit(job.labels)
    if not asks_ci(job):
        return None
    try:
        async with asyncio.timeout(seconds):
            text = await tools.find_ci(ci).log(sha)
    except TimeoutError:
        fault = f"{ci} did not send it within {seconds:g} s"
    except NightshiftError as error:
        fault = tools.redact(str(error))[:500]
    else:
        return CILog(ci=ci, sha=sha, text=await asyncio.to_thread(_clean, text, tools))
    log.info("ci_log_missing", ci=ci, sha=sha, error=fault)
    return CILog(ci=ci, sha=sha, fault=fault)


def asks_ci(job: Job) -> bool:
    """Say whether there is a log to ask for: not where the alert is about no run, CI is local, or all is read."""
    collected = find_result(job.done, Collected)
    is_read = collected is not None and not collected.pending
    return bool(find_commit(job.labels)) and _is_about_run(job) and not job.service.is_ci_local and not is_read


def _clean(text: str, tools: Tools) -> str:
    return tools.redact(plain_log(text))


def _is_about_run(job: Job) -> bool:
    """Say whether the alert tells of CI: one of another kind may carry the deployed commit, whose log says nothing."""
    return job.playbook.reproduce is Reproduce.CHECK or bool(job.labels.get("workflow"))
