"""What CI wrote of the commit that an alert is about, and the part that shows what failed. All of it is hostile."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from bot.domain.ci_logs.excerpt import LIMIT, choose_excerpt
from bot.domain.ci_logs.jobs import JobLog, split_jobs
from bot.domain.ci_logs.text import CILine, read_lines
from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.logs.records import find_records

SHA_LABEL: Final = "sha"
GREEN_LABEL: Final = "last_green_sha"
MAX_SHOWN: Final = LIMIT
_MAX_SHOWN_LINE: Final = 300
_MAX_GAPS: Final = 12
_MAX_RECORDS: Final = 20
_MAX_NAME: Final = 100
_MAX_SECTIONS: Final = 50

_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MARK: Final = "##[error]"
_ENDED: Final = re.compile(r"##\[error\]Process completed with exit code \d+\.?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CILog:
    """The log of the CI called `ci` for a commit, bounded and redacted; `fault` says why there is none.

    `green` has by their keys what its jobs wrote when they were last green, where that is kept.
    """

    ci: str
    sha: str
    text: str = ""
    fault: str = ""
    green: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CIFailure:
    """What of a job's log is worth reading: `job` names job and step as CI does ("" where it does not).

    `is_marked` says that the log itself marks an error: without that it shows errors, but not that the job failed.
    `is_compared`: what is shown is what the last green log of the job has not.
    """

    cite: str
    job: str
    attempt: int
    is_marked: bool
    records: tuple[ErrorRecord, ...]
    lines: tuple[str, ...]
    is_compared: bool = False

    @property
    def summary(self) -> str:
        """Return "tests: Run unittest failed: KeyError: 'rate'" as one line, and never more than the log shows."""
        said = self.records[0].headline if self.records else ""
        verb = " failed" if self.is_marked else "" if said else " ends with"
        said = said or ("" if self.is_marked else next((line for line in reversed(self.lines) if line.strip()), ""))
        return " ".join(f"{self.job or 'a job'}{verb}{': ' if said else ''}{said}".split())[:400]


def find_commit(labels: Mapping[str, str]) -> str:
    """Return the whole commit id that an alert carries, "" where it carries none."""
    return _read_sha(labels.get(SHA_LABEL, ""))


def find_last_green(*said: Mapping[str, str]) -> str:
    """Return the commit that labels or annotations name as the last green one, "" where none do."""
    return next((sha for texts in said if (sha := _read_sha(texts.get(GREEN_LABEL, "")))), "")


def _read_sha(text: str) -> str:
    return text if is_commit(text) else ""


def is_commit(text: str) -> bool:
    """Say whether a text is a whole commit id."""
    return _SHA.fullmatch(text) is not None


def find_failure(
    lines: Sequence[str], *, workflow: str, green: Mapping[str, str] = MappingProxyType({})
) -> CIFailure | None:
    """Return what a workflow's log shows failing, None where it says nothing. `lines` are redacted.

    A job that the log marks as failed comes before one that it does not, then the newest attempt counts. `green` has
    by their keys what jobs wrote when they were green.
    """
    wanted = " ".join(workflow.split())[:_MAX_NAME]
    jobs = [job for job in split_jobs(lines) if not job.is_empty]
    ours = [job for job in jobs if wanted and f"{job.name}, ".startswith(f"{wanted}, ")] or jobs
    return max((_read(job, wanted, green.get(job.key, "")) for job in ours[-_MAX_SECTIONS:]), key=_rank, default=None)


def _rank(failure: CIFailure) -> tuple[bool, int, int]:
    """Order jobs by how much they tell; of equals the first is taken, as CI lists them."""
    told = 2 if failure.records and failure.records[0].frames else 1 if failure.records else 0
    return failure.is_marked, failure.attempt, told


def _read(job: JobLog, workflow: str, green: str) -> CIFailure:
    title, name = _name(job.name, workflow)
    where = f"CI log of {title or 'a job'}" + (f", attempt {job.attempt}" if job.attempt else "")
    lines = read_lines("\n".join(job.lines))
    excerpt = choose_excerpt(lines, read_lines(green) if green else (), limit=MAX_SHOWN - _MAX_GAPS)
    told = excerpt.relevant if excerpt.is_compared else range(excerpt.span.begin, excerpt.span.end)
    records = find_records([LogLine(source=where, number=lines[n].number, text=lines[n].text) for n in told])
    shown = _show(lines, excerpt.shown)
    first = records[0].lines[0].number if records else lines[excerpt.shown[0]].number
    return CIFailure(
        cite=f"{where}, line {first}",
        job=name,
        attempt=int(job.attempt or 0),
        is_marked=any(line.text.startswith(_MARK) for line in lines),
        records=records[:_MAX_RECORDS],
        lines=shown,
        is_compared=excerpt.is_compared,
    )


def _show(lines: Sequence[CILine], places: Sequence[int]) -> tuple[str, ...]:
    """Return the lines to show, and between those that are far from each other how many are left out."""
    wanted = [place for place in places if not _ENDED.match(lines[place].text)] or list(places)
    left = {second: sum(1 for line in lines[first + 1 : second] if line.text) for first, second in pairwise(wanted)}
    gaps = sorted((place for place, count in left.items() if count), key=lambda place: -left[place])[:_MAX_GAPS]
    shown: list[str] = []
    for place in wanted:
        shown += [f"… {left[place]:,} line{'' if left[place] == 1 else 's'} …"] if place in gaps else []
        shown.append(_shorten(lines[place].text))
    return tuple(shown)


def _name(name: str, workflow: str) -> tuple[str, str]:
    """Return (workflow, job) of what stands above a log; without a workflow in it the alert's counts."""
    if workflow and name.startswith(f"{workflow}, "):
        return workflow, name[len(workflow) + 2 :][:_MAX_NAME]
    first, _, rest = name.partition(", ")
    return (first[:_MAX_NAME], rest[:_MAX_NAME]) if rest else (workflow or first[:_MAX_NAME], first[:_MAX_NAME])


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_LINE else text[: _MAX_SHOWN_LINE - 1] + "…"
