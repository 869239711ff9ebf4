"""A check in the sandbox at commits older than its test, and what it called there."""

import io
import tarfile

import pytest

from bot.domain.checks.reproduction import Reproduce
from bot.domain.evidence import Check
from bot.domain.investigation import Drafted
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.worker.overlay import lay_over, read_members
from bot.worker.reproduce import Bench
from bot.worker.revert import verify_patch
from bot.worker.tools import Tools
from bot.worker.trial import Trial
from connectors.sandboxes.bubblewrap import Bubblewrap

TEST = """import unittest

from shop import total


class TotalTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total(2), 4)
"""
GOOD = "def total(x):\n    return double(x)\n\n\ndef double(x):\n    return 2 * x\n\n\ndef other():\n    return 1\n"
BAD = GOOD.replace("2 * x", "3 * x")
OTHER = """import unittest

from shop import other


class O(unittest.TestCase):
    def test_other(self):
        self.assertEqual(other(), 1)
"""


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Checkout:
    def __init__(self, **trees):
        self._trees = trees

    async def archive(self, at):
        return pack(self._trees[at])

    async def read(self, commit, path):
        return None

    async def patched_tree(self, base, patch):
        return "patched"


def make_bench(checks, **trees):
    tools = Tools(
        log_source=None, workspaces=None, sandbox=Bubblewrap(), redact=lambda text: text, redact_lines=list,
        prepare_toolchain=None,
    )  # fmt: skip
    service = Service(name="shop", repository="file:///shop", checks=checks)
    playbook = Playbook(name="p", title="P", when={"a": "b"}, reproduce=Reproduce.CHECK, tries=2)
    bench = Bench(tools=tools, service=service, checkout=Checkout(**trees), playbook=playbook)
    bench.head = "head"
    return bench


ONE = ("python3", "-m", "unittest", "test_total.TotalTest.test_total")
ALL = ("python3", "-m", "unittest", "-v")


async def test_a_test_that_is_newer_than_a_commit_is_laid_over_it():
    bench = make_bench({"run": ONE}, head={"shop.py": BAD, "test_total.py": TEST}, old={"shop.py": GOOD})
    assert (await bench.run(Trial(check="run"), "head")).verdict is Check.RED
    assert (await bench.run(Trial(check="run"), "old")).verdict is Check.GREEN


async def test_what_the_check_called_is_known_and_not_in_its_output():
    bench = make_bench({"run": ONE}, head={"shop.py": BAD, "test_total.py": TEST})
    run = await bench.run(Trial(check="run"), "head")
    assert bench.seen["run"].executed["shop.py"] >= {"total", "double"}
    assert "other" not in bench.seen["run"].executed["shop.py"]
    assert "nightshift-executed" not in run.output + bench.outputs["run", "head"]
    assert run.failing == ("test_total.TotalTest.test_total",)


@pytest.mark.parametrize(("other", "newly"), [("return 1", ()), ("return 2", ("test_other.O.test_other",))])
async def test_tests_that_a_patch_breaks_anew_are_told_from_those_that_were_red(other, newly):
    red = {"test_old.py": TEST.replace("4", "5"), "test_total.py": TEST, "test_other.py": OTHER}
    bench = make_bench(
        {"run": ONE, "suite": ALL},
        head={"shop.py": BAD, **red},
        patched={"shop.py": GOOD.replace("return 1", other), **red},
    )
    drafted = Drafted(base="head", patch=b"x", title="Revert", culprit="c")
    verified = await verify_patch(bench, drafted, Trial(check="run"))
    assert (verified.before, verified.after) == (Check.RED, Check.GREEN)
    assert verified.newly_failing == newly
    assert verified.already_red == (() if newly else ("suite",))
    assert verified.is_verified is not bool(newly)


def test_laying_files_over_an_archive_replaces_and_adds():
    archive = lay_over(pack({"a.py": "old", "b.py": "kept"}), {"a.py": b"new", "c/d.py": b"more"})
    names = frozenset({"a.py", "b.py", "c/d.py", "missing"})
    assert read_members(archive, names) == {"a.py": b"new", "b.py": b"kept", "c/d.py": b"more"}


ELSEWHERE = GOOD.replace("return 1", "return 2")


@pytest.mark.parametrize(
    ("command", "older", "verdict"),
    [
        (ALL, {"shop.py": ELSEWHERE, "test_total.py": TEST}, Check.GREEN),
        ((*ALL, "-f"), {"shop.py": ELSEWHERE, "test_total.py": TEST}, Check.UNKNOWN),
        (ALL, {"shop.py": ELSEWHERE}, Check.UNKNOWN),
        (ALL, {"shop.py": ELSEWHERE.replace("2 * x", "3 * x"), "test_total.py": TEST}, Check.RED),
    ],
)
async def test_where_only_other_tests_fail_at_an_older_commit_what_is_sought_passes_there(command, older, verdict):
    head = {"shop.py": BAD, "test_total.py": TEST, "test_other.py": OTHER}
    bench = make_bench({"run": command}, head=head, old={**older, "test_other.py": OTHER})
    bench.older = frozenset({"old"})
    assert (await bench.run(Trial(check="run"), "head")).verdict is Check.RED
    assert (await bench.run(Trial(check="run"), "old")).verdict is verdict
    assert (await bench.again(Trial(check="run"), "old")).verdict is verdict
