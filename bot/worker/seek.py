"""What is red at the deployed commit, found the way the playbook says: the trial that the search then goes by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.checks.reproduction import REPRODUCTION, Reproduce, say_seconds
from bot.domain.evidence import Check, FailingRequest
from bot.domain.investigation import Job
from bot.errors import Rejected, Unavailable
from bot.ports.workspace import Commit
from bot.worker.reproduce import Bench
from bot.worker.shown import find_same_error
from bot.worker.trial import Bounds, Timing, Trial

SOMETIMES: Final = 5
MAX_SLOW: Final = 3
MAX_CHECKS: Final = 20
CHECK_LABELS: Final = ("check", "job", "job_name", "ci_job", "workflow", "stage", "step", "test", "task", "name")
_COMMIT_LABELS: Final = ("commit", "sha", "commit_sha", "head_sha", "git_sha", "revision", "git_commit")
_SHA: Final = re.compile(r"[0-9a-f]{7,40}")
_WORD: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A trial that is red at the head; or none, and in words why."""

    trial: Trial | None
    why: str = ""


async def find_trial(bench: Bench, requests: Sequence[FailingRequest], head: str, *, job: Job) -> Trial | None:
    """Return what is red at the head, None where nothing is."""
    return (await seek(bench, requests, head, job=job)).trial


async def seek(bench: Bench, requests: Sequence[FailingRequest], head: str, *, job: Job) -> Sought:
    """Look for a red trial. What was run already is not run again."""
    if bench.fault:
        return Sought(trial=None, why=f"nothing was run: {bench.fault}")
    kind = job.reproduce
    if kind is Reproduce.LOG:
        trial, why = await find_same_error(bench, head, job)
        return Sought(trial=trial, why=why)
    if kind is Reproduce.CHECK:
        return await _seek_check(bench, head, job.labels)
    if kind is Reproduce.REQUEST:
        return await _seek_request(bench, requests, head)
    if not bench.service.run:
        return Sought(trial=None, why=f"the configuration does not say how to start {bench.service.name} (`run`)")
    return await (_seek_start(bench, head) if kind is Reproduce.START else _seek_slow(bench, requests, head))


# A failing request --------------------------------------------------------------------------------------------------
async def _seek_request(bench: Bench, requests: Sequence[FailingRequest], head: str) -> Sought:
    """Try the failing requests, more insistently the second time, else the checks."""
    trial = await bench.find_red(requests, head)
    judged = any(run.verdict is Check.GREEN for run in bench.runs)
    if trial is None and judged:
        trial = await bench.find_red(requests, head, repeat=SOMETIMES)
    if trial is not None or judged:
        return Sought(trial=trial, why="" if trial else _why_no_request(bench, requests))
    for name in bench.service.checks:
        run = await bench.run(Trial(check=name), head)
        if run.verdict is Check.RED:
            return Sought(trial=Trial(check=name))
    return Sought(trial=None, why=_why_no_request(bench, requests))


def _why_no_request(bench: Bench, requests: Sequence[FailingRequest]) -> str:
    if bench.fault:
        return f"nothing was run: {bench.fault}"
    if not requests:
        red = "and no check of the service is red" if bench.service.checks else "and the service has no checks"
        return f"the logs show no request that could be sent again, {red}"
    if not bench.service.run:
        return f"the configuration does not say how to start {bench.service.name} (`run`), and no check is red"
    tries = [run for run in bench.runs if run.name == REPRODUCTION]
    if any(run.verdict is Check.GREEN for run in tries):
        return "the failing requests succeed in the sandbox: the cause may be data, load or another service"
    last = tries[-1].output.rstrip().rsplit("\n", 1)[-1] if tries else ""
    return f"the failing request could not be tried at the deployed commit: {last[:200]}"


# A service that does not start --------------------------------------------------------------------------------------
async def _seek_start(bench: Bench, head: str) -> Sought:
    run = await bench.run(Trial(), head)
    if run.verdict is Check.RED:
        return Sought(trial=Trial())
    if run.verdict is Check.GREEN:
        stays = f"{bench.playbook.stay_up_seconds:g} s"
        return Sought(
            trial=None,
            why=f"the service starts in the sandbox and stays up for {stays}: the cause may be its configuration, "
            "its data, its memory or another service",
        )
    last = run.output.rstrip().rsplit("\n", 1)[-1]
    return Sought(trial=None, why=f"the start could not be tried at the deployed commit: {last[:200]}")


# A slow request -----------------------------------------------------------------------------------------------------
async def _seek_slow(bench: Bench, requests: Sequence[FailingRequest], head: str) -> Sought:
    """Time each request at the head and at an old commit; red is much slower than there."""
    if not requests:
        return Sought(trial=None, why="the logs show no slow request that could be sent again")
    older = await _read_older(bench, head)
    why = "no slow request is answered in the sandbox as it was in the log"
    for request in requests[:MAX_SLOW]:
        timing = await bench.time(request, head, tries=bench.playbook.tries)
        if timing is None or not (timing.status == 0 or _is_alike(request, timing)):
            continue
        why = f"{request.method} {request.target[:120]} takes {say_seconds(timing.median)} at the deployed commit, and "
        bounds: Bounds | None = None
        for commit in older:
            base = await bench.time(request, commit.sha, tries=bench.playbook.tries)
            if base is None or not _is_alike(request, base):
                continue
            bounds = Bounds.above(base, factor=bench.playbook.slow_factor, floor=bench.playbook.slow_floor_ms / 1_000)
            trial = Trial(request=request, bounds=bounds)
            if (await bench.run(trial, head)).verdict is Check.RED:
                return Sought(trial=trial)
        why += (
            f"{say_seconds(bounds.base)} at an older one: the cause may be data, load or another service"
            if bounds
            else "cannot be timed at any older one"
        )
    return Sought(trial=None, why=why)


async def _read_older(bench: Bench, head: str) -> Sequence[Commit]:
    """Return a few older commits to compare with, oldest first."""
    commits = list(await bench.checkout.log(head, bench.playbook.history))
    places = sorted({len(commits) - 1, len(commits) * 3 // 4, len(commits) // 2, 1}, reverse=True)
    return [commits[place] for place in places if 0 < place < len(commits)]


def _is_alike(request: FailingRequest, timing: Timing) -> bool:
    """Say whether the request was answered as in the log; one that timed out there may be answered well here."""
    if request.status and request.status < 500:
        return timing.status // 100 == request.status // 100
    return 100 <= timing.status < 400


# A red check --------------------------------------------------------------------------------------------------------
async def _seek_check(bench: Bench, head: str, labels: Mapping[str, str]) -> Sought:
    """Run the check that the alert names, else every check, until it is sure: one that contradicts itself is flaky."""
    if not bench.service.checks:
        return Sought(trial=None, why=f"no check of {bench.service.name} is named")
    named = choose_checks(tuple(bench.service.checks), labels)
    notes: list[str] = []
    for name in (named or tuple(bench.service.checks))[:MAX_CHECKS]:
        trial = Trial(check=name)
        run = await bench.run(trial, head)
        if named and run.verdict is Check.GREEN:
            run = await bench.repeat(trial, head, bench.playbook.tries)
        if run.verdict is Check.RED:
            return Sought(trial=trial)
        if run.verdict is Check.GREEN:
            notes.append(await _tell_green(bench, trial, head, labels))
        elif run.note:
            notes.append(say_flaky(trial, head, run.note))
        else:
            last = run.output.rstrip().rsplit("\n", 1)[-1]
            notes.append(f"{trial.subject} could not be run to its end: {last[:200]}")
    return Sought(trial=None, why="; ".join(notes))


def say_flaky(trial: Trial, at: str, note: str) -> str:
    return f"{trial.subject} is flaky: it {note} at {at[:12]}, so no commit is blamed"


def choose_checks(names: Sequence[str], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the checks that the alert's labels name: exactly, else as one of several words ("ci / tests")."""
    said = [labels[key][:200].lower() for key in CHECK_LABELS if key in labels]
    exact = [name for text in said for name in names if name.lower() == text]
    if exact:
        return tuple(dict.fromkeys(exact))
    words = {word for text in said for word in _WORD.findall(text)}
    return tuple(name for name in names if (parts := set(_WORD.findall(name.lower()))) and parts <= words)


async def _tell_green(bench: Bench, trial: Trial, head: str, labels: Mapping[str, str]) -> str:
    """Say that a check is green at the head, and what it is at the commit of the alert."""
    green = f"{trial.subject} is green at the deployed commit {head[:12]}"
    named = next((labels[key].lower() for key in _COMMIT_LABELS if _SHA.fullmatch(labels.get(key, "").lower())), "")
    try:
        commit = await bench.checkout.resolve(named) if named else head
    except (Rejected, Unavailable):
        return f"{green}; the alert's commit {named[:12]} is not in the repository"
    if commit == head:
        return f"{green}: it may be flaky, or CI may differ from the sandbox"
    run = await bench.repeat(trial, commit, bench.playbook.tries)
    if run.verdict is Check.RED:
        return f"{green} and red at the alert's {commit[:12]}: a later commit has mended it already"
    if run.note and run.verdict is Check.UNKNOWN:
        return say_flaky(trial, commit, run.note)
    return f"{green} and not red at the alert's {commit[:12]}: it may be flaky, or CI may differ from the sandbox"
