"""A real Buildbot builds what a person approved: one press, one build, one verdict."""

import asyncio
import contextlib
import json
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from bot.demo.browser import PageError
from bot.domain.patches.patch import parse_patch
from tests.contract.buildbot_master import serve
from tests.e2e.kill_lane import Lane
from tests.e2e.walk import HANGS, LOOK, new_session
from tests.patches.repository import BareRepository
from tests.playbooks.world import run_git

SERVICE = 'ci = "buildbot"\ntrigger = "dispatch"\nci_job = "nightshift"\n'
SCRIPT = b"echo checking\ntest ! -e notes/1.md\n"
"""The second patch breaks it."""


@pytest.fixture
def lane(tmp_path):
    lane = Lane(folder=tmp_path / "bot", kills=0, seed="0", seconds=0)
    folder = lane.walk.repository
    far = BareRepository(tmp_path / "other.git")
    far.commit({b"app.py": ("100644", b"x = 1\n"), b"check.sh": ("100644", SCRIPT)})
    run_git(folder, "fetch", "-q", "--force", str(far.folder), "+main:main")
    lane.base = run_git(folder, "rev-parse", "main").decode().strip()
    yield lane
    lane.walk.stop()


def builds(url: str) -> list[tuple[str, int]]:
    """Return (commit, result) of every build there was."""
    with urllib.request.urlopen(f"{url}/api/v2/buildsets", timeout=10) as told:
        sets = json.load(told)["buildsets"]
    return [(one["sourcestamps"][0]["revision"], one["results"]) for one in sets]


async def approve_all(lane: Lane, master: Path, seconds: float = HANGS) -> None:
    """Press one after the other; where it takes too long, say what the master says."""
    deadline = time.monotonic() + seconds
    async with new_session() as session:
        await lane.walk.wait_ready(session)
        browser = await lane.sign_in(session)
        while {"pending", "approved"} & set((states := lane.states()).values()):
            is_late = time.monotonic() > deadline
            assert not is_late, f"{states}\n{lane.walk.tail()}\n{master.read_text(errors='replace')[-3000:]}"
            waiting = (
                [] if "approved" in states.values() else [name for name, one in states.items() if one == "pending"]
            )
            for incident in waiting[:1]:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, PageError):
                    if button := await browser.find(f"/incidents/{incident}", "Approve"):
                        await browser.press(button)
            await asyncio.sleep(LOOK)


async def test_a_press_is_one_build_of_the_approved_bytes_and_one_verdict(lane, tmp_path):
    folder: Path = lane.walk.repository
    with serve(tmp_path, str(folder)) as url:
        tables = f'[connections.buildbot]\nurl = "{url}"\n'
        lane.walk = replace(lane.walk, service_lines=SERVICE, tables=tables, dispatch_seconds=5)
        await asyncio.to_thread(lane.write_incidents, 2)
        lane.walk.start()
        await approve_all(lane, tmp_path / "master" / "twistd.log")
        pushed = run_git(folder, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").decode().split()
        built = builds(url)
    assert lane.states() == {"INC-1": "executed", "INC-2": "failed"}
    assert sorted(sha for sha, _ in built) == sorted(pushed), "one build for each press"
    for patch, body in lane.walk.query("SELECT patch, body FROM draft"):
        assert f'"{lane.base}"' in body
        diffs = [parse_patch(run_git(folder, "diff", "--full-index", lane.base, sha)).text for sha in pushed]
        assert diffs.count(patch) == 1
    told = lane.walk.query("SELECT incident, kind FROM timeline WHERE kind IN ('ci_passed', 'ci_failed')")
    assert sorted(told) == [("INC-1", "ci_passed"), ("INC-2", "ci_failed")]
