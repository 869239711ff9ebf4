"""What a proposed patch is told beside the sandbox's verdict: it does not parse, or the linter minds something new."""

import json

import pytest

from bot.agent.inspecting import MAX_UNPARSED, Fault, Inspection, Linted
from bot.agent.tools.patches import tell_verdict
from bot.agent.tools.toolbox import Toolbox
from bot.domain.draft import Patch
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Drafted, Job, Verified
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.ports.sandbox import SandboxJob, SandboxResult
from bot.worker.drafting import Workshop
from bot.worker.linting import lint_patch
from bot.worker.reproduce import Bench
from bot.worker.revert import verify_patch
from bot.worker.tools import Tools
from bot.worker.trial import Trial
from tests.agent_world import NOON, AgentWorld, ScriptedModel, propose, say

BASE, TREE = "b" * 40, "t" * 40
PATCH = Patch(text=b"-", files=())
LINT = '[checks.style]\ncommand = ["style"]\nkind = "lint"\n'
FAULT = Fault(path="shop/coupons.py", line=5, code="    return (", why="')' is missing")


class Checkout:
    def __init__(self, text: str) -> None:
        self.text = text

    async def archive(self, at):
        return at.encode()

    async def patched_tree(self, base, patch):
        return TREE

    async def read(self, commit, path):
        return self.text.encode()


class Sandbox:
    """Says what it is told to, by the first letter of the tree and the command; green and silent elsewhere."""

    rung = "fake"

    def __init__(self, said) -> None:
        self.said = said
        self.ran: list[str] = []

    async def run(self, job: SandboxJob) -> SandboxResult:
        name = f"{job.tree.decode()[0]}_{job.argv[0]}"
        self.ran.append(name)
        exit_code, output = self.said.get(name, (0, ""))
        return SandboxResult(exit_code=exit_code, output=output.encode(), seconds=0.1)


def make_bench(text: str = LINT, **said):
    async def prepare(service, folder):
        return None

    tools = Tools(
        log_source=None, workspaces=None, sandbox=Sandbox(said), redact=lambda text: text, redact_lines=list,
        prepare_toolchain=prepare,
    )  # fmt: skip
    service = Service(name="shop", repository="file:///shop", checks={"tests": ("tests",)})
    playbook = Playbook(name="p", title="P", when={"a": "b"}, seconds=60)
    return Bench(tools=tools, service=service, checkout=Checkout(text), playbook=playbook)


async def test_only_what_the_patch_brings_in_is_told():
    bench = make_bench(b_style=(1, "a.py:1:1: old\n"), t_style=(1, "a.py:2:1: old\na.py:9:1: new\n"))
    assert await lint_patch(bench, BASE, PATCH) == Linted(findings=("a.py:9:1: new",))


async def test_a_green_linter_says_nothing_and_the_tree_without_the_patch_is_not_asked():
    bench = make_bench()
    assert await lint_patch(bench, BASE, PATCH) == Linted()
    assert bench.tools.sandbox.ran == ["t_style"]


async def test_the_verdict_runs_no_linter_again():
    bench = make_bench(t_style=(1, "a.py:9:1: new\n"))
    await lint_patch(bench, BASE, PATCH)
    drafted = Drafted(base=BASE, patch=b"-", title="T", culprit=None)
    await verify_patch(bench, drafted, Trial(check="tests"))
    assert sorted(bench.tools.sandbox.ran) == ["b_style", "b_tests", "t_style", "t_tests"]


async def test_a_repository_without_a_linter_is_not_linted():
    bench = make_bench("")
    assert await lint_patch(bench, BASE, PATCH) == Linted()
    assert bench.tools.sandbox.ran == []


async def test_a_linter_that_cannot_be_run_is_said_so():
    bench = make_bench(t_style=(None, ""))
    assert (await lint_patch(bench, BASE, PATCH)).note == "style could not be run to its end"


def held(*checks: CheckRun, already_red: tuple[str, ...] = ()) -> Verified:
    tried = CheckRun(name="reproduction", at="patched", verdict=Check.GREEN, seconds=0.1)
    return Verified(before=Check.RED, after=Check.GREEN, runs=(tried, *checks), already_red=already_red)


def red(name: str, kind: str, *, required: bool) -> CheckRun:
    output = f"what {name} says"
    return CheckRun(
        name=name, at="patched", verdict=Check.RED, seconds=0.1, output=output, kind=kind, required=required
    )


@pytest.mark.parametrize("required", [True, False])
def test_a_check_that_is_red_without_the_patch_too_is_not_blamed_on_it(required):
    told = tell_verdict(held(red("style", "lint", required=required), already_red=("style",)))
    assert told.startswith("VERIFIED: the failing request succeeds with this patch and no check turns red.")
    assert told.endswith("style is red without the patch too and does not count.")
    told = tell_verdict(held(red("tests", "test", required=required), already_red=("tests",)))
    assert told.endswith("tests is red without the patch too and does not count.\nwhat tests says")


def test_a_check_that_the_patch_turns_red_and_that_does_not_count_is_not_passed_over():
    told = tell_verdict(held(red("style", "lint", required=False)))
    assert told.startswith("VERIFIED: the failing request succeeds with this patch and no required check turns red.")
    assert "style FAILS at patched (0.1 s)\nwhat style says" in told


async def test_what_does_not_parse_is_answered_with_its_line_and_not_tried():
    world = AgentWorld(
        model=ScriptedModel(script=[say("", propose()), *[say("No.")] * 2]),
        inspection=Inspection(faults=(FAULT,), is_refused=True),
    )
    state = await world.run()
    assert "shop/coupons.py:5: ')' is missing: return (" in world.answers()[0]
    assert world.judged == []
    assert state.proposals == (), "it is no repair"


async def test_what_parses_is_tried_and_the_findings_stand_under_the_verdict():
    world = AgentWorld(
        model=ScriptedModel(script=[]),
        inspection=Inspection(unparsed=("a.erb",)),
        linted=Linted(findings=("shop/coupons.py:5: F821",)),
    )
    name, given = propose()
    result = await Toolbox(world.hands()).call(name, json.dumps(given), (), room=9_000)
    assert result.text.startswith("VERIFIED")
    assert "for want of a grammar: a.erb." in result.text
    assert "New with this patch, by the linter:\nshop/coupons.py:5: F821" in result.text
    assert result.proposal is not None


async def test_edits_that_do_not_parse_go_back_a_few_times_and_then_the_sandbox_decides():
    bench = make_bench()
    job = Job(
        run="INC-1:1", incident="INC-1", service=bench.service, playbook=bench.playbook, title="T",
        alert_started_at=NOON, now=NOON, folder="/nowhere",
    )  # fmt: skip
    workshop = Workshop(job, bench.tools, Checkout(""), head=BASE, ask=None, has_people=False)
    edited = {"a.py": (b"x = 1\n", b"x = (\n")}
    seen = [await workshop.hands.inspect(edited) for _ in range(MAX_UNPARSED + 1)]
    assert [each.is_refused for each in seen] == [True] * MAX_UNPARSED + [False]
    assert all(each.faults for each in seen)
    assert not (await workshop.hands.inspect({"a.py": (b"", b"x = 1\n")})).is_refused
