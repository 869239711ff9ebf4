"""Bubblewrap, under the user who runs the tests and under a plain user."""

import asyncio
import os
import signal
import sys
import time

import pytest

from bot.errors import Rejected, Unavailable
from bot.ports.sandbox import SandboxJob
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.sandboxes.toolchain import prepare_toolchain
from tests.contract.sandbox_suite import SandboxContract, find_marked
from tests.contract.sandbox_users import DRIVER, report_as_plain_user, skip_without_user_namespaces

NAME = "connectors.sandboxes.bubblewrap:Bubblewrap"


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def sandbox(self):
        return Bubblewrap()


def test_every_probe_holds_for_a_plain_user_too():
    skip_without_user_namespaces()
    report = report_as_plain_user(NAME)
    assert report["user"] == 65534
    assert report["open"] == []
    assert report["probes"] >= 35
    assert report["tree"] == [0, "works\n"]


async def test_an_empty_job_costs_little():
    seconds = []
    for _ in range(20):
        started = time.monotonic()
        await Bubblewrap().run(SandboxJob(argv=("/bin/true",)))
        seconds.append(time.monotonic() - started)
    # The promise is 60 ms on a quiet machine; the best of twenty with some room is what a busy one can be held to.
    assert min(seconds) < 0.12


async def test_environment_made_by_the_setup_command_works_inside(tmp_path):
    script = (
        'python3 -m venv --without-pip "$NIGHTSHIFT_TOOLCHAIN"; cd "$NIGHTSHIFT_TOOLCHAIN"; '
        "echo 'def say(): print(42)' > \"$(echo lib/python3*/site-packages)/tool.py\"; "
        'printf "#!$NIGHTSHIFT_TOOLCHAIN/bin/python3\nimport tool; tool.say()\n" > bin/tool; chmod +x bin/tool'
    )
    chain = await prepare_toolchain(("sh", "-c", script), tmp_path, "shop")
    for argv in (("tool",), ("python", "-c", "import tool; tool.say()")):
        result = await Bubblewrap().run(SandboxJob(argv=argv, toolchain=chain))
        assert (result.exit_code, result.output) == (0, b"42\n")


async def test_killing_nightshift_ends_the_job():
    mark = f"nightshift-orphan-{os.getpid()}"
    driver = await asyncio.create_subprocess_exec(sys.executable, "-I", DRIVER, NAME, "hang", mark)
    # The driver itself, bubblewrap twice, and the job.
    while len(find_marked(mark)) < 2:
        await asyncio.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    await driver.wait()
    for _ in range(100):
        if not find_marked(mark):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"still there: {find_marked(mark)}")


async def test_missing_bubblewrap_says_what_to_install():
    with pytest.raises(Unavailable, match="install the package bubblewrap"):
        await Bubblewrap(program="no-such-bwrap").run(SandboxJob(argv=("true",)))


async def test_bubblewrap_that_cannot_start_is_told_in_its_own_words(tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied'; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(Unavailable, match="setting up uid map: Permission denied"):
        await Bubblewrap(program=str(broken)).run(SandboxJob(argv=("true",)))


@pytest.mark.parametrize(
    "job",
    [
        SandboxJob(argv=()),
        SandboxJob(argv=("a\0b",)),
        SandboxJob(argv=("true",), files={"../x": b""}),
        SandboxJob(argv=("true",), env={"A=B": "x"}),
        SandboxJob(argv=("true",), tree=b"no archive"),
    ],
    ids=["no command", "NUL", "file name", "variable", "tree"],
)
async def test_job_that_makes_no_sense_is_refused(job):
    with pytest.raises(Rejected):
        await Bubblewrap().run(job)
