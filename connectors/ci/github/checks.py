"""What GitHub holds of a commit: its runs, checks and statuses, the jobs that failed and their logs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bot.domain.ci import CIRun, CIState
from bot.errors import Rejected
from connectors.ci.github.text import read_number
from connectors.ci.github.verdict import Listing, did_fail, failed_step, first_failed, read_listing
from connectors.ci.http_client import HttpClient
from connectors.ci.http_values import as_log

TAIL_CHARS: Final = 2000
LOG_KEPT: Final = 256 * 1024
MAX_LOGS: Final = 5
MAX_ATTEMPTS: Final = 3


async def fetch_listing(client: HttpClient, name: str, sha: str) -> Listing:
    """Return what one repository lists for a commit; nothing where it does not hold it."""
    runs = await client.list(f"/repos/{name}/actions/runs?head_sha={sha}&per_page=100", key="workflow_runs")
    checks = await _of_commit(client, f"/repos/{name}/commits/{sha}/check-runs?per_page=100", "check_runs")
    statuses = await _of_commit(client, f"/repos/{name}/commits/{sha}/status?per_page=100", "statuses")
    return read_listing([run for run in runs if run.get("head_sha") == sha], checks, statuses)


async def _of_commit(client: HttpClient, path: str, key: str) -> Sequence[Mapping[str, Any]]:
    try:
        return await client.list(path, key=key)
    except Rejected as error:
        if "no commit found" in str(error).lower():  # 422 of a repository that does not hold the commit
            return ()
        raise


async def explain(client: HttpClient, name: str, listing: Listing, run: CIRun) -> CIRun:
    """Name the job and the step that failed, with the last lines of its log."""
    failed = first_failed(listing.runs)
    if failed is None or failed.state is not CIState.FAILED:
        return run
    jobs = [job for job in await _jobs(client, name, failed.id, failed.attempt) if did_fail(job)]
    if not jobs:
        return run
    text = await _job_log(client, name, jobs[0])
    return replace(run, failed_step=failed_step(jobs[0]), log_tail=text[-TAIL_CHARS:] or run.log_tail)


async def collect_logs(client: HttpClient, name: str, listing: Listing) -> str:
    """Return the logs of the jobs that failed (of all jobs where none did), attempt by attempt."""
    parts: list[str] = []
    for run in listing.runs:
        for attempt in range(max(1, run.attempt - MAX_ATTEMPTS + 1), run.attempt + 1):
            jobs = await _jobs(client, name, run.id, attempt)
            shown = [job for job in jobs if did_fail(job)] or jobs
            for job in shown[:MAX_LOGS]:
                text = await _job_log(client, name, job)
                if text:
                    parts.append(f"=== {run.name}, {failed_step(job)}, attempt {attempt} ===\n{text}\n")
    parts += [f"=== {check.name} ===\n{check.words}\n" for check in listing.foreign if check.words]
    return "".join(parts)


async def _jobs(client: HttpClient, name: str, run: int, attempt: int) -> Sequence[Mapping[str, Any]]:
    return await client.list(f"/repos/{name}/actions/runs/{run}/attempts/{attempt}/jobs?per_page=100", key="jobs")


async def _job_log(client: HttpClient, name: str, job: Mapping[str, Any]) -> str:
    number = read_number(job.get("id"))
    raw = await client.tail(f"/repos/{name}/actions/jobs/{number}/logs", LOG_KEPT, is_stored=True) if number else b""
    return as_log(raw)
