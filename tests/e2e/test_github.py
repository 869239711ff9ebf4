"""From Approve to green over GitHub, with the real bot, real git over smart HTTP and a forge in the test's hands."""

import asyncio
import shutil

import pytest

from tests.e2e.hub import Hub, Way, check_change, check_secrecy, go_over, open_hub, serve_hub
from tests.e2e.test_kill_walker import CULPRIT, check_trail
from tests.e2e.walk import Person, Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.forge.faults import Answer

MERGING = 'merge = "green"\ndeploy_job = "ship.yml"\nwatch_minutes = 600\n'
WAY_TO_THE_VERDICT = (
    "phase.execute.",
    "push.",
    "phase.propose.",
    "change.",
    "ci.dispatch.",
    "ci.started",
    "phase.follow.",
    "ci.verdict.",
)


async def has_change_and_verdict(person: Person) -> bool:
    return await person.happened("proposed", 1) and await person.happened("ci_passed", 1)


async def test_an_alert_goes_all_the_way_to_a_pull_request_that_reverts_what_broke_it(tmp_path):
    ground = make_ground(tmp_path / "ground", CULPRIT)
    shutil.copy(ground.log, tmp_path / "app.log")
    way = Way(trigger="pull_request", hooked=True)
    async with serve_hub(tmp_path / "hub", way, ground.repository.folder) as (forge, shop):
        walk = Walk(folder=tmp_path, service=shop_service(tmp_path), is_over=has_change_and_verdict)
        walk = go_over(forge, shop, way, walk)
        try:
            await walk.run()
        finally:
            walk.stop()
        assert walk.query("SELECT state FROM incident") == [("resolved",)]
        ((branch, sha),) = [(name, head) for name, head in shop.origin.branches().items() if name != "main"]
        await asyncio.to_thread(check_change, walk, shop, branch, sha)
        assert [(run.sha, run.event) for run in forge.runner.runs] == [(sha, "pull_request")]
        (pull,) = shop.pulls
        assert CULPRIT.subject in pull.title
        assert "tests" in pull.body, "what was verified is told"
        await asyncio.to_thread(check_trail, walk)
        await asyncio.to_thread(check_secrecy, walk, forge)


@pytest.mark.parametrize(
    "way",
    [
        Way(trigger="push"),
        Way(trigger="pull_request", hooked=True),
        Way(trigger="dispatch", hooked=True, service=MERGING),
    ],
    ids=["push, polled", "pull request, told by webhooks", "dispatch, told by webhooks, merged and deployed"],
)
async def test_an_approval_is_one_commit_one_change_one_run_and_one_verdict(way, tmp_path):
    async with open_hub(tmp_path, way, patches=1 if way.service else 2, dispatch_seconds=5) as hub:
        base = hub.shop.head("main")
        await hub.run()
        await asyncio.to_thread(hub.check)
        if way.service != MERGING:
            assert hub.shop.head("main") == base, "nothing is merged where the policy does not say so"
            return
        (pull,) = hub.shop.pulls
        assert hub.shop.head("main") == pull.merged_sha
        (ship,) = [run for run in hub.forge.runner.runs if run.workflow.file == "ship.yml"]
        assert ship.sha == pull.merged_sha, "what was merged is deployed, once"


def trouble(hub: Hub) -> None:
    """A fifth of the calls are carried out and never answered, listings lag, and GitHub fails or asks for a pause."""
    faults = hub.forge.faults
    faults.lose, faults.hang_seconds, faults.lag = 0.2, 1.0, 1.0
    limit = '{"message": "You have exceeded a secondary rate limit."}'
    faults.answers += [
        Answer(status=429, path=".*/check-runs", headers={"Retry-After": "1"}),
        Answer(status=403, path=".*/actions/runs", headers={"Retry-After": "1"}, body=limit),
        Answer(status=502, path=".*/dispatches", after=True),
        Answer(status=500, path=".*/dispatches"),
        Answer(status=502, path=".*/pulls", method="POST", after=True),
        Answer(status=500, path=".*/status"),
    ]


@pytest.mark.parametrize("patches", [3, pytest.param(12, marks=pytest.mark.long)])
async def test_whatever_github_loses_there_are_never_two_runs_and_never_none(patches, tmp_path):
    way = Way(trigger="dispatch", connection="answer_seconds = 0.8")
    async with open_hub(tmp_path, way, patches=patches, dispatch_seconds=3) as hub:
        hub.at_once = 5
        trouble(hub)
        await hub.run()
        await asyncio.to_thread(hub.check)
        lost = [asked for asked in hub.forge.asked if asked.status == 0]
        assert len(lost) > len(hub.forge.asked) / 10


def points_on_the_way() -> list[str]:
    return [point.name for point in read_fault_points() if point.name.startswith(WAY_TO_THE_VERDICT)]


@pytest.mark.long
@pytest.mark.parametrize("half", [0, 1])
async def test_a_kill_at_any_point_between_the_press_and_the_verdict_loses_nothing_and_doubles_nothing(half, tmp_path):
    points = points_on_the_way()[half::2]
    async with open_hub(tmp_path, Way(trigger="dispatch"), patches=len(points) + 1) as hub:
        if "ci.dispatch.unanswered" in points:
            points.sort(key=lambda name: name != "ci.dispatch.unanswered")
            hub.forge.faults.answers.append(Answer(status=500, path=".*/dispatches"))
        await hub.run(points)
        await asyncio.to_thread(hub.check)
        assert hub.deaths == len(points)
