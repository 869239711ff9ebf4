"""Nights with a rollback: asked for, proposed, approved like a patch, ordered once, and the alert watched."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.approval import Approval, ApprovalState
from bot.domain.approvals.policy import ApprovalRule
from bot.domain.approvals.rollback import Release, parse_rollback
from bot.domain.approvals.statement import parse_statement, verify_statement
from bot.domain.approvals.subject import Subject
from bot.domain.change import MergeRule
from bot.domain.chat import Bullets, Message, Tone
from bot.domain.ci import CIState
from bot.domain.incident import RunState
from bot.domain.patches.risk_kind import RiskKind
from bot.errors import Refused
from bot.ports.workspace import Commit
from bot.services import modelling, rollback, rollout, triage
from bot.services.rollout import find_statement
from tests.approvalkit import QUARTER, given
from tests.rollout_world import RolloutWorld
from tests.worldkit import alert, group

OLD, NEW = Release(tag="v1.4.1", sha="1" * 40), Release(tag="v1.4.2", sha="2" * 40)
NEWER = Release(tag="v1.4.3", sha="3" * 40)
POINTS = ["rollback.dispatch.before", "rollback.dispatch.after", "rollback.recorded"]


def commit(number: int, *files: str) -> Commit:
    return Commit(
        sha=f"{number:040x}",
        parents=(),
        author="Ada",
        email="ada@example.org",
        committed_at=datetime(2026, 3, 1, tzinfo=UTC),
        subject=f"Change number {number}",
        files=files or ("shop/cart.py",),
    )


@pytest.fixture
def night(tmp_path, monkeypatch) -> RolloutWorld:
    made = RolloutWorld(tmp_path, monkeypatch, rollback_job="rollback.yml")
    made.git.tags = [NEW, OLD]
    made.git.commits = [commit(number) for number in (3, 2, 1)]
    return made


async def ask(night: RolloutWorld, who: str = "cleo@web") -> Approval:
    """Somebody asks for a rollback, and it is proposed."""
    reply = night.world.say("/patch rollback INC-1", who)
    assert reply.ok, reply.text
    await night.play()
    return newest(night)


def newest(night: RolloutWorld) -> Approval:
    with night.world.unit() as work:
        return [a for a in work.approvals.of("INC-1") if a.subject is Subject.ROLLBACK][-1]


def press(night: RolloutWorld, verb: str, approval: Approval, who: str = "ada@web", **values: str):
    return night.world.press(f"{verb}:INC-1:{approval.digest[:12]}", who, **values)


async def approve(night: RolloutWorld) -> Approval:
    """Ask, and let both approvers approve; nothing is played yet."""
    approval = await ask(night)
    assert press(night, "approve", approval).text == "Counted. 1 more must approve."
    answer = press(night, "approve", approval, "ben@web")
    assert answer.text == f"Approved. Ordering exactly the rollback you saw ({approval.digest[:12]})."
    return approval


def state(night: RolloutWorld, approval: Approval) -> ApprovalState:
    return night.world.approval(approval.digest).state


def card(night: RolloutWorld) -> Message:
    return [message for message in night.shown("patch") if message.slot.startswith("rollback:")][-1]


def words(message: Message) -> str:
    return " ".join(getattr(block, "text", "") for block in message.blocks)


class TestAsking:
    async def test_two_releases_become_a_card_that_says_what_goes_back_and_shows_no_diff(self, night):
        approval = await ask(night)
        shown = card(night)
        assert shown.headline == "Rollback ready: checkout from v1.4.2 back to v1.4.1"
        assert "From v1.4.2 (222222222222) back to v1.4.1 (111111111111), by rollback.yml." in words(shown)
        assert "Cleo Vance asks for it. 2 people must approve" in words(shown)
        (commits,) = [block for block in shown.blocks if isinstance(block, Bullets)]
        assert commits.items[0] == f"{3:040x}"[:12] + " Change number 3"
        assert [button.label for button in shown.buttons] == ["Approve rollback", "Reject rollback"]
        assert shown.buttons[0].form is not None, "what runs at once is confirmed"
        assert shown.rings == ("ada", "ben")
        (document,) = shown.files
        assert hashlib.sha256(document.text.encode()).hexdigest() == approval.digest
        assert parse_rollback(document.text.encode()).previous == OLD
        assert night.ci.sent == []

    async def test_many_commits_are_a_short_list(self, night):
        night.git.commits = [commit(number) for number in range(14, 0, -1)]
        await ask(night)
        (commits,) = [block for block in card(night).blocks if isinstance(block, Bullets)]
        assert len(commits.items) == 11
        assert commits.items[-1] == "and 4 commits before them"

    @pytest.mark.parametrize(
        ("tags", "words"),
        [
            ([], 'No rollback: there is no release: no commit has a tag like "v*" on main'),
            ([NEW], "No rollback: there is no release before v1.4.2 (222222222222)"),
            ([Release(tag="v1.4.2;rm", sha=NEW.sha), OLD], "No rollback: 'v1.4.2;rm' is no plain name of a release"),
        ],
    )
    async def test_without_a_release_before_it_says_so_and_may_be_asked_again(self, night, tags, words):
        night.git.tags = tags
        assert night.world.say("/patch rollback INC-1", "cleo@web").ok
        await night.play()
        (told,) = night.shown("notice")
        assert told.headline.startswith(words)
        assert told.rings == ("cleo",)
        night.git.tags = [NEW, OLD]
        assert (await ask(night)).subject is Subject.ROLLBACK

    async def test_more_commits_than_anybody_looked_at_are_not_rolled_back_from_chat(self, night):
        night.git.commits = [commit(number) for number in range(1001)]
        night.world.say("/patch rollback INC-1")
        await night.play()
        assert (
            night.shown("notice")[-1].headline == "No rollback: more than 1000 commits would go back; do that by hand"
        )

    async def test_the_button_stands_with_the_findings_and_only_asks(self, night):
        night.world.propose()
        assert night.labels("findings") == ["Roll back"]
        reply = night.press("findings", "Roll back", "cleo@web")
        assert reply.text == "Looking up the releases. Nothing is rolled back before it is approved."
        await night.play()
        assert (newest(night).state, night.ci.sent) == (ApprovalState.PENDING, [])

    async def test_the_button_stands_where_an_investigation_stopped_and_left_no_findings(self, night):
        with night.world.unit() as work:
            run = work.incidents.get("INC-1").run
            triage.plan_job(work, "INC-1", run=run, folder="/tmp/none", rules=night.world.rules)
            triage.finish_triage(work, "INC-1", state=RunState.FAILED, why="The investigation stopped: no log")
        assert night.labels("status") == ["Roll back"]

    async def test_the_button_stands_where_a_deployment_did_not_help(self, tmp_path, monkeypatch):
        (tmp_path / "other").mkdir()
        jobs = {"deploy_job": "deploy.yml", "rollback_job": "rollback.yml"}
        night = RolloutWorld(tmp_path / "other", monkeypatch, forge="hub", merge=MergeRule.GREEN, **jobs)
        night.approve()
        await night.play()
        night.world.clock.advance(minutes=10)
        await night.play()
        assert night.labels("notice") == ["Revert it", "Roll back"]

    async def test_without_a_job_it_is_refused(self, night):
        services = {"checkout": replace(night.world.rules.services["checkout"], rollback_job="")}
        night.world.rules = replace(night.world.rules, services=services)
        reply = night.world.say("/patch rollback INC-1")
        assert reply.text == "No job rolls checkout back: services.checkout.rollback_job is not set."
        night.world.propose()
        assert night.labels("findings") == []

    async def test_a_viewer_may_not_ask_and_a_resolved_incident_is_left_alone(self, night):
        assert "needs the role" in night.world.say("/patch rollback INC-1", "vic@web").text
        assert night.world.say("/incident resolve INC-1").ok
        refusal = night.world.press("rollback:INC-1").text
        assert refusal == "INC-1 was resolved meanwhile; nothing was carried out."

    async def test_asked_twice_it_is_looked_up_once(self, night):
        assert night.world.press("rollback:INC-1").ok
        assert night.world.press("rollback:INC-1").text == "The releases are being looked up already."
        await night.play()
        assert "was asked for already" in night.world.press("rollback:INC-1").text
        assert night.world.kinds().count("rollback_ready") == 1

    async def test_a_repository_that_is_away_is_asked_again_and_the_card_comes_once(self, night):
        night.git.down = 3
        await ask(night)
        assert night.world.kinds().count("rollback_ready") == 1

    async def test_it_stands_beside_a_patch_and_neither_takes_the_other_s_card_away(self, night):
        patch = night.world.propose()
        approval = await ask(night)
        assert (state(night, patch), state(night, approval)) == (ApprovalState.PENDING, ApprovalState.PENDING)

    async def test_what_secrets_a_commit_s_subject_holds_are_not_kept(self, night):
        night.tools = replace(night.tools, redact=lambda text: text.replace("number", "[redacted]"))
        await ask(night)
        assert "number" not in card(night).blocks[4].items[0]


class TestDeciding:
    async def test_the_one_who_asked_is_one_of_the_two(self, night):
        approval = await ask(night, "ada@web")
        assert press(night, "approve", approval).text == "Counted. 1 more must approve."
        assert press(night, "approve", approval, "ben@web").ok

    async def test_where_the_policy_forbids_self_approval_who_asked_does_not_count(self, night):
        given(night.world, self_approval=False)
        approval = await ask(night, "ada@web")
        assert "may not be approved by its own people" in press(night, "approve", approval).text
        assert "Ada Lovelace cannot approve this one." in words(card(night))

    async def test_rules_may_ask_for_more_by_kind_and_by_the_files_that_go_back(self, night):
        rules = (
            ApprovalRule(risks=(RiskKind.ROLLBACK,), expiry=timedelta(minutes=5)),
            ApprovalRule(paths=("shop/migrations",), quorum=3),
        )
        given(night.world, rules=rules)
        night.git.commits = [commit(1, "shop/migrations/0007_totals.py")]
        approval = await ask(night)
        assert approval.needs == 3
        assert approval.expires_at - approval.requested_at == timedelta(minutes=5)
        assert "goes back over a database migration: shop/migrations/0007_totals.py" in words(card(night))

    async def test_rejected_nothing_is_ordered_and_it_may_be_asked_for_again(self, night):
        approval = await ask(night)
        assert press(night, "reject", approval, reason="Too risky now").text == "Rejected. Nothing was carried out."
        await night.play()
        assert night.ci.sent == []
        night.world.clock.advance(minutes=1)
        assert (await ask(night)).digest != approval.digest

    async def test_a_freeze_holds_it_and_break_glass_lifts_that(self, night):
        given(night.world, freezes=(QUARTER,), break_glass=("ada",))
        approval = await ask(night, "ada@web")
        assert press(night, "approve", approval).text.endswith("Break-glass is possible.")
        reply = press(night, "break", approval, reason="The shop is down")
        assert reply.ok, reply.text
        await night.play()
        assert night.ci.jobs == [("rollback.yml", OLD.sha)]
        (told,) = night.shown("glass")
        assert f"Rollback {approval.digest[:12]} of INC-1 goes to /srv/git/checkout.git v1.4.1" in words(told)

    async def test_nobody_decides_and_a_renewal_asks_again(self, night):
        approval = await ask(night)
        night.world.forward(minutes=60)
        assert state(night, approval) is ApprovalState.EXPIRED
        assert [button.label for button in card(night).buttons] == ["Renew"]
        assert press(night, "renew", approval).ok
        assert press(night, "approve", approval).ok

    async def test_a_typed_approval_names_the_rollback(self, night):
        approval = await ask(night)
        wanted = f"INC-1 has a rollback. Say which: /patch approve INC-1 {approval.digest[:12]}"
        assert night.world.say("/patch approve INC-1").text == wanted
        assert night.world.say(f"/patch approve INC-1 {approval.digest[:12]}").ok

    async def test_the_statement_names_the_document_and_is_kept(self, night):
        approval = await approve(night)
        with night.world.unit() as work:
            data = find_statement(work, "INC-1", approval.digest)
            document = rollback.find_rollback(work, "INC-1", approval.digest).rollback.document
        statement = verify_statement(data, patch=document)
        assert (statement.subject, statement.digest) == (Subject.ROLLBACK, approval.digest)
        assert f'"name":"INC-1-{approval.digest[:12]}.rollback"'.encode() in data
        relabelled = data.replace(b".rollback", b".diff")
        assert parse_statement(relabelled).subject is Subject.PATCH
        with pytest.raises(Refused, match="is about a patch, and this is none"):
            verify_statement(relabelled, patch=document)


class TestCarryingOut:
    async def test_approved_its_job_is_ordered_once_with_the_release_it_goes_back_to(self, night):
        approval = await approve(night)
        await night.play()
        (request,) = night.ci.requests
        assert (request.job, request.sha, request.tag) == ("rollback.yml", OLD.sha, OLD.tag)
        assert request.key == f"nightshift-INC-1-{approval.digest[:12]}-rollback"
        assert state(night, approval) is ApprovalState.EXECUTED
        assert (night.git.pushes, night.forge.merges) == ([], [])
        assert card(night).headline == "Rolled back: checkout from v1.4.2 back to v1.4.1"
        assert "Rolled back to v1.4.1." in words(card(night))

    async def test_what_surely_did_not_leave_is_sent_later_and_nobody_is_asked(self, night):
        night.ci.answers = ["not sent", "ok"]
        approval = await approve(night)
        await night.play()
        assert len(night.ci.requests) == 1
        assert state(night, approval) is ApprovalState.EXECUTED
        assert not night.world.promised("notice")

    async def test_pressed_twice_it_is_ordered_once(self, night):
        approval = await approve(night)
        assert "already approved" in press(night, "approve", approval).text
        await night.play()
        assert "has been carried out" in press(night, "approve", approval).text
        await night.play()
        assert len(night.ci.sent) == 1

    @pytest.mark.parametrize("point", POINTS)
    async def test_a_kill_around_the_order_sends_no_second_one(self, night, point):
        approval = await approve(night)
        night.kill_at(point)
        await night.play()
        assert point in night.points
        assert len(night.ci.sent) == (0 if point == "rollback.dispatch.before" else 1)
        if point == "rollback.recorded":
            assert state(night, approval) is ApprovalState.EXECUTED
            assert len(night.world.phases.of("watch")) == 1
        else:
            assert state(night, approval) is ApprovalState.APPROVED
            assert night.labels("notice") == ["It runs", "Start it again"]

    async def test_without_an_answer_a_person_is_asked_and_says_that_it_runs(self, night):
        night.ci.answers = ["late"]
        approval = await approve(night)
        await night.play()
        asked = night.shown("notice")[-1]
        assert asked.headline == f"CI gave no answer to our order to roll back to {OLD.sha[:12]}; it is not sent again"
        assert asked.rings == ("ada", "ben")
        assert night.press("notice", "It runs").ok
        await night.play()
        assert (len(night.ci.sent), state(night, approval)) == (1, ApprovalState.EXECUTED)
        assert len(night.world.phases.of("watch")) == 1

    async def test_a_person_s_press_orders_it_once_more(self, night):
        night.ci.answers = ["lost"]
        approval = await approve(night)
        await night.play()
        assert night.press("notice", "Start it again").ok
        again = f"again:INC-1:{approval.digest[:12]}:rollback1"
        assert "has ordered it once more already" in night.world.press(again).text
        await night.play()
        assert night.ci.sent == [f"nightshift-INC-1-{approval.digest[:12]}-rollback{again}" for again in ("", "-2")]
        assert night.ci.jobs == [("rollback.yml", OLD.sha)]

    async def test_a_second_order_of_an_approval_that_ran_out_is_not_sent_and_approved_anew_it_is(self, night):
        night.ci.answers = ["lost"]
        approval = await approve(night)
        await night.play()
        night.world.clock.advance(minutes=61)
        night.press("notice", "Start it again")
        await night.play()
        assert (len(night.ci.sent), state(night, approval)) == (1, ApprovalState.EXPIRED)
        assert press(night, "renew", approval).ok
        for who in ("ada@web", "ben@web"):
            assert press(night, "approve", approval, who).ok
        await night.play()
        assert [key.rpartition("-rollback")[2] for key in night.ci.sent] == ["", "-2"]

    async def test_a_job_that_ci_does_not_know_is_told_and_the_approval_has_failed(self, night):
        night.ci.answers = ["no"]
        approval = await approve(night)
        await night.play()
        assert night.shown("notice")[-1].headline == "Not rolled back: no such job"
        assert state(night, approval) is ApprovalState.FAILED

    @pytest.mark.parametrize(
        ("tags", "why"),
        [
            ([NEWER, NEW, OLD], "the present release was v1.4.2 (222222222222), and now v1.4.3 (333333333333) is"),
            ([OLD], "the present release was v1.4.2 (222222222222), and now v1.4.1 (111111111111) is"),
            ([replace(NEW, sha="4" * 40), OLD], "and now v1.4.2 (444444444444) is"),
            ([NEW], "the release before it is no longer v1.4.1 (111111111111)"),
            ([], "and now none is"),
        ],
    )
    async def test_releases_that_moved_meanwhile_withdraw_it_in_words(self, night, tags, why):
        approval = await approve(night)
        night.git.tags = tags
        await night.play()
        assert (night.ci.sent, state(night, approval)) == ([], ApprovalState.SUPERSEDED)
        told = night.shown("notice")[-1].headline
        assert told.startswith("Not rolled back: ")
        assert why in told
        assert told.endswith("Ask for it again if it is still wanted")
        assert card(night).headline.startswith("Rollback withdrawn")

    async def test_a_freeze_that_began_after_the_press_stops_it_and_it_may_be_renewed(self, night):
        approval = await approve(night)
        given(night.world, freezes=(QUARTER,))
        await night.play()
        assert (night.ci.sent, state(night, approval)) == ([], ApprovalState.EXPIRED)
        given(night.world)
        assert press(night, "renew", approval).ok
        for who in ("ada@web", "ben@web"):
            assert press(night, "approve", approval, who).ok
        await night.play()
        assert len(night.ci.sent) == 1

    async def test_an_approval_that_ran_out_before_its_turn_is_not_carried_out(self, night):
        approval = await approve(night)
        night.world.clock.advance(minutes=61)
        await night.play()
        assert (night.ci.sent, state(night, approval)) == ([], ApprovalState.EXPIRED)

    async def test_an_incident_that_was_resolved_meanwhile_is_left_alone(self, night):
        approval = await approve(night)
        assert night.world.say("/incident resolve INC-1").ok
        await night.play()
        assert (night.ci.sent, state(night, approval)) == ([], ApprovalState.FAILED)

    async def test_another_job_in_the_configuration_since_then_is_not_what_was_approved(self, night):
        await approve(night)
        services = {"checkout": replace(night.world.rules.services["checkout"], rollback_job="other.yml")}
        night.world.rules = replace(night.world.rules, services=services)
        await night.play()
        assert night.ci.sent == []
        assert "no longer rolls checkout back with rollback.yml" in night.shown("notice")[-1].headline

    async def test_a_pause_keeps_it_for_its_end(self, night):
        approval = await approve(night)
        assert night.world.say("/incident agent off INC-1").ok
        await night.play()
        assert night.ci.sent == []
        assert any(text.startswith("Not rolled back yet") for text in night.world.texts("held"))
        assert card(night).headline.startswith("Rollback approved")
        assert night.world.say("/incident agent on INC-1").ok
        await night.play()
        assert (len(night.ci.sent), state(night, approval)) == (1, ApprovalState.EXECUTED)

    async def test_one_thing_at_a_time_and_a_done_rollback_leaves_the_patch_to_be_approved(self, night):
        patch = night.world.propose()
        approval = await approve(night)
        assert "is on its way" in press(night, "approve", patch).text
        await night.play()
        assert press(night, "approve", patch).ok
        await night.play()
        assert len(night.git.pushes) == 1
        assert (len(night.ci.sent), state(night, approval)) == (1, ApprovalState.EXECUTED)


class TestFollowing:
    @pytest.mark.parametrize(
        ("verdict", "text"),
        [
            (CIState.FAILED, "The rollback to v1.4.1 failed at push the image"),
            (CIState.CANCELLED, "The rollback to v1.4.1 was cancelled"),
        ],
    )
    async def test_a_rollback_whose_job_failed_rings_and_no_alert_is_watched(self, night, verdict, text):
        night.ci.order_verdict = verdict
        await approve(night)
        await night.play()
        (told,) = night.shown("notice")
        assert (told.headline, told.rings) == (text, ("ada", "ben"))
        assert not night.world.phases.of("watch")
        assert (card(night).headline.split(":")[0], card(night).tone) == ("Rollback failed", Tone.BAD)

    async def test_where_ci_does_not_show_the_run_the_alert_alone_is_watched(self, night):
        night.ci.hides_orders = True
        await approve(night)
        await night.play()
        assert len(night.world.phases.of("watch")) == 1
        assert not night.world.promised("notice")
        assert "how it ended is not known" in words(card(night))

    @pytest.mark.parametrize("point", ["rollback.recorded", "deploy.ended"])
    async def test_a_kill_on_the_way_tells_the_end_once(self, night, point):
        night.ci.order_verdict = CIState.FAILED
        await approve(night)
        night.kill_at(point)
        await night.play()
        assert point in night.points
        assert len(night.world.promised("notice")) == 1


class TestWatching:
    async def test_the_alert_is_watched_and_what_still_fires_is_said_without_a_revert(self, night):
        await approve(night)
        await night.play()
        night.world.clock.advance(minutes=10)
        await night.play()
        told = night.shown("notice")[-1]
        assert told.headline == "The alert still fires, 10 min after the rollback to v1.4.1"
        assert (told.buttons, told.rings) == ((), ("ada", "ben"))

    async def test_an_alert_that_cleared_is_said_quietly(self, night):
        await approve(night)
        await night.play()
        night.world.receive(group(alert(firing=False)))
        night.world.clock.advance(minutes=10)
        await night.play()
        told = night.shown("notice")[-1]
        assert told.headline == "The alert has cleared, 10 min after the rollback to v1.4.1"
        assert told.rings == ()


class TestNeverAPatch:
    async def test_nothing_that_handles_patches_takes_a_rollback(self, night):
        approval = await approve(night)
        digest = approval.digest
        with night.world.unit() as work:
            assert work.drafts.of("INC-1") == []
            for refuse in (
                lambda: rollout.plan_push(work, "INC-1", digest),
                lambda: rollout.recheck(work, "INC-1", digest, night.world.rules),
                lambda: work.drafts.get("INC-1", digest),
            ):
                with pytest.raises(Refused):
                    refuse()
        assert night.world.say("/patch show INC-1").text == "INC-1 has no patch."
        for verb in ("merge", "changes"):
            assert not press(night, verb, approval, wish="Something else").ok

    async def test_the_model_hears_of_patches_alone(self, night):
        approval = await ask(night)
        press(night, "reject", approval, reason="Too risky now")
        run = night.world.incident().run
        with night.world.unit() as work:
            assert modelling.is_wanted(work, "INC-1", run)
            job = modelling.plan_model(work, "INC-1", run=run, folder="/tmp/none", rules=night.world.rules)
        assert job is not None
        assert job.feedback == ()

    async def test_a_patch_is_no_rollback(self, night):
        patch = night.world.propose()
        with night.world.unit() as work, pytest.raises(Refused):
            rollback.find_rollback(work, "INC-1", patch.digest)
