"""After the merge: the deployment is ordered once, the alert watched, and one press drafts a revert."""

import pytest

from bot.domain.change import MergeRule
from tests.rollout_world import RolloutWorld
from tests.worldkit import alert, group

MERGED = "e" * 40


@pytest.fixture
def night(tmp_path, monkeypatch) -> RolloutWorld:
    return RolloutWorld(tmp_path, monkeypatch, forge="hub", merge=MergeRule.GREEN, deploy_job="deploy.yml")


async def deployed(night: RolloutWorld) -> str:
    digest = night.approve()
    await night.play()
    return digest


async def watched(night: RolloutWorld) -> str:
    digest = await deployed(night)
    night.world.clock.advance(minutes=10)
    await night.play()
    return digest


class TestOrdering:
    async def test_the_merged_commit_is_deployed_once_under_a_key_of_its_own(self, night):
        digest = await deployed(night)
        assert night.ci.jobs == [("deploy.yml", MERGED)]
        assert night.ci.sent == [f"nightshift-INC-1-{digest[:12]}-deploy"]

    async def test_without_an_answer_a_person_is_asked_and_nothing_is_sent_again(self, night):
        night.ci.answers = ["late"]
        await deployed(night)
        assert len(night.ci.sent) == 1
        assert night.labels("notice") == ["It runs", "Start it again"]

    async def test_what_surely_did_not_leave_is_sent_later_and_nobody_is_asked(self, night):
        night.ci.answers = ["not sent", "not sent", "ok"]
        await deployed(night)
        assert night.ci.jobs == [("deploy.yml", MERGED)]
        assert not night.world.promised("notice")

    async def test_a_person_who_says_it_runs_starts_the_watch(self, night):
        night.ci.answers = ["late"]
        await deployed(night)
        assert night.press("notice", "It runs").ok
        await night.play()
        assert len(night.ci.sent) == 1
        assert len(night.world.phases.of("watch")) == 1

    async def test_a_person_s_press_orders_it_once_more(self, night):
        night.ci.answers = ["lost"]
        digest = await deployed(night)
        night.press("notice", "Start it again")
        await night.play()
        assert night.ci.sent == [f"nightshift-INC-1-{digest[:12]}-deploy{again}" for again in ("", "-2")]
        assert night.ci.jobs == [("deploy.yml", MERGED)]

    @pytest.mark.parametrize("point", ["deploy.dispatch.before", "deploy.dispatch.after", "deploy.recorded"])
    async def test_a_kill_around_the_order_sends_no_second_one(self, night, point):
        night.kill_at(point)
        await deployed(night)
        assert point in night.points
        assert len(night.ci.sent) == (0 if point == "deploy.dispatch.before" else 1)
        if point == "deploy.recorded":
            assert len(night.world.phases.of("watch")) == 1
        else:
            assert night.labels("notice") == ["It runs", "Start it again"]

    async def test_a_refusal_is_told(self, night):
        night.ci.answers = ["no"]
        await deployed(night)
        (told,) = night.shown("notice")
        assert told.headline == "Merged, but not deployed: no such job"


class TestWatching:
    async def test_an_alert_that_cleared_is_said_quietly(self, night):
        await deployed(night)
        night.world.receive(group(alert(firing=False)))
        night.world.clock.advance(minutes=10)
        await night.play()
        (told,) = night.shown("notice")
        assert told.headline == "The alert has cleared, 10 min after the deployment"
        assert (told.rings, told.buttons) == ((), ())

    async def test_an_alert_that_still_fires_rings_and_offers_the_revert(self, night):
        await watched(night)
        (told,) = night.shown("notice")
        assert told.headline == "The alert still fires, 10 min after the deployment"
        assert told.rings == ("ada",)
        assert night.labels("notice") == ["Revert it"]


class TestTakingBack:
    async def test_one_press_drafts_the_revert_of_what_was_merged(self, night):
        await watched(night)
        revert = night.button("notice", "Revert it")
        reply = night.world.press(revert, "cleo@web")
        assert (reply.ok, reply.text) == (
            True,
            f"The revert of {MERGED[:12]} is being drafted and tested; its card follows.",
        )
        assert "is being drafted already" in night.world.press(revert).text
        assert [each.args["run"] for each in night.world.phases.of("revert")] == ["INC-1:1+revert1"]
        assert night.labels("notice") == [], "it is under way"

    async def test_nothing_is_taken_back_once_the_incident_is_over(self, night):
        await watched(night)
        revert = night.button("notice", "Revert it")
        night.world.press("resolve:INC-1")
        assert "is resolved" in night.world.press(revert).text
        assert not night.world.phases.of("revert")
