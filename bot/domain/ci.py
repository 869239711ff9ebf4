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


@dataclass(frozen=True, kw_only=True)
class CIRequest:
    """What CI is asked to run. One SHA is one run, however often it is asked for."""

    repository: str
    sha: str
    branch: str
    incident: str


@dataclass(frozen=True, kw_only=True)
class CIRun:
    """A run as its provider reports it. `attempt` counts restarts of the same run, from 1.
    `failed_step` names the first step that failed, `log_tail` its last lines."""

    id: str
    sha: str
    state: CIState
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failed_step: str = ""
    log_tail: str = ""
    url: str = ""
