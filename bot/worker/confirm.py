"""Stage three: find the commit at which the failing request turns red, by running it.

The best suspects and their parents are run first. Each run narrows the line of commits between a red and a green one;
what is left is searched by halves of suspicion, as `git bisect` would by halves of length. A commit that cannot be
judged is stepped over.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.evidence import Check, FailingRequest, Suspect
from bot.domain.investigation import Confirmed
from bot.ports.workspace import Commit
from bot.worker.reproduce import REPRODUCTION, Bench, Trial

TRIED_FIRST = 3
SOMETIMES = 5
MAX_RUNS = 40
_FLOOR = 0.1
_OLDER = 0.15


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The outcome of a search: a culprit, or in words why there is none."""

    culprit: Commit | None
    how: str


async def find_trial(bench: Bench, requests: Sequence[FailingRequest], head: str) -> Trial | None:
    """Return what is red at the head: a failing request, more insistently the second time, else a check."""
    trial = await bench.find_red(requests, head)
    judged = any(run.verdict is Check.GREEN for run in bench.runs)
    if trial is None and judged:
        trial = await bench.find_red(requests, head, repeat=SOMETIMES)
    if trial is not None or judged:
        return trial
    for name in bench.service.checks:
        run = await bench.run(Trial(check=name), head)
        if run.verdict is Check.RED:
            return Trial(check=name)
    return None


async def confirm(
    bench: Bench,
    *,
    requests: Sequence[FailingRequest],
    suspects: Sequence[Suspect],
    commits: Sequence[Commit],
    has_time: Callable[[], bool],
) -> tuple[Confirmed, Trial | None]:
    """Blame a commit by execution. `commits` are newest first and begin with the deployed head."""
    trial = await find_trial(bench, requests, commits[0].sha)
    if trial is None:
        return Confirmed(culprit=None, request=None, runs=bench.runs, how=_why_no_trial(bench, requests)), None
    scores = {suspect.commit: suspect.score for suspect in suspects}
    search = Search(bench=bench, trial=trial, scores=scores, has_time=has_time)
    blame = await search.blame(commits)
    culprit = blame.culprit.sha if blame.culprit else None
    return Confirmed(culprit=culprit, request=trial.request, runs=bench.runs, how=blame.how), trial


def _why_no_trial(bench: Bench, requests: Sequence[FailingRequest]) -> str:
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


class Search:
    """Looks for the first red commit with one trial."""

    def __init__(
        self, *, bench: Bench, trial: Trial, scores: Mapping[str, float], has_time: Callable[[], bool]
    ) -> None:
        self._bench = bench
        self._trial = trial
        self._scores = scores
        self._has_time = has_time

    async def blame(self, commits: Sequence[Commit]) -> Blame:
        """Search the first parents, then, where a merge is to blame, the branch it brought in."""
        known = {commit.sha: commit for commit in commits}
        line = _first_parents(commits[0].sha, known)
        found = await self._narrow(line)
        culprit = found.culprit
        if culprit is None or len(culprit.parents) < 2:
            return found
        main = {commit.sha for commit in line}
        side = _first_parents(culprit.parents[1], {sha: commit for sha, commit in known.items() if sha not in main})
        if not side or await self._verdict(side[0]) is not Check.RED:
            return found
        base = [known[sha] for sha in side[-1].parents[:1] if sha in known]
        inner = await self._narrow([*side, *base])
        return inner if inner.culprit else found

    async def _verdict(self, commit: Commit) -> Check:
        return (await self._bench.run(self._trial, commit.sha)).verdict

    async def _narrow(self, line: Sequence[Commit]) -> Blame:
        span = Span(line=line, weights=[self._scores.get(commit.sha, 0.0) for commit in line])
        parent_of_last = line[-1].parents[0] if line[-1].parents else ""
        for index in self._first_tries(line):
            if span.is_open(index):
                pair = [each for each in (index, index + 1) if span.is_open_for_test(each)]
                verdicts = await asyncio.gather(*(self._verdict(line[each]) for each in pair))
                for each, verdict in zip(pair, verdicts, strict=True):
                    span.learn(each, verdict)
        while True:
            choice = span.choose()
            if choice is None:
                return self._conclude(span, parent_of_last)
            if not self._has_time() or len(self._bench.runs) >= MAX_RUNS:
                return Blame(culprit=None, how=f"time ran out with {span.width} commits left to search")
            span.learn(choice, await self._verdict(line[choice]))

    def _first_tries(self, line: Sequence[Commit]) -> list[int]:
        ranked = sorted(range(len(line)), key=lambda index: (-self._scores.get(line[index].sha, 0.0), index))
        return [index for index in ranked[:TRIED_FIRST] if line[index].sha in self._scores]

    def _conclude(self, span: "Span", parent_of_last: str) -> Blame:
        subject = self._trial.subject
        if not span.green_known:
            if span.red == len(span.line) - 1:
                since = (
                    "since the first commit" if not parent_of_last else "at the oldest commit that was looked at too"
                )
                return Blame(culprit=None, how=f"{subject} fails {since}, so no commit can be blamed")
            return Blame(
                culprit=None, how=f"{subject} cannot be judged at any commit older than {_short(span, span.red)}"
            )
        if span.width > 1:
            left = ", ".join(_short(span, index) for index in range(span.red, span.green))
            return Blame(culprit=None, how=f"one of {left[:400]} made {subject} fail; those between cannot be judged")
        runs = len([run for run in self._bench.runs if run.name == self._trial.name])
        sometimes = ", though not every time it is sent" if self._trial.repeat > 1 else ""
        how = (
            f"{subject} fails at {_short(span, span.red)} and works at its parent {_short(span, span.green)}"
            f"{sometimes} ({runs} runs in the sandbox)"
        )
        return Blame(culprit=span.line[span.red], how=how)


class Span:
    """A line of commits, newest first: red up to and including `red`, green from `green` on; between is unknown."""

    def __init__(self, *, line: Sequence[Commit], weights: Sequence[float]) -> None:
        self.line = line
        self.red = 0
        self.green = len(line)
        self.green_known = False
        self._blind: set[int] = set()
        floor = _FLOOR * max(weights, default=0.0) or 1.0
        self._weights = [weight + floor for weight in weights]

    @property
    def width(self) -> int:
        """How many commits may still be the first red one."""
        return self.green - self.red

    def is_open(self, index: int) -> bool:
        return self.red <= index < self.green and (self.width > 1 or not self.green_known)

    def is_open_for_test(self, index: int) -> bool:
        return self.red < index < self.green and index not in self._blind

    def learn(self, index: int, verdict: Check) -> None:
        if verdict is Check.UNKNOWN:
            self._blind.add(index)
        elif verdict is Check.RED and index < self.green:
            self.red = max(self.red, index)
        elif verdict is Check.GREEN and index > self.red:
            self.green, self.green_known = min(self.green, index), True

    def choose(self) -> int | None:
        """Return the commit whose run splits the suspicion most evenly; None when nothing is left to learn."""
        open_ones = [index for index in range(self.red + 1, self.green) if index not in self._blind]
        if not open_ones:
            return None
        older = 0.0 if self.green_known else _OLDER * sum(self._weights)
        whole = sum(self._weights[self.red : self.green]) + older

        def imbalance(index: int) -> float:
            return abs(sum(self._weights[self.red : index]) - whole / 2)

        return min(open_ones, key=lambda index: (imbalance(index), index))


def _first_parents(sha: str, known: Mapping[str, Commit]) -> list[Commit]:
    line: list[Commit] = []
    while (commit := known.get(sha)) and len(line) < len(known):
        line.append(commit)
        sha = commit.parents[0] if commit.parents else ""
    return line


def _short(span: Span, index: int) -> str:
    return span.line[index].sha[:12]
