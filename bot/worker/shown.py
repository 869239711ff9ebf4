"""What is run where the playbook leaves it to the log: a request, the start, or what fails with the same error."""

from collections.abc import Iterator, Sequence

from bot.domain.checks.reproduction import Reproduce
from bot.domain.conclusion import find_result
from bot.domain.evidence import Check, ErrorRecord, LogLine
from bot.domain.investigation import Collected, Job
from bot.domain.logs.exits import find_exits
from bot.domain.logs.requests import find_failing_requests
from bot.worker.reproduce import Bench
from bot.worker.trial import Trial

MAX_CHECKS = 20


def read_kind(job: Job, lines: Sequence[LogLine], records: Sequence[ErrorRecord]) -> Reproduce:
    """Return what the playbook runs. Where that is what the log shows: a request that failed, else the start of a
    service that ended, else what is left is a traceback."""
    said = job.playbook.reproduce
    if said is not Reproduce.LOG or not lines:
        return said
    if any(find_failing_requests(lines, records)):
        return Reproduce.REQUEST
    return Reproduce.START if job.service.run and find_exits(lines) else Reproduce.LOG


async def find_same_error(bench: Bench, head: str, job: Job) -> tuple[Trial | None, str]:
    """Look for a check, else the start of the service, that fails with an error of which the log shows the traceback.

    One that is red with another error says nothing about the alert. Returns it, or why there is none.
    """
    collected = find_result(job.done, Collected)
    kinds = {record.kind for record in collected.records if record.frames} if collected else set()
    if not kinds:
        return None, "the logs show no request, no traceback and no end of the service that could be run again"
    others: list[str] = []
    for trial in _list_trials(bench):
        run = await bench.run(trial, head)
        output = bench.outputs.get((trial.check, head)) or run.output
        if run.verdict is Check.RED and any(kind in output for kind in kinds):
            return trial, ""
        others += [f"{trial.subject} {trial.words.fails} with another"] if run.verdict is Check.RED else []
    error = f"nothing that can be run shows the error of the log ({', '.join(sorted(kinds))[:200]})"
    return None, "; ".join((error, *others))


def _list_trials(bench: Bench) -> Iterator[Trial]:
    yield from (Trial(check=name) for name in tuple(bench.service.checks)[:MAX_CHECKS])
    if bench.service.run:
        yield Trial()
