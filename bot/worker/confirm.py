"""Stage three: find the commit at which the playbook's reproduction turns red, by running it.

Each run narrows what is left between red and green commits. The next one is where it splits the suspicion of the
ranking in halves: a ranking that is right needs two runs, one that is wrong a few more. A commit that cannot be judged
is stepped over.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.checks.reproduction import Reproduce
from bot.domain.evidence import Check, FailingRequest, Suspect
from bot.domain.investigation import Confirmed, Job
from bot.domain.suspects.search import Hunt, Link
from bot.ports.workspace import Commit
from bot.worker.doubt import contradict, find_doubts
from bot.worker.reproduce import Bench
from bot.worker.seek import seek
from bot.worker.trial import Trial

MAX_RUNS: Final = 40
MAX_NAMED: Final = 8


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The outcome of a search: a culprit, or in words why there is none, and where it is `left` among several."""

    culprit: Link | None
    how: str
    left: tuple[str, ...] = ()


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
    bench.head = bench.head or commits[0].sha
    bench.older = frozenset(commit.sha for commit in commits[1:])
    sought = await seek(bench, requests, commits[0].sha, job=job)
    trial = sought.trial
    if trial is None:
        kind = job.reproduce
        return Confirmed(culprit=None, request=None, runs=bench.runs, how=sought.why, reproduce=kind), None
    scores = {suspect.commit: suspect.score for suspect in suspects}
    links = [Link(sha=commit.sha, parents=commit.parents) for commit in commits]
    search = Search(bench=bench, trial=trial, scores=scores, has_time=has_time)
    blame = await search.blame(links, green=job.green_sha)
    if trial.kind is Reproduce.SLOW:
        blame = await _doubt_times(bench, trial, blame)
    elif blame.culprit is not None:
        doubts = await find_doubts(bench, trial, blame.culprit, suspects=suspects, commits=commits)
        why = await contradict(bench, trial, blame.culprit, doubts=doubts, has_time=has_time)
        blame = Blame(culprit=None, how=why) if why else blame
    culprit = blame.culprit.sha if blame.culprit else None
    runs = sum(run.attempts for run in bench.runs if run.name == trial.name)
    how = f"{blame.how} ({runs} runs in the sandbox)" if culprit else blame.how
    found = Confirmed(
        culprit=culprit, request=trial.request, runs=bench.runs, how=how, reproduce=trial.kind, left=blame.left
    )
    return found, trial


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

    async def blame(self, links: Sequence[Link], *, green: str = "") -> Blame:
        """Search the history. `green` is a commit that is said to be well: it is believed where a run agrees."""
        hunt = Hunt(links, self._scores, green=green)
        found = await self._hunt(hunt)
        culprit = found.culprit
        if green and culprit and culprit.parents and await self._verdict(culprit.parents[0]) is Check.RED:
            return await self._hunt(Hunt(links, self._scores))
        return found

    async def _verdict(self, sha: str) -> Check:
        return (await self._bench.run(self._trial, sha)).verdict

    async def _hunt(self, hunt: Hunt) -> Blame:
        for index, link in enumerate(hunt.links):
            if index and (run := self._bench.find_run(self._trial, link.sha)) is not None:
                hunt.learn(index, run.verdict)
        while choice := hunt.choose():
            if not self._has_time() or len(self._bench.runs) >= MAX_RUNS:
                return Blame(culprit=None, how=f"time ran out with {len(hunt.left)} commits left to search")
            verdicts = await asyncio.gather(*(self._verdict(hunt.links[index].sha) for index in choice))
            for index, verdict in zip(choice, verdicts, strict=True):
                hunt.learn(index, verdict)
        return self._conclude(hunt)

    def _conclude(self, hunt: Hunt) -> Blame:
        subject, words, red = self._trial.subject, self._trial.words, hunt.links[hunt.red]
        if not hunt.green_known:
            return Blame(culprit=None, how=self._tell_no_green(hunt))
        culprit = hunt.culprit
        if culprit is None:
            return self._leave_open(hunt)
        sometimes = ", though not every time it is sent" if self._trial.repeat > 1 else ""
        parent = red.parents[0] if red.parents else ""
        how = (
            f"{subject} {words.fails} at {self._name(red.sha)} and {words.works} at its parent "
            f"{self._name(parent)}{sometimes}"
        )
        return Blame(culprit=culprit, how=how)

    def _leave_open(self, hunt: Hunt) -> Blame:
        """Name what is left, the most suspect first: none of it can be judged but its end, which is red."""
        shas = [hunt.links[index].sha for index in hunt.left]
        left = tuple(sorted(shas, key=lambda sha: -self._scores.get(sha, 0.0)))
        named = ", ".join(sha[:12] for sha in left[:MAX_NAMED])
        named += f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
        since = f"{self._trial.subject} {self._trial.words.fails} since one of {len(left)} commits"
        how = f"{since}, the most suspect first: {named}; those between cannot be judged"
        return Blame(culprit=None, how=how, left=left)

    def _tell_no_green(self, hunt: Hunt) -> str:
        subject, words, red = self._trial.subject, self._trial.words, hunt.links[hunt.red]
        if hunt.is_open:
            return f"{subject} cannot be judged at any commit older than {red.sha[:12]}"
        since = "at the oldest commit that was looked at too" if red.parents else "since the first commit"
        lacks = "; it may need something that the sandbox does not have"
        more = lacks if self._trial.kind is Reproduce.START else ""
        return f"{subject} {words.fails} {since}, so no commit can be blamed{more}"

    def _name(self, sha: str) -> str:
        """Name a commit, with what was measured there."""
        timed = self._trial.kind is Reproduce.SLOW
        runs = [run for run in self._bench.runs if run.at == sha[:12]]
        notes = [run.note for run in runs if timed and run.note]
        notes += ["only other tests fail there" for run in runs if run.verdict is Check.GREEN and run.failing]
        return f"{sha[:12]} ({notes[-1]})" if notes else sha[:12]
