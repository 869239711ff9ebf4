"""From Approve to green over GitHub, with the real bot, real git over smart HTTP and a forge in the test's hands."""

import asyncio

import pytest

from tests.e2e.hub import Hub, Way, open_hub
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


async def test_whatever_github_loses_there_are_never_two_runs_and_never_none(tmp_path):
    way = Way(trigger="dispatch", connection="answer_seconds = 0.8")
    async with open_hub(tmp_path, way, patches=13, dispatch_seconds=3) as hub:
        hub.at_once = 5
        trouble(hub)
        await hub.run(seconds=150)
        await asyncio.to_thread(hub.check)
        lost = [asked for asked in hub.forge.asked if asked.status == 0]
        assert len(lost) > len(hub.forge.asked) / 10


def points_on_the_way() -> list[str]:
    return [point.name for point in read_fault_points() if point.name.startswith(WAY_TO_THE_VERDICT)]


@pytest.mark.parametrize("half", [0, 1])
async def test_a_kill_at_any_point_between_the_press_and_the_verdict_loses_nothing_and_doubles_nothing(half, tmp_path):
    points = points_on_the_way()[half::2]
    async with open_hub(tmp_path, Way(trigger="dispatch"), patches=len(points) + 1) as hub:
        if "ci.dispatch.unanswered" in points:
            points.sort(key=lambda name: name != "ci.dispatch.unanswered")
            hub.forge.faults.answers.append(Answer(status=500, path=".*/dispatches"))
        await hub.run(points, seconds=120)
        await asyncio.to_thread(hub.check)
        assert hub.deaths == len(points)
