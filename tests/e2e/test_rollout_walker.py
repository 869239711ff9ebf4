"""R2 with a forge and a CI that has to be told: kill -9 at every point, and there is one run, one change, one merge."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.test_kill_walker import CULPRIT, check_trail, ids, is_of_rollout
from tests.e2e.walk import Ground, Person, Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.playbooks.world import run_git

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
        shutil.copytree(ground.repository.folder, tmp_path / "shop.git")
        shutil.copy(ground.log, tmp_path / "app.log")
        tables = f'[connections.hosted]\nfolder = "{tmp_path / "hosted"}"\nloses = {loses}\n'
        walk = Walk(
            folder=tmp_path,
            service=shop_service(tmp_path),
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


@pytest.mark.parametrize("point", [p for p in read_fault_points() if is_of_rollout(p)], ids=ids)
async def test_a_kill_on_the_way_to_the_deployment_loses_nothing_and_doubles_nothing(point, make_walk):
    walk = make_walk(loses=1 if point.name == "ci.dispatch.unanswered" else 0)
    await walk.run(point.name)
    assert walk.starts == 2, f"{point.name} was never reached"
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
    assert walk.repeated_posts("console") <= 1
    check_trail(walk)
