"""After the push: one change on the forge, merged only where the policy says so and CI is green for that commit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.approvals.statement import build_statement, statement_digest
from bot.domain.change import ChangeState, MergeRule
from bot.domain.ci import CIState, Trigger
from bot.services.proposing import find_change
from tests.rollout_world import RolloutWorld


@pytest.fixture
def make_night(tmp_path, monkeypatch):
    def make(merge: MergeRule = MergeRule.NEVER, **service) -> RolloutWorld:
        return RolloutWorld(tmp_path, monkeypatch, forge="hub", merge=merge, **service)

    return make


def change_of(night: RolloutWorld, digest: str):
    with night.world.unit() as work:
        return find_change(work, "INC-1", digest)


class TestProposing:
    async def test_the_pushed_branch_is_proposed_with_what_a_reviewer_must_know(self, make_night):
        night = make_night()
        digest = night.approve()
        await night.play()
        (request,) = night.forge.requests
        assert (request.branch, request.target) == (f"nightshift/INC-1/{digest[:12]}", "main")
        assert request.sha == night.git.pushes[0]
        assert request.title == "Revert the coupon change"
        statement = statement_digest(build_statement(night.world.approval(digest)))
        for words in (
            "INC-1",
            "Verified:",
            "Approved by Ada Lovelace",
            f"Nightshift-Approval: sha256:{statement}",
            digest,
            "https://night.example/incidents/INC-1",
        ):
            assert words in request.body

    async def test_the_change_is_linked_from_card_verdict_and_commands(self, make_night):
        night = make_night()
        night.approve()
        await night.play()
        for what in ("patch", "verdict"):
            links = [block.url for block in night.shown(what)[-1].blocks if hasattr(block, "url")]
            assert "http://forge/12" in links
        assert night.world.say("/patch show INC-1").text.startswith("change 12 open http://forge/12")
        status = night.world.say("/ci status INC-1").text
        assert "passed on cloud, attempt 1 · http://ci/1 · change 12 open http://forge/12" in status

    async def test_a_forge_that_acts_and_does_not_answer_has_one_change(self, make_night):
        night = make_night()
        night.forge.answers = ["late"]
        digest = night.approve()
        await night.play()
        assert len(night.forge.changes) == 1
        assert change_of(night, digest).number == 12

    @pytest.mark.parametrize("point", ["change.propose.before", "change.propose.after", "change.recorded"])
    async def test_a_kill_around_the_proposal_leaves_one_change_told_once(self, make_night, point):
        night = make_night()
        night.approve()
        night.kill_at(point)
        await night.play()
        assert len(night.forge.changes) == 1
        assert len(night.world.texts("proposed")) == 1

    async def test_a_change_is_what_makes_ci_run_where_the_trigger_says_so(self, make_night):
        night = make_night(trigger=Trigger.PULL_REQUEST)
        digest = night.approve()
        await night.play()
        assert len(night.ci.began[night.git.pushes[0]]) == 1
        assert night.world.approval(digest).state is ApprovalState.EXECUTED

    async def test_nothing_is_pushed_to_a_branch_that_the_forge_protects(self, make_night):
        night = make_night()
        night.forge.protected = True
        digest = night.approve()
        await night.play()
        assert not night.git.pushes
        assert night.world.approval(digest).state is ApprovalState.FAILED
        assert "is a protected branch; Nightshift never pushes there" in night.world.texts("push_refused")[0]


class TestMerging:
    async def test_never_merges_and_offers_nothing_by_default(self, make_night):
        night = make_night()
        digest = night.approve()
        await night.play()
        assert not night.forge.merges
        assert not night.labels("verdict")
        refused = night.world.press(f"merge:INC-1:{digest[:12]}")
        assert refused.text == 'Nightshift does not merge here: services.checkout.merge is "never".'

    async def test_green_merges_exactly_the_commit_that_is_green_once(self, make_night):
        night = make_night(MergeRule.GREEN)
        digest = night.approve()
        await night.play()
        assert night.forge.merges == [(12, night.git.pushes[0])]
        assert change_of(night, digest).state is ChangeState.MERGED
        assert night.world.texts("merged") == [f"Merged change 12 as {'e' * 12}"]

    async def test_where_approving_merges_the_card_says_so_and_asks_once_more(self, make_night):
        night = make_night(MergeRule.GREEN)
        night.world.propose()
        (card,) = night.shown("patch")
        approve = next(button for button in card.buttons if button.label == "Approve")
        assert approve.form.fields[0].label == "Once CI is green, it is merged into main."
        assert any("it is merged into main" in getattr(block, "text", "") for block in card.blocks)

    @pytest.mark.parametrize("merge", [MergeRule.NEVER, MergeRule.ASK])
    def test_elsewhere_one_tap_approves(self, make_night, merge):
        night = make_night(merge)
        night.world.propose()
        assert next(b for b in night.shown("patch")[0].buttons if b.label == "Approve").form is None

    @pytest.mark.parametrize("merge", [MergeRule.ASK, MergeRule.GREEN])
    async def test_red_is_never_merged_by_policy_or_press(self, make_night, merge):
        night = make_night(merge)
        night.ci.verdict = CIState.FAILED
        digest = night.approve()
        await night.play()
        assert not night.labels("verdict")
        pressed = night.world.press(f"merge:INC-1:{digest[:12]}")
        assert pressed.text == "CI is not green for this patch; it is not merged."
        await night.play()
        assert not night.forge.merges

    async def test_ask_merges_on_one_approver_s_press_with_a_confirmation(self, make_night):
        night = make_night(MergeRule.ASK)
        night.approve()
        await night.play()
        assert not night.forge.merges
        assert night.shown("verdict")[-1].buttons[0].form.fields[0].label == "Merge change 12 into main?"
        merge = night.button("verdict", "Merge")
        assert not night.world.press(merge, "cleo@web").ok
        assert night.world.press(merge, "ben@web").ok
        assert night.world.press(merge).text == "Change 12 is merged or on its way already."
        assert not night.labels("verdict")
        await night.play()
        assert len(night.forge.merges) == 1

    async def test_everybody_who_merges_at_once_merges_once(self, make_night):
        night = make_night(MergeRule.ASK)
        night.approve()
        await night.play()
        merge = night.button("verdict", "Merge")
        worlds = [night.world.reopen() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda each: each.press(merge, event=f"e-{id(each)}"), worlds))
        assert sum(reply.ok for reply in replies) == 1
        await night.play()
        assert len(night.forge.merges) == 1

    async def test_a_merge_that_is_done_without_an_answer_is_found(self, make_night):
        night = make_night(MergeRule.GREEN)
        night.forge.answers = ["", "late"]
        night.approve()
        await night.play()
        assert len(night.forge.merges) == 1
        assert len(night.world.texts("merged")) == 1

    @pytest.mark.parametrize("point", ["merge.before", "merge.after", "merge.recorded"])
    async def test_a_kill_around_the_merge_merges_once(self, make_night, point):
        night = make_night(MergeRule.GREEN)
        night.approve()
        night.kill_at(point)
        await night.play()
        assert point in night.points
        assert len(night.forge.merges) == 1
        assert len(night.world.texts("merged")) == 1

    @pytest.mark.parametrize(
        ("happens", "why"),
        [
            (lambda night: night.forge.move(sha="9" * 40), "somebody pushed to nightshift/INC-1/"),
            (lambda night: night.forge.move(state=ChangeState.CLOSED), "change 12 was closed"),
            (lambda night: setattr(night.forge, "conflict", "it conflicts with main"), "it conflicts with main"),
            (lambda night: night.forge.changes.clear(), "change 12 is not there any more"),
            (lambda night: setattr(night.ci, "verdict", CIState.FAILED), "CI is not green for"),
        ],
    )
    async def test_what_changed_meanwhile_is_told_in_words_and_nothing_is_forced(self, make_night, happens, why):
        night = make_night(MergeRule.ASK)
        night.approve()
        await night.play()
        happens(night)
        night.press("verdict", "Merge")
        await night.play()
        assert not night.forge.merges
        (told,) = night.shown("notice")
        assert told.headline.startswith(f"Not merged: {why}")
        assert told.rings == ("ada",)

    async def test_a_refused_merge_can_be_tried_again_by_a_person(self, make_night):
        night = make_night(MergeRule.GREEN)
        night.forge.conflict = "it conflicts with main"
        night.approve()
        await night.play()
        assert not night.forge.merges
        night.forge.conflict = ""
        assert night.press("verdict", "Merge").ok
        await night.play()
        assert len(night.forge.merges) == 1

    async def test_nothing_is_merged_by_itself_once_the_incident_is_resolved(self, make_night):
        night = make_night(MergeRule.GREEN)
        night.on_point["ci.verdict.before"] = lambda: night.world.press("resolve:INC-1")
        night.approve()
        await night.play()
        assert not night.forge.merges
        assert night.labels("verdict") == ["Merge"], "it is left to a person"

    async def test_what_was_approved_before_merging_was_left_to_nightshift_is_left_to_a_person(self, make_night):
        night = make_night(MergeRule.ASK)
        night.approve()
        service = replace(night.world.rules.services["checkout"], merge=MergeRule.GREEN)
        night.world.rules = replace(night.world.rules, services={"checkout": service})
        await night.play()
        assert not night.forge.merges
        assert night.labels("verdict") == ["Merge"]

    async def test_a_pause_keeps_the_merge_for_its_end(self, make_night):
        night = make_night(MergeRule.ASK)
        night.approve()
        await night.play()
        night.press("verdict", "Merge")
        assert night.world.say("/incident agent off INC-1").ok
        await night.play()
        assert not night.forge.merges
        assert night.world.say("/incident agent on INC-1").ok
        await night.play()
        assert len(night.forge.merges) == 1
