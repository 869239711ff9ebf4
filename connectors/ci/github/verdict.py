"""From what GitHub lists for a commit to one verdict: pure, and never green for what it does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bot.domain.ci import CIRun, CIState
from connectors.ci.github.text import read_number
from connectors.ci.http_values import as_link, as_text, as_time

ACTIONS: Final = "github-actions"
DISPATCHED: Final = "workflow_dispatch"

_GREEN: Final = frozenset({"success", "neutral", "skipped"})
_STATUS_STATES: Final[Mapping[object, tuple[CIState, str]]] = {
    "success": (CIState.PASSED, "success"),
    "pending": (CIState.RUNNING, ""),
    "failure": (CIState.FAILED, "failure"),
    "error": (CIState.FAILED, "failure"),
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A workflow run, a check run or a commit status. `id` is 0 where GitHub gave none; `attempt` counts a workflow
    run's restarts, `event` and `workflow` say what began it and what it runs."""

    id: int
    name: str
    state: CIState
    conclusion: str = ""
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    url: str = ""
    words: str = ""
    event: str = ""
    workflow: tuple[str, ...] = ()

    @property
    def is_green(self) -> bool:
        return self.state is CIState.PASSED


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Everything GitHub lists for one commit: its workflow runs, and what else was reported on it.

    `checks` are the check runs of all apps and the commit statuses; `foreign` are those that are no job of a run here.
    """

    runs: tuple[Part, ...]
    checks: tuple[Part, ...]
    foreign: tuple[Part, ...]

    def deciding(self, required: Sequence[str]) -> tuple[Part, ...]:
        """Return what the verdict hangs on: the required checks, or everything; a job is part of its workflow run."""
        if required:
            return tuple(check for check in self.checks if check.name in required)
        return (*self.runs, *self.foreign)

    def missing(self, required: Sequence[str]) -> tuple[str, ...]:
        names = {check.name for check in self.checks}
        return tuple(name for name in required if name not in names)

    def concerns(self, required: Sequence[str]) -> bool:
        """Say whether the run that is waited for is listed: other checks of the commit do not stand for it."""
        named = bool(self.deciding(required)) if required else bool(self.runs)
        return named or any(run.event == DISPATCHED for run in self.runs)

    def dispatched(self, job: str) -> Part | None:
        """Return the run that a dispatch of this workflow (its file or its id) began."""
        return next((run for run in self.runs if run.event == DISPATCHED and job in run.workflow), None)

    @property
    def attempt(self) -> int:
        """One more than all restarts together: it grows with every restart, whichever run it was of."""
        return 1 + sum(run.attempt - 1 for run in self.runs)

    @property
    def has_ended(self) -> bool:
        return all(part.state.is_final for part in (*self.runs, *self.checks))


def read_listing(
    runs: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]
) -> Listing:
    """Read what the three listings hold; anything unknown in them counts as not green."""
    read = [(_part(check), _app(check)) for check in checks]
    reported = tuple(_status(entry) for entry in statuses)
    return Listing(
        runs=tuple(_part(run) for run in runs),
        checks=(*(part for part, _ in read), *reported),
        foreign=(*(part for part, app in read if app != ACTIONS), *reported),
    )


def decide(listing: Listing, sha: str, required: Sequence[str]) -> CIRun:
    """Return the run of a commit as it stands: final only once everything that decides is final."""
    parts = listing.deciding(required)
    state = _state(parts, is_whole=not listing.missing(required))
    started = [part.started_at for part in parts if part.started_at]
    finished = [part.finished_at for part in parts if part.finished_at]
    bad = first_failed(parts)
    shown = bad or (parts[0] if parts else None)
    return CIRun(
        id=sha[:12],
        sha=sha,
        state=state,
        attempt=listing.attempt,
        started_at=min(started, default=None),
        finished_at=max(finished, default=None) if state.is_final else None,
        failed_step=_why(bad) if state is CIState.FAILED else "",
        log_tail=bad.words if bad and state.is_final else "",
        url=shown.url if shown else "",
    )


def first_failed(parts: Sequence[Part]) -> Part | None:
    """Return what failed first, or, where nothing did, what was cancelled."""
    failed = [part for part in parts if part.state is CIState.FAILED]
    return next(iter(failed or [part for part in parts if part.state is CIState.CANCELLED]), None)


def failed_step(job: Mapping[str, Any]) -> str:
    """Return "job: step" of a failed job, and once what has the same name twice."""
    name = as_text(job.get("name"), 80) or "a job without a name"
    steps = job.get("steps")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict) and step.get("conclusion") in ("failure", "timed_out"):
            title = as_text(step.get("name"), 80)
            return name if title in {"", name} else f"{name}: {title}"
    return name


def did_fail(job: Mapping[str, Any]) -> bool:
    return job.get("status") == "completed" and job.get("conclusion") not in (*_GREEN, "cancelled")


def _state(parts: Sequence[Part], *, is_whole: bool) -> CIState:
    if parts and is_whole and all(part.state.is_final for part in parts):
        return _verdict(parts)
    moved = any(part.state is CIState.RUNNING or part.state.is_final for part in parts)
    return CIState.RUNNING if moved else CIState.QUEUED


def _verdict(parts: Sequence[Part]) -> CIState:
    states = {part.state for part in parts}
    if CIState.FAILED in states:
        return CIState.FAILED
    if CIState.CANCELLED in states:
        return CIState.CANCELLED
    ran = any(part.conclusion == "success" for part in parts)
    return CIState.PASSED if ran else CIState.FAILED


def _why(bad: Part | None) -> str:
    if bad is None:
        return "nothing ran: every check was skipped"
    return bad.name if bad.conclusion == "failure" else f"{bad.name} ({bad.conclusion or 'no conclusion'})"


def _part(entry: Mapping[str, Any]) -> Part:
    state = _state_of(entry)
    output = entry.get("output")
    words = [as_text(output.get(key), 2000) for key in ("title", "summary")] if isinstance(output, dict) else []
    file = as_text(entry.get("path")).partition("@")[0].rpartition("/")[2]
    return Part(
        id=read_number(entry.get("id")),
        name=as_text(entry.get("name") or entry.get("path"), 80) or "a check without a name",
        state=state,
        conclusion=as_text(entry.get("conclusion"), 40),
        attempt=read_number(entry.get("run_attempt")) or 1,
        started_at=as_time(entry.get("run_started_at") or entry.get("started_at") or entry.get("created_at")),
        finished_at=as_time(entry.get("completed_at") or entry.get("updated_at")) if state.is_final else None,
        url=as_link(entry.get("html_url")),
        words="\n".join(word for word in words if word),
        event=as_text(entry.get("event"), 40),
        workflow=tuple(word for word in (file, str(read_number(entry.get("workflow_id")) or "")) if word),
    )


def _status(entry: Mapping[str, Any]) -> Part:
    """Read a commit status, which is how systems outside GitHub report; an unknown state is not green."""
    said = entry.get("state")
    known = _STATUS_STATES.get(said) if isinstance(said, str) else None
    state, conclusion = known or (CIState.FAILED, as_text(said, 40))
    return Part(
        id=0,
        name=as_text(entry.get("context"), 80) or "a status without a name",
        state=state,
        conclusion=conclusion,
        started_at=as_time(entry.get("created_at")),
        finished_at=as_time(entry.get("updated_at")) if state.is_final else None,
        url=as_link(entry.get("target_url")),
        words=as_text(entry.get("description"), 2000),
    )


def _state_of(entry: Mapping[str, Any]) -> CIState:
    status, conclusion = entry.get("status"), entry.get("conclusion")
    if status != "completed":
        return CIState.RUNNING if status == "in_progress" else CIState.QUEUED
    if not isinstance(conclusion, str):
        return CIState.FAILED
    if conclusion in _GREEN:
        return CIState.PASSED
    return CIState.CANCELLED if conclusion == "cancelled" else CIState.FAILED


def _app(check: Mapping[str, Any]) -> str:
    app = check.get("app")
    return str(app.get("slug")) if isinstance(app, dict) else ""
