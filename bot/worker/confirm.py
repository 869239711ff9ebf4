"""Stage three: find the commit at which the playbook's reproduction turns red, by running it.

Each run narrows the line of commits between a red and a green one. The next one is where it splits the suspicion of
the ranking in halves, as `git bisect` would the length: a ranking that is right needs two runs, one that is wrong a
few more. A commit that cannot be judged is stepped over.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.evidence import Check, FailingRequest, Suspect
from bot.domain.investigation import Confirmed, Job
from bot.domain.reproduction import Reproduce
from bot.domain.search import Link, Span, first_parents, weigh_line
from bot.ports.workspace import Commit
from bot.worker.reproduce import Bench
from bot.worker.seek import say_flaky, seek
from bot.worker.trial import Trial

MAX_RUNS: Final = 40
#: A culprit among so many first suspects was pointed at by two things, its evidence and its run.
POINTED_AT: Final = 3


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The outcome of a search: a culprit, or in words why there is none."""

    culprit: Link | None
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
    links = [Link(sha=commit.sha, parents=commit.parents) for commit in commits]
    search = Search(bench=bench, trial=trial, scores=scores, has_time=has_time)
    blame = await search.blame(links, green=job.green_sha)
    if trial.kind is Reproduce.CHECK and job.playbook.reproduce is Reproduce.CHECK:
        blame = await _doubt_check(bench, trial, blame, suspects=suspects, head=commits[0].sha)
    elif trial.kind is Reproduce.SLOW:
        blame = await _doubt_times(bench, trial, blame)
    culprit = blame.culprit.sha if blame.culprit else None
    runs = sum(run.attempts for run in bench.runs if run.name == trial.name)
    how = f"{blame.how} ({runs} runs in the sandbox)" if culprit else blame.how
    found = Confirmed(culprit=culprit, request=trial.request, runs=bench.runs, how=how, reproduce=trial.kind)
    return found, trial


async def _doubt_check(bench: Bench, trial: Trial, blame: Blame, *, suspects: Sequence[Suspect], head: str) -> Blame:
    """Run the check again at the head, the culprit and its parent: one that disagrees with itself blames nobody.

    Where only the runs point at a commit, each is run as often as the playbook says. One that its evidence points at
    too was red where it was expected to be: there it is the green that could be luck, and one more of it is enough.
    """
    culprit = blame.culprit
    if culprit is None:
        return blame
    pointed = culprit.sha in {suspect.commit for suspect in suspects[:POINTED_AT] if suspect.reasons}
    parent, tries = culprit.parents[0], bench.playbook.tries
    for sha, times in ((parent, 2),) if pointed else ((head, tries), (culprit.sha, tries), (parent, tries)):
        run = await bench.repeat(trial, sha, times)
        if run.verdict is Check.UNKNOWN:
            return Blame(culprit=None, how=say_flaky(trial, sha, run.note))
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
        self._known: Mapping[str, Link] = {}

    async def blame(self, links: Sequence[Link], *, green: str = "") -> Blame:
        """Search the first parents, then, where a merge is to blame, the branch it brought in.

        `green` is a commit that somebody says was well; it is believed only where a run agrees.
        """
        self._known = {link.sha: link for link in links}
        line = first_parents(links[0].sha, self._known)
        place = next((number for number, link in enumerate(line) if number and link.sha == green), None)
        found = await self._narrow(line, green=place)
        if place is not None and found.culprit and await self._is_red_before(found.culprit):
            found = await self._narrow(line)
        culprit = found.culprit
        if culprit is None or len(culprit.parents) < 2:
            return found
        return await self._blame_branch(found, culprit, {link.sha for link in line})

    async def _blame_branch(self, found: Blame, merge: Link, main: set[str]) -> Blame:
        """Search what a merge brought in; it is to blame itself where that was green alone."""
        side = first_parents(merge.parents[1], {sha: link for sha, link in self._known.items() if sha not in main})
        if not side or await self._verdict(side[0]) is not Check.RED:
            return found
        base = [self._known[sha] for sha in side[-1].parents[:1] if sha in self._known]
        inner = await self._narrow([*side, *base])
        return inner if inner.culprit else found

    async def _is_red_before(self, culprit: Link) -> bool:
        parent = self._known.get(culprit.parents[0]) if culprit.parents else None
        return parent is not None and await self._verdict(parent) is Check.RED

    async def _verdict(self, link: Link) -> Check:
        return (await self._bench.run(self._trial, link.sha)).verdict

    async def _narrow(self, line: Sequence[Link], *, green: int | None = None) -> Blame:
        weights = weigh_line(line, self._known, self._scores)
        span = Span(line=line, weights=weights, green=green)
        for index, link in enumerate(line):
            if index and (run := self._bench.find_run(self._trial, link.sha)) is not None:
                span.learn(index, run.verdict)
        while choice := span.choose():
            if not self._has_time() or len(self._bench.runs) >= MAX_RUNS:
                return Blame(culprit=None, how=f"time ran out with {span.width} commits left to search")
            verdicts = await asyncio.gather(*(self._verdict(line[index]) for index in choice))
            for index, verdict in zip(choice, verdicts, strict=True):
                span.learn(index, verdict)
        return self._conclude(span, line[-1].parents[0] if line[-1].parents else "")

    def _conclude(self, span: Span, parent_of_last: str) -> Blame:
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
        sometimes = ", though not every time it is sent" if self._trial.repeat > 1 else ""
        how = (
            f"{subject} {words.fails} at {self._name(span, span.red)} and {words.works} at its parent "
            f"{self._name(span, span.green)}{sometimes}"
        )
        return Blame(culprit=span.line[span.red], how=how)

    def _name(self, span: Span, index: int) -> str:
        """Name a commit, with what was measured there."""
        timed = self._trial.kind is Reproduce.SLOW
        notes = [run.note for run in self._bench.runs if timed and run.at == _short(span, index) and run.note]
        return f"{_short(span, index)} ({notes[-1]})" if notes else _short(span, index)


def _short(span: Span, index: int) -> str:
    return span.line[index].sha[:12]
