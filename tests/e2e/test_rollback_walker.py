"""R2 with a rollback: kill -9 at every point of it, and its job is ordered once and nothing is pushed."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.test_kill_walker import CULPRIT, check_trail, is_of_rollback, kill_at_each
from tests.e2e.walk import Ground, Person, Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.playbooks.world import run_git

STAGES = (
    "phase.release.before", "phase.release.after", "phase.rollback.before", "rollback.dispatch.before",
    "rollback.dispatch.after", "rollback.recorded", "phase.rollback.after",
)  # fmt: skip
"""The order in which a rollback passes the points."""
HOSTED = Path(__file__).parent / "hosted"
SERVICE = """
ci = "hosted"
rollback_job = "back"
watch_minutes = 0.01
"""


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Ground:
    made = make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)
    run_git(made.repository.folder, "tag", "v1.0", "main~2")
    run_git(made.repository.folder, "tag", "v1.1", "main")
    return made


@pytest.fixture
def make_walk(ground, tmp_path):
    walks = []

    def make() -> Walk:
        folder = tmp_path / str(len(walks))
        folder.mkdir()
        shutil.copytree(ground.repository.folder, folder / "shop.git")
        shutil.copy(ground.log, folder / "app.log")
        walk = Walk(
            folder=folder,
            service=shop_service(folder),
            service_lines=SERVICE,
            tables=f'[connections.hosted]\nfolder = "{folder / "hosted"}"\n',
            python_path=(str(HOSTED),),
            may_approve=lambda _: False,
            also=roll_back,
            is_over=has_been_watched,
        )
        walks.append(walk)
        return walk

    yield make
    for walk in walks:
        walk.stop()


def read_runs(walk: Walk) -> list[dict]:
    book = walk.folder / "hosted" / "book.json"
    return json.loads(book.read_text())["runs"] if book.exists() else []


async def roll_back(person: Person, incident: dict) -> bool:
    """Ask for a rollback, let both approve it, and answer the question about its order as CI shows it."""
    walk = person._walk
    asked = walk.query("SELECT COUNT(*) FROM timeline WHERE kind = 'order_unanswered'")
    if asked > walk.query("SELECT COUNT(*) FROM timeline WHERE kind IN ('order_again', 'order_look')"):
        await person.press("It runs" if read_runs(walk) else "Start it again")
        return True
    rollbacks = [approval for approval in incident["approvals"] if approval["subject"] == "rollback"]
    if not rollbacks:
        if not await person.happened("rollback_asked", 1):
            await person.press("Send", text="/patch rollback INC-1")
        return True
    if rollbacks[-1]["state"] == "pending":
        who = "ben" if "ana" in rollbacks[-1]["approved_by"] else "ana"
        await person.press("Send", who, text=f"/patch approve INC-1 {rollbacks[-1]['digest'][:12]}")
        return True
    return False


async def has_been_watched(person: Person) -> bool:
    return await person.happened("watch_failed", 1)


async def test_kills_on_the_way_back_to_a_release_lose_nothing_and_order_nothing_twice(make_walk):
    names = [point.name for point in read_fault_points() if is_of_rollback(point)]
    await kill_at_each(sorted(names, key=STAGES.index), make_walk, check_outcome)


def check_outcome(walk: Walk) -> None:
    assert walk.query("SELECT state FROM incident") == [("resolved",)]
    previous = run_git(walk.repository, "rev-parse", "v1.0").decode().strip()
    assert [(run["job"], run["tag"], run["sha"]) for run in read_runs(walk)] == [("back", "v1.0", previous)]
    assert run_git(walk.repository, "for-each-ref", "refs/heads/nightshift/") == b""
    for kind in ("rollback_ready", "rolled_back", "watch_failed"):
        assert walk.query(f"SELECT COUNT(*) FROM timeline WHERE kind = '{kind}'") == [(1,)]
    assert walk.repeated_posts("console") <= max(1, walk.starts - 1)
    check_trail(walk)
