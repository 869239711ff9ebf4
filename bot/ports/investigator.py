"""Who investigates: in the running bot a child process, in a test a script."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from bot.domain.ci_logs.log import CIFailure, CILog
from bot.domain.investigation import Job, StageResult
from bot.domain.metrics.metric import Metric
from bot.domain.suspects.happened import Happened


class Investigator(Protocol):
    def investigate(self, job: Job) -> AsyncGenerator[StageResult]:
        """Yield the result of each stage that `job.done` does not hold yet, in the order of `Stage`. One that is
        preliminary is yielded again when it is whole.

        May be repeated with what was stored so far. Raises `Unavailable` when the worker died, `LimitReached`
        when the playbook's time is over. Ends early when a stage leaves nothing to go on with.
        """
        ...


@runtime_checkable
class CIReader(Protocol):
    async def read_ci(self, log: CILog, *, workflow: str = "") -> CIFailure | None:
        """Return what a run's log shows failing, None where it says nothing.

        May be repeated. Raises `Unavailable` when the worker died.
        """
        ...


@runtime_checkable
class Plotter(Protocol):
    async def plot(self, metrics: Sequence[Metric], changed: Sequence[Happened]) -> Sequence[bytes]:
        """Return a PNG for each metric, with the changes in its time; the same for the same.

        May be repeated. Raises `Unavailable` when the worker died, `Refused` where one would be too large.
        """
        ...
