"""R2 with a forge and a CI that has to be told: kill -9 at every point, and there is one run, one change, one merge."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.test_kill_walker import CULPRIT, check_trail, is_of_rollout, kill_at_each
from tests.e2e.walk import Ground, Person, Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.playbooks.world import run_git

UNANSWERED = "ci.dispatch.unanswered"
STAGES = ("phase.propose.before", "change.propose", "change.recorded", "phase.propose.after", "ci.dispatch",
          "phase.merge.before", "merge", "phase.merge.after", "phase.deploy.before", "deploy.dispatch",
          "deploy.recorded", "phase.deploy.after", "phase.deployed.before", "deploy.ended", "phase.deployed.after",
          "phase.watch")  # fmt: skip
"""The order in which an incident passes the points, as far as there is one."""
HOSTED = Path(__file__).parent / "hosted"
SERVICE = """
ci = "hosted"
forge = "hosted"
trigger = "dispatch"
ci_job = "checks"
merge = "green"
deploy_job = "ship"
watch_minutes = 0.01
"""


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)


@pytest.fixture
def make_walk(ground, tmp_path):
    walks = []

    def make(loses: int) -> Walk:
        folder = tmp_path / str(len(walks))
        folder.mkdir()
        shutil.copytree(ground.repository.folder, folder / "shop.git")
        shutil.copy(ground.log, folder / "app.log")
        tables = f'[connections.hosted]\nfolder = "{folder / "hosted"}"\nloses = {loses}\n'
        walk = Walk(
            folder=folder,
            service=shop_service(folder),
            service_lines=SERVICE,
            tables=tables,
            python_path=(str(HOSTED),),
            also=answer_questions,
            is_over=has_been_taken_back,
        )
        walks.append(walk)
        return walk

    yield make
    for walk in walks:
        walk.stop()


def read_book(walk: Walk) -> dict:
    return json.loads((walk.folder / "hosted" / "book.json").read_text())


async def answer_questions(person: Person, _incident: dict) -> bool:
    """Look at CI, as the question asks, and say what is there; take the patch back once the alert did not clear."""
    walk = person._walk
    asked = walk.query("SELECT json_extract(data, '$.key') FROM timeline WHERE kind = 'order_unanswered'")
    decided = walk.query("SELECT json_extract(data, '$.key') FROM timeline WHERE kind IN ('order_again', 'order_look')")
    for (key,) in [row for row in asked if row not in decided]:
        runs = [run["key"] for run in read_book(walk)["runs"]]
        await person.press("It runs" if key in runs else "Start it again")
        return True
    if await person.happened("watch_failed", 1) and not await person.happened("revert_asked", 1):
        await person.press("Revert it")
        return True
    return False


async def has_been_taken_back(person: Person) -> bool:
    return await person.happened("patch_ready", 2)


def sort_by_time(names: Sequence[str]) -> list[str]:
    def when(name: str) -> int:
        return next((number for number, stage in enumerate(STAGES) if name.startswith(stage)), len(STAGES))

    return sorted(names, key=when)


async def test_kills_on_the_way_to_the_deployment_lose_nothing_and_double_nothing(make_walk):
    """As in test_kill_walker: one walk dies at one point after another."""
    names = [point.name for point in read_fault_points() if is_of_rollout(point) and point.name != UNANSWERED]
    await kill_at_each(sort_by_time(names), lambda: make_walk(loses=0), check_outcome)


async def test_a_kill_before_a_person_is_asked_about_a_lost_order_loses_nothing(make_walk):
    walk = make_walk(loses=1)
    assert not await walk.run(UNANSWERED)
    await asyncio.to_thread(check_outcome, walk)


def check_outcome(walk: Walk) -> None:
    assert walk.query("SELECT state FROM incident") == [("resolved",)]
    book = read_book(walk)
    assert [run["job"] for run in book["runs"]] == ["checks", "ship"], "one CI run, one deployment"
    assert len(book["changes"]) == 1
    (pushed,) = run_git(walk.repository, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").split()
    main = run_git(walk.repository, "rev-parse", "refs/heads/main").strip()
    assert main == pushed, "exactly the green commit was merged"
    assert {run["sha"] for run in book["runs"]} == {pushed.decode()}
    verdicts = walk.query("SELECT COUNT(*) FROM timeline WHERE kind = 'ci_passed'")
    assert verdicts == [(1,)]
    assert walk.repeated_posts("console") <= max(1, walk.starts - 1)
    check_trail(walk)
