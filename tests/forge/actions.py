"""What runs on the forge: workflows, their runs, attempts and jobs. Where a job stands follows from the clock alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.forge.repository import Hosted

QUEUE_SECONDS: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """A job to be: its steps with their conclusions, what it prints, how long it takes."""

    name: str = "tests"
    steps: tuple[tuple[str, str], ...] = (("tests", "success"),)
    log: str = "all is well\n"
    seconds: float = 0.05

    @property
    def conclusion(self) -> str:
        return next((said for _, said in self.steps if said not in {"success", "skipped"}), "success")


PASSING: Final = JobPlan()
FAILING: Final = JobPlan(steps=(("checkout", "success"), ("tests", "failure")), log="2 + 2 = 5, expected 2\n")
SLOW: Final = JobPlan(seconds=60.0)


def plan_by_file(hosted: Hosted, sha: str) -> Sequence[JobPlan]:
    """The file "outcome" of the commit says how it goes: "fail", "slow", anything else passes."""
    said = hosted.read(sha, "outcome").strip()
    return [{"fail": FAILING, "slow": SLOW}.get(said, PASSING)]


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow file. `plan` is asked when a run begins, and sees the commit."""

    file: str = "ci.yml"
    name: str = "CI"
    on: frozenset[str] = frozenset({"push"})
    id: int = 161335
    plan: Callable[[Hosted, str], Sequence[JobPlan]] = plan_by_file

    @property
    def path(self) -> str:
        return f".github/workflows/{self.file}"


@dataclass(kw_only=True)
class Job:
    id: int
    plan: JobPlan
    begins_at: float
    cancelled_at: float | None = None

    @property
    def ends_at(self) -> float:
        end = self.begins_at + self.plan.seconds
        return end if self.cancelled_at is None else min(end, self.cancelled_at)

    def status(self, now: float) -> str:
        if now >= self.ends_at:
            return "completed"
        return "in_progress" if now >= self.begins_at else "queued"

    def conclusion(self, now: float) -> str | None:
        if now < self.ends_at:
            return None
        was_cut = self.cancelled_at is not None and self.cancelled_at < self.begins_at + self.plan.seconds
        return "cancelled" if was_cut else self.plan.conclusion


@dataclass(kw_only=True)
class Run:
    """A run with its attempts, newest last. `listed_at` is when listings begin to show it."""

    id: int
    number: int
    workflow: Workflow
    hosted: Hosted
    branch: str
    sha: str
    event: str
    created_at: float
    listed_at: float
    inputs: dict[str, str] = field(default_factory=dict)
    attempts: list[list[Job]] = field(default_factory=list)
    told: tuple[int, str] = (0, "")

    @property
    def jobs(self) -> list[Job]:
        return self.attempts[-1]

    def status(self, now: float) -> str:
        states = {job.status(now) for job in self.jobs}
        if states == {"completed"} or not states:
            return "completed"
        return "queued" if states == {"queued"} else "in_progress"

    def conclusion(self, now: float) -> str | None:
        if self.status(now) != "completed":
            return None
        said = {job.conclusion(now) for job in self.jobs}
        return next((word for word in ("failure", "timed_out", "cancelled") if word in said), "success")

    def cancel(self, now: float) -> None:
        for job in self.jobs:
            job.cancelled_at = now if job.cancelled_at is None else job.cancelled_at

    def updated_at(self, now: float) -> float:
        """Return when something happened last."""
        steps = [at for job in self.jobs for at in (job.begins_at, job.ends_at) if at <= now]
        return max([self.created_at, *steps])


class Runner:
    """Begins runs and finds them. Ids grow, as a forge's do."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._last_id = 30_433_642

    def begin(self, hosted: Hosted, branch: str, sha: str, *, workflow: Workflow, event: str, at: float) -> Run:
        run = Run(
            id=self._next_id(),
            number=len(self.runs) + 1,
            workflow=workflow,
            hosted=hosted,
            branch=branch,
            sha=sha,
            event=event,
            created_at=at,
            listed_at=at,
        )
        run.attempts.append([self._job(plan, at) for plan in workflow.plan(hosted, sha)])
        self.runs.append(run)
        return run

    def again(self, run: Run, at: float, *, only_failed: bool) -> None:
        """Begin the next attempt; jobs that need not run again are carried over, under new ids."""
        attempt = [
            replace(job, id=self._next_id())
            if only_failed and job.conclusion(at) == "success"
            else self._job(job.plan, at)
            for job in run.jobs
        ]
        run.attempts.append(attempt)

    def find(self, number: int) -> Run | None:
        return next((run for run in self.runs if run.id == number), None)

    def find_job(self, number: int) -> tuple[Run, int, Job] | None:
        """Return a job with its run and the number of its attempt."""
        return next(
            (
                (run, attempt, job)
                for run in self.runs
                for attempt, jobs in enumerate(run.attempts, 1)
                for job in jobs
                if job.id == number
            ),
            None,
        )

    def _job(self, plan: JobPlan, at: float) -> Job:
        return Job(id=self._next_id(), plan=plan, begins_at=at + QUEUE_SECONDS)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id
