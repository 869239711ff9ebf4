"""The log of a CI run as the logs of its jobs, and the last green log that is kept of each. All of it is hostile."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.ci_logs.ends import find_spans
from bot.domain.ci_logs.text import read_lines
from bot.domain.text.unseen import remove_unseen

MAX_LOG: Final = 256 * 1024
MAX_RUN: Final = 8 * MAX_LOG
MAX_JOBS: Final = 50
MAX_KEY: Final = 200
_MAX_LINE: Final = 2_000

_HEAD: Final = re.compile(r"=== (?P<name>\S.{0,400}?)(?:, attempt (?P<attempt>[0-9]{1,6}))? ===")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z(?: |$)", re.ASCII)
_COUNT: Final = re.compile(r"^attempt [0-9]{1,6}(?:, |: |$)|(?:^|\s)(?:build |#)[0-9]{1,12}$")


@dataclass(frozen=True, kw_only=True)
class JobLog:
    """The log of one job in one attempt. `name` is what the CI connector wrote above it: workflow, job and step."""

    name: str
    attempt: str
    lines: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return what is the same in every run: without the step that failed, the attempt and the build's number."""
        name = self.name
        for _ in range(2):
            name = _COUNT.sub("", name, count=1)
        return name.partition(": ")[0].strip(" ,")[:MAX_KEY]

    @property
    def is_empty(self) -> bool:
        return not any(line.strip() for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class GreenLog:
    """The end of what a job wrote when it was last green, at a commit, redacted: what a red one is compared with."""

    job: str
    sha: str
    at: datetime
    text: str


def plain_log(text: str) -> str:
    """Return the end of each job's log as text that can be redacted: whole lines, nothing in them that is not seen."""
    clean = remove_unseen(_cut(text, MAX_RUN).replace("\r\n", "\n").replace("\r", "\n"))
    if len(clean) <= MAX_LOG:
        return clean
    return "".join(_cut_job(job) for job in split_jobs(clean.split("\n")))


def split_jobs(lines: Iterable[str]) -> Iterator[JobLog]:
    """Yield the job logs of a run as its connector joined them; what stands above the first title has none."""
    name, attempt, kept = "", "", list[str]()
    for line in lines:
        head = _HEAD.fullmatch(line[:500])
        if head is None:
            kept.append(_STAMP.sub("", line[:_MAX_LINE], count=1))
            continue
        yield JobLog(name=name, attempt=attempt, lines=tuple(kept))
        name, attempt, kept = head["name"], head["attempt"] or "", []
    yield JobLog(name=name, attempt=attempt, lines=tuple(kept))


def keep_green(text: str, *, sha: str, at: datetime, workflow: str = "") -> tuple[GreenLog, ...]:
    """Return what to keep of a green run's log, which is plain and redacted: of each job the newest attempt.

    With a `workflow` only its jobs, where the log names any. What an earlier attempt wrote of its failure is not kept.
    """
    wanted = " ".join(workflow.split())[:MAX_KEY]
    found = [job for job in split_jobs(text.split("\n")) if not job.is_empty]
    ours = [job for job in found if wanted and f"{job.key}, ".startswith(f"{wanted}, ")] or found
    newest = max((int(job.attempt or 0) for job in ours), default=0)
    jobs = {job.key: job for job in ours if int(job.attempt or 0) == newest or not _is_red(job)}
    return tuple(
        GreenLog(job=key, sha=sha, at=at, text=_cut("\n".join(job.lines), MAX_LOG))
        for key, job in list(jobs.items())[:MAX_JOBS]
    )


def job_keys(text: str) -> Sequence[str]:
    """Return the keys of the jobs that a run's log is of."""
    return tuple(dict.fromkeys(job.key for job in split_jobs(text.split("\n")) if not job.is_empty))


def _is_red(job: JobLog) -> bool:
    return find_spans(read_lines("\n".join(job.lines)))[0].is_marked


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[-limit:].partition("\n")[2]


def _cut_job(job: JobLog) -> str:
    attempt = f", attempt {job.attempt}" if job.attempt else ""
    head = f"=== {job.name}{attempt} ===\n" if job.name else ""
    return head + _cut("\n".join(job.lines), MAX_LOG) + ("\n" if head else "")
