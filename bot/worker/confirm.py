"""Stage three: find the commit at which the playbook's reproduction turns red, by running it.

The best suspects and their parents are run first. Each run narrows the line of commits between a red and a green one;
what is left is searched by halves of suspicion, as `git bisect` would by halves of length. A commit that cannot be
judged is stepped over.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.evidence import Check, FailingRequest, Suspect
from bot.domain.investigation import Confirmed, Job
from bot.domain.reproduction import Reproduce
from bot.ports.workspace import Commit
from bot.worker.reproduce import Bench
from bot.worker.seek import say_flaky, seek
from bot.worker.trial import Trial

TRIED_FIRST = 3
MAX_RUNS = 40
_FLOOR = 0.1
_OLDER = 0.15


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The outcome of a search: a culprit, or in words why there is none."""

    culprit: Commit | None
    how: str


async def confirm(
    bench: Bench,
    *,
    job: Job,
    requests: Sequence[FailingRequest],
    suspects: Sequence[Suspect],
    commits: Sequence[Commit],
    has_time: Callable[[], bool],
) -> tuple[Confirmed, Trial | None]:
    """Blame a commit by execution. `commits` are newest first and begin with the deployed head."""
    sought = await seek(bench, requests, commits[0].sha, job=job)
    trial = sought.trial
    if trial is None:
        kind = job.playbook.reproduce
        return Confirmed(culprit=None, request=None, runs=bench.runs, how=sought.why, reproduce=kind), None
    scores = {suspect.commit: suspect.score for suspect in suspects}
    search = Search(bench=bench, trial=trial, scores=scores, has_time=has_time)
    blame = await search.blame(commits)
    if trial.kind is Reproduce.CHECK and job.playbook.reproduce is Reproduce.CHECK:
        blame = await _doubt_check(bench, trial, blame)
    elif trial.kind is Reproduce.SLOW:
        blame = await _doubt_times(bench, trial, blame)
    culprit = blame.culprit.sha if blame.culprit else None
    found = Confirmed(culprit=culprit, request=trial.request, runs=bench.runs, how=blame.how, reproduce=trial.kind)
    return found, trial


async def _doubt_check(bench: Bench, trial: Trial, blame: Blame) -> Blame:
    """Run the check again at the culprit and its parent: one that disagrees with itself there blames nobody."""
    culprit = blame.culprit
    for commit in (culprit.sha, culprit.parents[0]) if culprit else ():
        run = await bench.repeat(trial, commit, bench.playbook.tries)
        if run.verdict is Check.UNKNOWN:
            return Blame(culprit=None, how=say_flaky(trial, commit, run.note))
    return blame


async def _doubt_times(bench: Bench, trial: Trial, blame: Blame) -> Blame:
    """Time the culprit and its parent again: where a busy machine made the difference, nobody is blamed."""
    culprit = blame.culprit
    if culprit is None or trial.request is None or trial.bounds is None:
        return blame
    for sha, expected in ((culprit.sha, Check.RED), (culprit.parents[0], Check.GREEN)):
        timing = await bench.time(trial.request, sha, tries=bench.playbook.tries, is_again=True)
        if timing is None or trial.bounds.judge(timing) is not expected:
            again = timing.note() if timing else "not to be measured"
            varies = f"{trial.subject} takes now this long and now that at {sha[:12]} (again: {again})"
            return Blame(culprit=None, how=f"{varies}, so no commit is blamed")
    return blame


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
        subject, words = self._trial.subject, self._trial.words
        if not span.green_known:
            if span.red == len(span.line) - 1:
                since = (
                    "since the first commit" if not parent_of_last else "at the oldest commit that was looked at too"
                )
                lacks = "; it may need something that the sandbox does not have"
                more = lacks if self._trial.kind is Reproduce.START else ""
                return Blame(culprit=None, how=f"{subject} {words.fails} {since}, so no commit can be blamed{more}")
            return Blame(
                culprit=None, how=f"{subject} cannot be judged at any commit older than {_short(span, span.red)}"
            )
        if span.width > 1:
            left = ", ".join(_short(span, index) for index in range(span.red, span.green))
            return Blame(
                culprit=None, how=f"{subject} {words.fails} since one of {left[:400]}; those between cannot be judged"
            )
        runs = len([run for run in self._bench.runs if run.name == self._trial.name])
        sometimes = ", though not every time it is sent" if self._trial.repeat > 1 else ""
        how = (
            f"{subject} {words.fails} at {self._name(span, span.red)} and {words.works} at its parent "
            f"{self._name(span, span.green)}{sometimes} ({runs} runs in the sandbox)"
        )
        return Blame(culprit=span.line[span.red], how=how)

    def _name(self, span: "Span", index: int) -> str:
        """Name a commit, with what was measured there."""
        timed = self._trial.kind is Reproduce.SLOW
        notes = [run.note for run in self._bench.runs if timed and run.at == _short(span, index) and run.note]
        return f"{_short(span, index)} ({notes[-1]})" if notes else _short(span, index)


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
