"""After the merge: the deployment is ordered once, the alert watched, and one press drafts a revert."""

import pytest

from bot.domain.change import MergeRule
from bot.domain.ci import CIState
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


def kinds(night: RolloutWorld) -> list[str]:
    with night.world.unit() as work:
        told = [event.kind for event in work.timeline.of("INC-1")]
    return [kind for kind in told if kind in ("deployed", "deploy_failed", "deploy_unknown")]


class TestFollowing:
    async def test_the_watch_begins_when_the_deployment_has_ended_well(self, night):
        await deployed(night)
        assert kinds(night) == ["deployed"]
        ((watch,), ended) = night.world.phases.of("watch"), night.world.clock.now()
        assert (watch.due - ended).total_seconds() == 600
        assert "Deployed eeeeeeeeeeee" in night.world.say("/patch show INC-1").text

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            (CIState.FAILED, "Merged, but the deployment failed at push the image"),
            (CIState.CANCELLED, "Merged, but the deployment was cancelled"),
        ],
    )
    async def test_a_deployment_that_failed_rings_and_no_alert_is_watched(self, night, state, words):
        night.ci.order_verdict = state
        await deployed(night)
        assert kinds(night) == ["deploy_failed"]
        assert not night.world.phases.of("watch")
        (told,) = night.shown("notice")
        assert (told.headline, told.rings) == (words, ("ada",))

    async def test_where_ci_does_not_show_the_run_the_alert_alone_is_watched(self, night):
        night.ci.hides_orders = True
        await deployed(night)
        assert kinds(night) == ["deploy_unknown"]
        assert len(night.world.phases.of("watch")) == 1
        assert not night.world.promised("notice")

    async def test_a_run_that_shows_late_and_a_ci_that_is_silent_are_waited_for(self, night):
        night.ci.lag, night.ci.takes = 40, 3000
        night.on_point["deploy.recorded"] = lambda: setattr(night.ci, "down", 5)
        await deployed(night)
        assert kinds(night) == ["deployed"]

    @pytest.mark.parametrize("point", ["deploy.recorded", "deploy.ended"])
    async def test_a_kill_on_the_way_tells_the_end_once(self, night, point):
        night.ci.order_verdict = CIState.FAILED
        night.kill_at(point)
        await deployed(night)
        assert point in night.points
        assert kinds(night) == ["deploy_failed"]
        assert len(night.world.promised("notice")) == 1


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
