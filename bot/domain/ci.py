"""CI runs: one per pushed commit."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CIState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {CIState.PASSED, CIState.FAILED, CIState.CANCELLED}


class Trigger(StrEnum):
    """What makes CI run: exactly one of these per repository, so that one approval is one run."""

    PUSH = "push"
    PULL_REQUEST = "pull_request"
    DISPATCH = "dispatch"


@dataclass(frozen=True, kw_only=True)
class CIRequest:
    """What CI is asked to run. One SHA is one run, however often it is asked for.

    `trigger` says what starts it; only a dispatch is an order of ours. `job` names what is dispatched (a workflow
    file, a job, a builder), `key` goes along with it, so that the run can be told from any other. `is_check` is False
    for a deployment and a rollback: their commit has other runs, so no run is looked for, neither before the order nor
    after it. A rollback carries the `tag` of its release, which stands at `sha` and not at the tip of `branch`.
    """

    repository: str
    sha: str
    branch: str
    incident: str
    trigger: Trigger = Trigger.PUSH
    job: str = ""
    key: str = ""
    is_check: bool = True
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class CIRun:
    """A run as its provider reports it. `attempt` counts restarts of the same run, from 1.
    `failed_step` names the first step that failed, `log_tail` its last lines, `failure` those that tell why."""

    id: str
    sha: str
    state: CIState
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failed_step: str = ""
    log_tail: str = ""
    failure: str = ""
    url: str = ""
