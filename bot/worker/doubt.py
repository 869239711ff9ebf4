"""Runs what blames a commit again, there and at its parent: a reproduction that contradicts itself blames nobody."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.checks.reproduction import Reproduce
from bot.domain.checks.testing import name_files, name_folders
from bot.domain.evidence import Check, Suspect
from bot.domain.suspects.chance import DOUBTED, ENOUGH, EXPECTED, SEEN, find_chance, pick_lines, tells_of_chance
from bot.domain.suspects.nearness import Executed
from bot.domain.suspects.search import Link
from bot.domain.text.file_names import is_test_file
from bot.ports.workspace import Commit
from bot.worker.outline import outline
from bot.worker.overlay import read_members
from bot.worker.reproduce import Bench
from bot.worker.seek import say_flaky
from bot.worker.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """What speaks for chance, in words, and how often each of the two commits is run because of it."""

    times: int
    sign: str = ""


async def find_doubts(
    bench: Bench, trial: Trial, culprit: Link, *, suspects: Sequence[Suspect], commits: Sequence[Commit]
) -> Doubts:
    """Return how often to run: least where the first suspect is the culprit, and nothing it runs depends on chance."""
    first = suspects[0] if suspects else None
    is_expected = first is not None and first.commit == culprit.sha and bool(first.reasons)
    if trial.kind is not Reproduce.CHECK:
        return Doubts(times=DOUBTED if trial.repeat > 1 else EXPECTED if is_expected else SEEN)
    sign = await _find_sign(bench, trial, commits)
    return Doubts(times=EXPECTED if is_expected and sign == "" else DOUBTED, sign=sign or "")


async def contradict(bench: Bench, trial: Trial, culprit: Link, *, doubts: Doubts, has_time: Callable[[], bool]) -> str:
    """Return why the culprit is not to be blamed, "" where every run of it is red and every run of its parent green."""
    for times in range(2, doubts.times + 1):
        if times > EXPECTED and not has_time():
            return f"time ran out before it was sure that {trial.subject} is not flaky, so no commit is blamed"
        at = [culprit.parents[0], culprit.sha]
        if doubts.times == EXPECTED and sum(run.attempts for run in bench.runs if run.name == trial.name) >= ENOUGH - 1:
            at.pop()
        runs = await asyncio.gather(*(bench.repeat(trial, sha, times) for sha in at))
        for sha, run in zip(at, runs, strict=True):
            if run.verdict is Check.UNKNOWN:
                more = f"; {doubts.sign}" if doubts.sign else ""
                return say_flaky(trial, sha, run.note) + more
    return ""


async def _find_sign(bench: Bench, trial: Trial, commits: Sequence[Commit]) -> str | None:
    """Say what of a check may answer by chance, "" where nothing does; None where nothing of it can be read."""
    command = bench.checks[trial.check].command
    if found := find_chance(" ".join(command), is_test=True):
        return f"its command uses {found}"
    seen = bench.seen.get(trial.check)
    executed = seen.of_failing if seen else {}
    named = frozenset(name_files(command))
    archive = await bench.archive(bench.head or commits[0].sha, keep=True)
    folders = () if named or executed else name_folders(command)
    files = read_members(archive, named | frozenset(executed), folders) | dict(bench.tools.laid_over)
    if found := await asyncio.to_thread(_read_signs, files, executed, named):
        return found
    tests = {path for path in files if path in named or is_test_file(path)}
    told = next((each for each in commits if tells_of_chance(each.subject) and tests & set(each.files)), None)
    if told is not None:
        return f"{told.sha[:12]} calls a test of it flaky"
    return "" if files else None


def _read_signs(files: Mapping[str, bytes], executed: Executed, named: frozenset[str]) -> str:
    """Look at the functions that ran, where that is known, else at whole files."""
    for path, raw in sorted(files.items()):
        text = raw.decode("utf-8", "replace")
        names = executed.get(path)
        if names:
            spans = [each for each in outline(path, raw) if not each.is_class]
            ran = [(each.start, each.end) for each in spans if each.name in names]
            text = pick_lines(text.splitlines(), ran, [(each.start, each.end) for each in spans])
        if sign := find_chance(text, is_test=path in named or is_test_file(path)):
            return f"{path} uses {sign}"
    return ""
