"""What CI wrote of the commit that an alert is about, and the part that shows what failed. All of it is hostile."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.records import find_records
from bot.domain.unseen import remove_unseen

SHA_LABEL: Final = "sha"
GREEN_LABEL: Final = "last_green_sha"
MAX_LOG: Final = 256 * 1024
MAX_SHOWN: Final = 120
_MAX_LINE: Final = 2_000
_MAX_SHOWN_LINE: Final = 300
_MAX_TRACE: Final = 90
_MAX_RECORDS: Final = 20
_MAX_NAME: Final = 100
_MAX_SECTIONS: Final = 50

_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_HEAD: Final = re.compile(r"=== (?P<name>\S.{0,400}?)(?:, attempt (?P<attempt>[0-9]{1,6}))? ===")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z(?: |$)", re.ASCII)
_STEP: Final = re.compile(r"##\[group\]Run ")
_MARK: Final = "##[error]"
_ENDED: Final = re.compile(r"##\[error\]Process completed with exit code \d+\.?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CILog:
    """The log of the CI called `ci` for a commit, bounded and redacted; `fault` says why there is none."""

    ci: str
    sha: str
    text: str = ""
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class CIFailure:
    """What of a job's log is worth reading: `job` names job and step as CI does ("" where it does not).

    `is_marked` says that the log itself marks an error: without that it shows errors, but not that the job failed.
    """

    cite: str
    job: str
    attempt: int
    is_marked: bool
    records: tuple[ErrorRecord, ...]
    lines: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Return "tests: Run unittest failed: KeyError: 'rate'" as one line, and never more than the log shows."""
        said = self.records[0].headline if self.records else ""
        verb = " failed" if self.is_marked else "" if said else " ends with"
        said = said or ("" if self.is_marked else next((line for line in reversed(self.lines) if line.strip()), ""))
        return " ".join(f"{self.job or 'a job'}{verb}{': ' if said else ''}{said}".split())[:400]


@dataclass(frozen=True, kw_only=True)
class _Section:
    """The log of one job in one attempt. `name` is what the CI connector wrote above it: workflow, job and step."""

    name: str
    attempt: str
    lines: tuple[str, ...]


def find_commit(labels: Mapping[str, str]) -> str:
    """Return the whole commit id that an alert carries, "" where it carries none."""
    return _read_sha(labels.get(SHA_LABEL, ""))


def find_last_green(*said: Mapping[str, str]) -> str:
    """Return the commit that labels or annotations name as the last green one, "" where none do."""
    return next((sha for texts in said if (sha := _read_sha(texts.get(GREEN_LABEL, "")))), "")


def _read_sha(text: str) -> str:
    return text if _SHA.fullmatch(text) else ""


def plain_log(text: str) -> str:
    """Return the end of a log as text that can be redacted: bounded, whole lines, nothing in them that is not seen."""
    if len(text) > MAX_LOG:
        text = text[-MAX_LOG:].partition("\n")[2]
    return remove_unseen(text.replace("\r\n", "\n").replace("\r", "\n"))


def find_failure(lines: Sequence[str], *, workflow: str) -> CIFailure | None:
    """Return what a workflow's log shows failing, None where it says nothing. `lines` are redacted.

    A job that the log marks as failed comes before one that it does not, then the newest attempt counts.
    """
    wanted = " ".join(workflow.split())[:_MAX_NAME]
    sections = [section for section in _split(lines) if any(line.strip() for line in section.lines)]
    ours = [section for section in sections if wanted and f"{section.name}, ".startswith(f"{wanted}, ")] or sections
    return max((_read(section, wanted) for section in ours[-_MAX_SECTIONS:]), key=_rank, default=None)


def _rank(failure: CIFailure) -> tuple[bool, int, int]:
    """Order sections by how much they tell; of equals the first is taken, as CI lists them."""
    told = 2 if failure.records and failure.records[0].frames else 1 if failure.records else 0
    return failure.is_marked, failure.attempt, told


def _split(lines: Sequence[str]) -> Iterator[_Section]:
    name, attempt, kept = "", "", list[str]()
    for line in lines:
        head = _HEAD.fullmatch(line[:500])
        if head is None:
            kept.append(_STAMP.sub("", line, count=1)[:_MAX_LINE])
            continue
        yield _Section(name=name, attempt=attempt, lines=tuple(kept))
        name, attempt, kept = head["name"], head["attempt"] or "", []
    yield _Section(name=name, attempt=attempt, lines=tuple(kept))


def _read(section: _Section, workflow: str) -> CIFailure:
    begin, end = _find_step(section.lines)
    title, job = _name(section.name, workflow)
    where = f"CI log of {title or 'a job'}" + (f", attempt {section.attempt}" if section.attempt else "")
    numbered = [
        LogLine(source=where, number=number, text=text)
        for number, text in enumerate(section.lines[begin:end], begin + 1)
    ]
    records = find_records(numbered)[:_MAX_RECORDS]
    shown, first = _choose_lines(numbered, records)
    return CIFailure(
        cite=f"{where}, line {first}",
        job=job,
        attempt=int(section.attempt or 0),
        is_marked=any(line.startswith(_MARK) for line in section.lines),
        records=records,
        lines=shown,
    )


def _name(name: str, workflow: str) -> tuple[str, str]:
    """Return (workflow, job) of what stands above a section; without a workflow in it the alert's counts."""
    if workflow and name.startswith(f"{workflow}, "):
        return workflow, name[len(workflow) + 2 :][:_MAX_NAME]
    first, _, rest = name.partition(", ")
    return (first[:_MAX_NAME], rest[:_MAX_NAME]) if rest else (workflow or first[:_MAX_NAME], first[:_MAX_NAME])


def _find_step(lines: Sequence[str]) -> tuple[int, int]:
    """Return where the output of the failing step begins and ends; the whole log where it marks no steps."""
    end = next((number for number, line in enumerate(lines) if _ENDED.match(line)), 0)
    begin = next((number for number in reversed(range(end)) if _STEP.match(lines[number])), 0)
    if not any(line.strip() for line in lines[begin:end]):
        begin, end = 0, len(lines)
    while end > begin and not lines[end - 1].strip():
        end -= 1
    return begin, end


def _choose_lines(lines: Sequence[LogLine], records: Sequence[ErrorRecord]) -> tuple[tuple[str, ...], int]:
    """Return the lines to show, and the number of the first: all of a short step, else the trace and the end."""
    trace = records[0].lines[:_MAX_TRACE] if records else ()
    first = (trace or lines[-MAX_SHOWN:])[0].number
    if len(lines) <= MAX_SHOWN or not trace:
        return tuple(_shorten(line.text) for line in lines[-MAX_SHOWN:]), first
    rest = [line for line in lines if line.number > trace[-1].number]
    ending = rest[-(MAX_SHOWN - len(trace) - 1) :]
    between = [f"… {len(rest) - len(ending):,} lines …"] if len(ending) < len(rest) else []
    shown = (*(_shorten(line.text) for line in trace), *between, *(_shorten(line.text) for line in ending))
    return shown, first


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_LINE else text[: _MAX_SHOWN_LINE - 1] + "…"
