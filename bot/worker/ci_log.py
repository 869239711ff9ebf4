"""What CI's log of the alert's commit adds: the failing step as evidence, its errors, and which check it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bot.domain.ci_logs.log import CIFailure, CILog, find_failure
from bot.domain.evidence import Evidence, LogLine
from bot.domain.investigation import UNREAD, Collected, Job
from bot.domain.suspects.drift import INSTALLED, WAS_INSTALLED, pick_installed
from bot.worker.seek import CHECK_LABELS, choose_checks
from bot.worker.tools import Tools

KIND: Final = "ci"
MAX_TEXT: Final = 12_000


class CILogs:
    """`bot.ports.investigator.CIReader` in this process."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def read_ci(self, log: CILog, *, workflow: str = "") -> CIFailure | None:
        return await asyncio.to_thread(find_ci_failure, log, workflow, self._tools)


def add_ci_log(job: Job, collected: Collected, tools: Tools) -> Collected:
    """Return what was collected with what CI's log shows; where it could not be had, with a note that says so."""
    log = job.ci_log
    if log is None:
        return collected
    failure = None if log.fault else find_ci_failure(log, job.labels.get("workflow", ""), tools)
    if failure is None:
        why = log.fault or f"{log.ci} keeps none of {log.sha[:12]}"
        note = f"CI's log{UNREAD}: {tools.clean(why, 300)}"
        return replace(collected, notes=(*collected.notes, note), missing=(*collected.missing, note))
    piece = Evidence(id=f"E{len(collected.evidence) + 1}", kind=KIND, cite=failure.cite, text=_tell(failure))
    pieces = (*collected.evidence, piece, *_list_installed(log, len(collected.evidence) + 2, tools))
    return replace(collected, evidence=pieces, ci_job=failure.job, ci_records=failure.records)


def _list_installed(log: CILog, number: int, tools: Tools) -> Iterator[Evidence]:
    """Yield what the run installed, and what the last green run of its jobs did."""
    for kind, cite, text in (
        (INSTALLED, f"{log.ci} {log.sha[:12]}", log.text),
        (WAS_INSTALLED, f"{log.ci}, last green", "\n".join(log.green.values())),
    ):
        lines = (LogLine(source=cite, number=n, text=line) for n, line in enumerate(text.split("\n"), 1))
        if installed := pick_installed(lines):
            told = "\n".join(tools.sanitize_lines([line.text[:300] for line in installed]))
            yield Evidence(id=f"E{number}", kind=kind, cite=cite, text=told)
            number += 1


def aim(job: Job, ci_job: str) -> Job:
    """Let the job that CI's log shows failing say which check it is, where the service has one of that name."""
    name, _, step = ci_job.partition(": ")
    said = {"job": name, "step": step}
    if not choose_checks(tuple(job.service.checks), said):
        return job
    kept = {label: value for label, value in job.labels.items() if label not in CHECK_LABELS}
    return replace(job, labels={**kept, **said})


def find_ci_failure(log: CILog, workflow: str, tools: Tools) -> CIFailure | None:
    """Return what a run's log shows failing, sanitized; None where it says nothing."""
    green = {job: "\n".join(tools.sanitize_lines(text.split("\n"))) for job, text in log.green.items()}
    lines = tools.sanitize_lines(log.text.split("\n"))
    return find_failure(lines, workflow=tools.clean(workflow, 200), green=green)


def _tell(failure: CIFailure) -> str:
    text = "\n".join((failure.summary, *failure.lines))
    half = MAX_TEXT // 2
    return text if len(text) <= MAX_TEXT else f"{text[:half]}\n…\n{text[-half:]}"
