"""The phases after an approval over scripted CI and forge: they lag, time out after they have acted, and count.

A world plays phases as the engine does: again after `Unavailable`, again after a kill, `failed` when it is no use.
Waiting costs no time: it moves the clock.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

from bot.domain.approvals.rollback import Release
from bot.domain.change import BranchRules, Change, ChangeRequest, ChangeState
from bot.domain.chat import Message
from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.domain.service import Service
from bot.engine import changing, deploying, following, handlers, ordering, rolling_back
from bot.engine.commit_news import CommitNews, Listener
from bot.engine.compose import Composer
from bot.engine.handlers import Handlers
from bot.engine.tools import Tools
from bot.errors import NightshiftError, NotSent, Reason, Rejected, Unavailable
from bot.ports.workspace import Commit, CommitPlan, RevertDraft
from bot.render.links import Links
from tests.worldkit import FixedClock, World, diff, make_rules, make_world

PLAYED = (
    *("execute", "follow", "propose", "look", "merge", "deploy", "deployed"),
    *("watch", "revert", "ci", "release", "rollback"),
)
BACK = diff(before="b", after="a")


class Killed(BaseException):
    """The process died here."""


def unanswered() -> Unavailable:
    return Unavailable("no answer within 30 s", Reason.TIMEOUT)


class PassingTime(CommitNews):
    """News of commits where every wait passes at once, on the clock."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._clock = clock

    @contextmanager
    def follow(self, sha: str) -> Iterator[Listener]:
        outer = self

        class Passing(Listener):
            async def wait(self, seconds: float) -> bool:
                outer.waits.append(seconds)
                outer._clock.advance(seconds=seconds)
                return False

        yield Passing()


@dataclass
class ScriptedCI:
    """A CI that shows its runs `lag` seconds late and ends them after `takes` seconds with `verdict`.

    `answers` says of each dispatch in turn: "ok", "lost" (nothing happens, no answer), "late" (it happens, no answer),
    "no" (refused), "not sent" (certainly nothing happens). Not idempotent on purpose: each dispatch that arrives is one
    more run. `beside`: another run of each commit is listed, and taken for the ordered one by who does not say what is
    expected. `loses_logs`: no log is had. `reruns`: it runs again what is asked for, and green.
    The run of an order that is no check ends with `order_verdict`, unless `hides_orders`.
    """

    clock: FixedClock
    lag: float = 0.0
    takes: float = 60.0
    verdict: CIState = CIState.PASSED
    answers: list[str] = field(default_factory=list)
    down: int = 0
    beside: bool = False
    loses_logs: bool = False
    reruns: bool = False
    order_verdict: CIState = CIState.PASSED
    hides_orders: bool = False
    attempt: int = 1
    said: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    requests: list[CIRequest] = field(default_factory=list)
    ordered: dict[str, datetime] = field(default_factory=dict)
    began: dict[str, list[datetime]] = field(default_factory=dict)

    def begin(self, sha: str) -> None:
        self.began.setdefault(sha, []).append(self.clock.now())

    async def start(self, request: CIRequest) -> CIRun:
        queued = CIRun(id=request.key or request.sha[:12], sha=request.sha, state=CIState.QUEUED, url="http://ci/1")
        if request.trigger is not Trigger.DISPATCH:
            return await self.status(request.sha) or queued
        self.sent.append(request.key)
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer == "no":
            raise Rejected("no such job", Reason.NOT_FOUND)
        if answer == "not sent":
            raise NotSent("GitHub asks for fewer calls", Reason.RATE_LIMITED, 3.0)
        if answer != "lost":
            self.jobs.append((request.job, request.sha))
            self.requests.append(request)
            self.ordered[request.key] = self.clock.now()
            self.begin(request.sha)
        if answer != "ok":
            raise unanswered()
        return queued

    def expect(self, request: CIRequest) -> None:
        self.expected[request.sha] = request.job

    async def status(self, sha: str) -> CIRun | None:
        if self.down > 0:
            self.down -= 1
            raise unanswered()
        if self.beside and sha not in self.expected:
            return CIRun(id="run-0", sha=sha, state=CIState.PASSED)
        began = self.began.get(sha)
        if not began or self.clock.now() < began[0] + timedelta(seconds=self.lag):
            return None
        age = (self.clock.now() - began[0]).total_seconds()
        state = self.verdict if age >= self.takes else CIState.RUNNING
        return CIRun(id="run-1", sha=sha, state=state, attempt=self.attempt, url="http://ci/1")

    async def find_order(self, request: CIRequest) -> CIRun | None:
        if self.down > 0:
            self.down -= 1
            raise unanswered()
        began = self.ordered.get(request.key)
        if began is None or self.hides_orders or self.clock.now() < began + timedelta(seconds=self.lag):
            return None
        age = (self.clock.now() - began).total_seconds()
        state = self.order_verdict if age >= self.takes else CIState.RUNNING
        step = "push the image" if state is CIState.FAILED else ""
        return CIRun(id="run-9", sha=request.sha, state=state, failed_step=step, url="http://ci/9")

    async def log(self, sha: str) -> str:
        if self.loses_logs:
            raise unanswered()
        return self.said.get(sha, "all is well")

    async def cancel(self, sha: str) -> CIRun:
        raise Rejected("not here", Reason.NOT_FOUND)

    async def rerun(self, sha: str) -> CIRun:
        if not self.reruns:
            raise Rejected("not here", Reason.NOT_FOUND)
        self.verdict = CIState.PASSED
        self.began[sha] = [self.clock.now()]
        self.attempt += 1
        return CIRun(id="run-1", sha=sha, state=CIState.QUEUED, attempt=self.attempt)


@dataclass
class ScriptedForge:
    """A forge that may answer late ("late" in `answers`: it was done), and whose change may move or conflict."""

    ci: ScriptedCI
    runs_ci: bool = False
    answers: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    requests: list[ChangeRequest] = field(default_factory=list)
    merges: list[tuple[int, str]] = field(default_factory=list)
    protected: bool = False
    conflict: str = ""

    def _after(self) -> None:
        if self.answers and self.answers.pop(0) == "late":
            raise unanswered()

    async def rules(self, repository: str, branch: str) -> BranchRules:
        return BranchRules(exists=False, is_default=False, is_protected=self.protected)

    async def find(self, repository: str, branch: str) -> Change | None:
        return self.changes[-1] if self.changes else None

    async def propose(self, request: ChangeRequest) -> Change:
        number = 12 + len(self.changes)
        self.requests.append(request)
        self.changes.append(
            Change(number=number, state=ChangeState.OPEN, sha=request.sha, url=f"http://forge/{number}")
        )
        if self.runs_ci:
            self.ci.begin(request.sha)
        self._after()
        return self.changes[-1]

    async def merge(self, repository: str, number: int, sha: str) -> Change:
        if self.conflict:
            raise Rejected(self.conflict, Reason.CONFLICT)
        assert self.changes[-1].sha == sha
        self.merges.append((number, sha))
        merged = replace(self.changes[-1], state=ChangeState.MERGED, merged_sha="e" * 40)
        self.changes[-1] = merged
        self._after()
        return merged

    def move(self, **changes: object) -> None:
        self.changes[-1] = replace(self.changes[-1], **changes)


@dataclass
class FakeGit:
    """A remote of branches. A commit's name follows from its plan alone."""

    ci: ScriptedCI
    pushes: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    runs_ci: bool = True
    revert_diff: bytes | None = BACK
    tags: list[Release] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    down: int = 0

    async def open(self, url: str, folder: Path) -> "FakeGit":
        if self.down > 0:
            self.down -= 1
            raise unanswered()
        return self

    async def releases(self, head: str, pattern: str, limit: int) -> list[Release]:
        return [release for release in self.tags if fnmatch(release.tag, pattern)][:limit]

    async def between(self, old: str, new: str, limit: int) -> list[Commit]:
        return self.commits[:limit]

    async def commit(self, checkout: object, plan: CommitPlan) -> str:
        return hashlib.sha1(repr(plan).encode()).hexdigest()

    async def remote_sha(self, url: str, branch: str) -> str | None:
        return self.branches.get(branch)

    async def push(self, checkout: object, url: str, sha: str, branch: str) -> None:
        self.branches[branch] = sha
        self.pushes.append(sha)
        if self.runs_ci:
            self.ci.begin(sha)

    async def resolve(self, ref: str) -> str:
        return "f" * 40

    async def revert(
        self, culprit: str, base: str, *, binary_paths: object = (), is_finer: bool = False
    ) -> RevertDraft | None:
        return None if self.revert_diff is None else RevertDraft(diff=self.revert_diff)


class RolloutWorld:
    """A world with one service, its CI and forge, and the phases that follow an approval."""

    def __init__(self, path: Path, monkeypatch, **service: object) -> None:
        made = Service(name="checkout", repository="/srv/git/checkout.git", ci="cloud", **service)
        self.world: World = make_world(path, make_rules(services={"checkout": made}), opened=True)
        self.ci = ScriptedCI(clock=self.world.clock)
        self.forge = ScriptedForge(ci=self.ci, runs_ci=made.trigger is Trigger.PULL_REQUEST)
        self.git = FakeGit(ci=self.ci, runs_ci=made.trigger is Trigger.PUSH)
        self.news = PassingTime(self.world.clock)
        self.tools = Tools(
            investigator=None,
            workspaces=self.git,
            ci={"cloud": self.ci},
            forges={"hub": self.forge},
            news=self.news,
            folder=path,
            redact=lambda text: text,
            poll_seconds=5.0,
            longest_poll={"cloud": 10.0},
            links=Links(base="https://night.example"),
        )
        self.points: list[str] = []
        self.on_point: dict[str, Callable[[], object]] = {}
        self._deadly = ""
        self._done: set[tuple[str, str]] = set()
        for module in (changing, deploying, following, handlers, ordering, rolling_back):
            monkeypatch.setattr(module, "reach", self._reach)

    def _reach(self, name: str) -> None:
        self.points.append(name)
        self.on_point.pop(name, lambda: None)()
        if name == self._deadly:
            self._deadly = ""
            raise Killed(name)

    def kill_at(self, name: str) -> None:
        self._deadly = name

    def approve(self) -> str:
        """Let the investigation end with a patch and Ada approve it; return its digest."""
        digest = self.world.propose().digest
        assert self.world.press(f"approve:INC-1:{digest[:12]}").ok
        return digest

    async def play(self) -> None:
        """Play what is due until nothing is, each phase as the engine would."""
        phases = {phase.name: phase for phase in Handlers(self.world.store, self.world.rules, self.tools).phases()}
        while due := self._due():
            for item in due:
                self._done.add((item.phase, item.key))
                await self._carry_out(phases[item.phase], item.args)

    def _due(self) -> Sequence:
        waiting = [item for key, item in self.world.phases.committed.items() if key not in self._done]
        return [item for item in waiting if item.phase in PLAYED and item.due <= self.world.clock.now()]

    async def _carry_out(self, phase, args) -> None:
        for _ in range(20):
            try:
                await phase.run(args)
            except (Unavailable, Killed):
                self.world.clock.advance(seconds=1)
            except NightshiftError as error:
                await phase.failed(args, str(error))
                return
            else:
                return
        await phase.failed(args, "it never answered")

    def shown(self, what: str) -> list[Message]:
        """Return the messages of a kind that wait for the web channel, as they would be sent now."""
        composer = Composer(self.world.store, self.world.rules, Links(base="https://night.example"))
        made = [composer.compose(effect, "web") for effect in self.world.promised(what)]
        return [message for message in made if message is not None]

    def labels(self, what: str) -> list[str]:
        return [button.label for button in self.shown(what)[-1].buttons]

    def button(self, what: str, label: str) -> str:
        return next(button.id for button in self.shown(what)[-1].buttons if button.label == label)

    def press(self, what: str, label: str, account: str = "ada@web"):
        return self.world.press(self.button(what, label), account, confirm="Yes")
