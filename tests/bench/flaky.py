"""Checks that answer by chance, in made-up histories: how often the search blames a commit that is innocent."""

import io
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from bot.domain.checks.reproduction import Reproduce
from bot.domain.evidence import Suspect
from bot.domain.investigation import Confirmed, Job
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.ports.sandbox import SandboxJob, SandboxResult
from bot.ports.workspace import Commit
from bot.worker.confirm import confirm
from bot.worker.reproduce import Bench
from bot.worker.tools import Tools

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
#: At every commit, since a commit that made it so, or until a commit that broke it for good.
Kind = Literal["always", "since", "until"]
KINDS: tuple[Kind, ...] = ("always", "since", "until")
RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
OPEN_TEST = "import random\n\n\ndef test_total():\n    assert total(2) == 4 or random.random() > 0.5\n"
PLAIN_TEST = "def test_total():\n    assert total(2) == 4\n"


@dataclass(frozen=True, kw_only=True)
class FlakyCase:
    """One history with a check that is red by chance, `rate` of the time. `number` decides everything else."""

    kind: Kind
    rate: float
    number: int
    test: str = OPEN_TEST


@dataclass
class _World:
    """The history, its ranking, and a sandbox that throws the dice; a tree is a tar file that begins with its name."""

    case: FlakyCase
    rung: str = "bubblewrap"
    runs: int = 0
    commits: tuple[Commit, ...] = ()
    culprit: int = 0
    suspects: tuple[Suspect, ...] = ()
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.case.kind} {self.case.rate} {self.case.number}")
        length = self.chance.randint(20, 200)
        shas = [f"{number:040x}" for number in range(length)]
        self.commits = tuple(_commit(number, sha, (*shas[number + 1 : number + 2],)) for number, sha in enumerate(shas))
        self.culprit = self.chance.randrange(1, length - 1)
        places = self.chance.sample(range(length - 1), 6)
        if self.case.kind != "always" and self.chance.random() < 0.7:
            places[0] = self.culprit
        scores = sorted((self.chance.uniform(0.2, 0.8) for _ in places), reverse=True)
        self.suspects = tuple(
            _suspect(shas[place], score) for place, score in zip(dict.fromkeys(places), scores, strict=False)
        )

    async def archive(self, at: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, text in ((f"at-{at}", ""), ("test_shop.py", self.case.test)):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        return buffer.getvalue()

    async def run(self, job: SandboxJob) -> SandboxResult:
        self.runs += 1
        number = int(job.tree[3:43], 16)
        is_red = self.chance.random() < self.case.rate
        if self.case.kind == "since":
            is_red = is_red and number <= self.culprit
        elif self.case.kind == "until":
            is_red = is_red or number <= self.culprit
        return SandboxResult(exit_code=int(is_red), output=b"", seconds=0.1)


def _commit(number: int, sha: str, parents: tuple[str, ...]) -> Commit:
    return Commit(
        sha=sha, parents=parents, author="Ada", email="ada@example.org", committed_at=NOON - timedelta(hours=number),
        subject=f"Change {number}",
    )  # fmt: skip


def _suspect(sha: str, score: float) -> Suspect:
    return Suspect(commit=sha, author="Ada", committed_at=NOON, subject="Change", score=score, reasons=("why",))


async def search(case: FlakyCase) -> tuple[bool, bool, int]:
    """Return whether an innocent commit was blamed, whether the right one was, and how many runs it took."""
    world = _World(case)
    service = Service(name="shop", repository="file:///shop", checks={"tests": ("t", "test_shop.py")})
    playbook = Playbook(name="p", title="P", when={"a": "b"}, reproduce=Reproduce.CHECK)
    job = Job(
        run="I:1", incident="I", service=service, playbook=playbook, title="T", alert_started_at=NOON, now=NOON,
        folder="/nowhere", labels={"check": "tests"},
    )  # fmt: skip
    as_it_is: Callable[[str], str] = str
    tools = Tools(
        log_source=None, workspaces=None, sandbox=world, redact=as_it_is, redact_lines=list, prepare_toolchain=None,
    )  # fmt: skip
    bench = Bench(tools=tools, service=service, checkout=world, playbook=playbook)
    confirmed: Confirmed
    confirmed, _ = await confirm(
        bench, job=job, requests=(), suspects=world.suspects, commits=world.commits, has_time=lambda: True
    )
    truth = "" if case.kind == "always" else world.commits[world.culprit].sha
    return confirmed.culprit not in {None, truth}, confirmed.culprit == truth, world.runs


async def share_misblamed(rate: float, *, cases: int, test: str = OPEN_TEST) -> float:
    """Return how many of a hundred cases of every kind blame an innocent commit."""
    made = [FlakyCase(kind=kind, rate=rate, number=number, test=test) for kind in KINDS for number in range(cases)]
    return 100 * sum([(await search(case))[0] for case in made]) / len(made)
