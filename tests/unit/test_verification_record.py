"""What verifying a patch records: repeats that tell a flaky check, checks that do not count, and whose they are."""

from collections.abc import Mapping

import pytest

from bot.domain.evidence import Check
from bot.domain.investigation import Drafted, Verified
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.ports.sandbox import SandboxJob, SandboxResult
from bot.worker.reproduce import Bench
from bot.worker.revert import verify_patch
from bot.worker.tools import Tools
from bot.worker.trial import Trial

BASE, TREE = "b" * 40, "t" * 40
DRAFT = Drafted(base=BASE, patch=b"-", title="T", culprit=None)
STYLE = '[checks.style]\ncommand = ["style"]\nkind = "lint"\n'


class Checkout:
    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[tuple[str, str]] = []

    async def archive(self, at):
        return at.encode()

    async def patched_tree(self, base, patch):
        return TREE

    async def read(self, commit, path):
        self.asked.append((commit, path))
        return self.text.encode()


class Sandbox:
    """Answers with the exit codes of a tree and a command, in turn; 0 where none is given."""

    rung = "fake"

    def __init__(self, exits: Mapping[tuple[str, str], list[int]]) -> None:
        self.exits = exits
        self.seconds: list[float] = []

    async def run(self, job: SandboxJob) -> SandboxResult:
        left = self.exits.get((job.tree.decode()[0], job.argv[0]), [])
        self.seconds.append(job.limits.seconds)
        return SandboxResult(exit_code=left.pop(0) if left else 0, output=b"said\n", seconds=0.1)


def make_bench(text: str, exits: Mapping[tuple[str, str], list[int]]) -> Bench:
    tools = Tools(
        log_source=None, workspaces=None, sandbox=Sandbox(exits), redact=lambda text: text, redact_lines=list,
        prepare_toolchain=None,
    )  # fmt: skip
    service = Service(name="shop", repository="file:///shop", checks={"tests": ("tests",)})
    playbook = Playbook(name="p", title="P", when={"a": "b"}, seconds=60)
    return Bench(tools=tools, service=service, checkout=Checkout(text), playbook=playbook)


async def verify(text: str, **exits: list[int]) -> Verified:
    """Verify a patch whose reproduction is the check `tests`; names are `<tree>_<command>`."""
    told = {("t", "tests"): [0], ("b", "tests"): [1]} | {tuple(key.split("_")): list(of) for key, of in exits.items()}
    return await verify_patch(make_bench(text, told), DRAFT, Trial(check="tests"))


async def test_a_red_check_is_repeated_and_called_flaky_where_its_answers_differ():
    verified = await verify(STYLE + "repeat = 3\n", t_style=[1, 0, 1])
    run = verified.runs[1]
    assert (run.name, run.kind, run.verdict) == ("style", "lint", Check.UNKNOWN)
    assert (run.attempts, run.greens, run.is_flaky) == (3, 1, True)
    assert not verified.is_verified
    assert verified.notes == ("not verified: style is flaky, it failed in 2 of 3 runs",)


async def test_a_check_that_is_red_each_time_is_red_and_a_green_one_is_run_once():
    verified = await verify(STYLE + "repeat = 3\n", t_style=[1, 1, 1])
    assert [(run.name, run.verdict, run.attempts, run.greens) for run in verified.runs] == [
        ("tests", Check.GREEN, 1, 1),
        ("style", Check.RED, 3, 0),
    ]
    assert verified.notes == ("the patch turns style red",)
    assert [(run.name, run.verdict) for run in verified.base_runs] == [("style", Check.GREEN), ("tests", Check.RED)]


@pytest.mark.parametrize(("required", "holds"), [("true", False), ("false", True)])
async def test_only_a_required_check_counts(required, holds):
    verified = await verify(STYLE + f"required = {required}\n", t_style=[1])
    assert verified.is_verified is holds
    assert verified.runs[1].exit_code == 1


async def test_the_file_is_read_at_the_base_and_its_time_never_exceeds_the_playbook_s():
    bench = make_bench(STYLE + "timeout_seconds = 7\n[checks.slow]\ncommand = ['slow']\ntimeout_seconds = 3000\n", {})
    await verify_patch(bench, DRAFT, None)
    assert bench.checkout.asked == [(BASE, ".nightshift.toml")]
    assert bench.tools.sandbox.seconds == [60.0, 7.0, 60.0]
