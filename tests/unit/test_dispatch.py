"""An order to CI: sent once, looked for, and then a person decides; never two, never none without a word."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.change import MergeRule
from bot.domain.chat import Link
from bot.domain.ci import CIState, Trigger
from bot.engine import following, tools
from tests.rollout_world import RolloutWorld


@pytest.fixture
def night(tmp_path, monkeypatch) -> RolloutWorld:
    return RolloutWorld(tmp_path, monkeypatch, trigger=Trigger.DISPATCH, ci_job="checks.yml")


def state(night: RolloutWorld, digest: str) -> ApprovalState:
    return night.world.approval(digest).state


async def test_one_approval_is_one_order_with_its_key_and_one_verdict(night):
    digest = night.approve()
    await night.play()
    assert night.ci.sent == [f"nightshift-INC-1-{digest[:12]}"]
    assert night.ci.jobs == [("checks.yml", night.git.pushes[0])]
    assert state(night, digest) is ApprovalState.EXECUTED
    assert len(night.world.promised("verdict")) == 1


async def test_a_run_that_is_there_already_is_found_and_nothing_is_sent(night):
    night.git.runs_ci = True
    digest = night.approve()
    await night.play()
    assert not night.ci.sent
    assert state(night, digest) is ApprovalState.EXECUTED


@pytest.mark.parametrize("point", ["", "ci.dispatch.before", "ci.dispatch.after"])
async def test_another_run_of_the_commit_is_never_taken_for_the_one_that_is_ordered(night, point):
    night.ci.beside = True
    night.approve()
    night.kill_at(point)
    await night.play()
    if point == "ci.dispatch.before":  # killed before it was sent: nobody knows that, and people are asked
        night.ci.expected.clear()
        night.press("notice", "Start it again")
        await night.play()
    assert night.ci.jobs == [("checks.yml", night.git.pushes[0])]
    assert len(night.world.promised("verdict")) == 1


async def test_an_order_that_arrived_without_an_answer_is_found_however_late_it_is_listed(night):
    night.ci.answers, night.ci.lag = ["late"], 45
    digest = night.approve()
    await night.play()
    assert len(night.ci.sent) == 1
    assert state(night, digest) is ApprovalState.EXECUTED
    assert not night.world.promised("notice")


async def test_an_order_that_certainly_did_not_leave_is_sent_later_and_nobody_is_asked(night):
    night.ci.answers = ["not sent", "not sent", "ok"]
    digest = night.approve()
    await night.play()
    assert len(night.ci.jobs) == 1
    assert state(night, digest) is ApprovalState.EXECUTED
    assert not night.world.promised("notice")


async def test_a_lost_order_is_not_repeated_and_the_approvers_are_asked(night):
    night.ci.answers = ["lost"]
    digest = night.approve()
    await night.play()
    assert len(night.ci.sent) == 1
    assert state(night, digest) is ApprovalState.APPROVED
    (asked,) = night.shown("notice")
    assert asked.headline.startswith("CI gave no answer to our order to check")
    assert asked.rings == ("ada",)
    assert [button.label for button in asked.buttons] == ["It runs: look again", "Start it again"]
    assert sum(night.news.waits) >= 90


@pytest.mark.parametrize(
    ("repository", "links"),
    [
        ("https://git.example/shop.git", ["https://git.example/shop"]),
        ("https://bot:secret@git.example/shop.git", []),
        ("/srv/git/shop.git", []),
    ],
)
async def test_the_question_links_to_where_to_look_and_never_to_a_password(night, repository, links):
    service = replace(night.world.rules.services["checkout"], repository=repository)
    night.world.rules = replace(night.world.rules, services={"checkout": service})
    night.ci.answers = ["lost"]
    night.approve()
    await night.play()
    assert [block.url for block in night.shown("notice")[-1].blocks if isinstance(block, Link)] == links


async def test_the_press_sends_exactly_one_more_under_a_key_of_its_own(night):
    night.ci.answers = ["lost"]
    digest = night.approve()
    await night.play()
    again = night.button("notice", "Start it again")
    assert night.world.press(again).text.startswith("Ordered once more")
    refused = night.world.press(again, "ben@web")
    assert refused.text == "Ada Lovelace has ordered it once more already."
    assert not night.world.press(again.replace("again", "look")).ok
    await night.play()
    assert night.ci.sent == [f"nightshift-INC-1-{digest[:12]}", f"nightshift-INC-1-{digest[:12]}-2"]
    assert state(night, digest) is ApprovalState.EXECUTED
    assert not night.shown("notice")[-1].buttons


async def test_a_press_that_comes_twice_or_from_everybody_at_once_is_one_order(night):
    night.ci.answers = ["lost"]
    night.approve()
    await night.play()
    again = night.button("notice", "Start it again")
    assert night.world.press(again, event="e-1") == night.world.press(again, event="e-1")
    worlds = [night.world.reopen() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda each: each.press(again, "ben@web", event=f"e-{id(each)}"), worlds))
    assert not any(reply.ok for reply in replies)
    await night.play()
    assert len(night.ci.sent) == 2


async def test_a_second_order_that_is_lost_is_asked_about_anew(night):
    night.ci.answers = ["lost", "lost"]
    digest = night.approve()
    await night.play()
    night.press("notice", "Start it again")
    await night.play()
    assert len(night.ci.sent) == 2
    assert night.button("notice", "Start it again") == f"again:INC-1:{digest[:12]}:ci2"
    assert night.shown("notice")[-1].rings == ("ada",)


async def test_look_again_finds_what_came_late_and_sends_nothing(night):
    night.ci.answers, night.ci.lag = ["late"], 150
    digest = night.approve()
    await night.play()
    assert night.labels("notice") == ["It runs: look again", "Start it again"]
    assert night.press("notice", "It runs: look again").ok
    await night.play()
    assert len(night.ci.sent) == 1
    assert state(night, digest) is ApprovalState.EXECUTED


async def test_look_again_in_vain_asks_again(night):
    night.ci.answers = ["lost"]
    night.approve()
    await night.play()
    night.press("notice", "It runs: look again")
    assert not night.labels("notice")
    await night.play()
    assert len(night.ci.sent) == 1
    assert night.labels("notice") == ["It runs: look again", "Start it again"]


@pytest.mark.parametrize("point", ["ci.dispatch.before", "ci.dispatch.after", "ci.dispatch.recorded", "ci.started"])
async def test_a_kill_around_the_order_sends_no_second_one(night, point):
    digest = night.approve()
    night.kill_at(point)
    await night.play()
    assert point in night.points
    if point == "ci.dispatch.before":  # noted, never sent: nobody can know, so a person is asked
        assert not night.ci.sent
        assert night.labels("notice") == ["It runs: look again", "Start it again"]
        night.press("notice", "Start it again")
        await night.play()
    assert len(night.ci.sent) == 1
    assert state(night, digest) is ApprovalState.EXECUTED
    assert len(night.world.promised("verdict")) == 1


async def test_a_process_that_stood_still_before_sending_does_not_send(night, monkeypatch):
    monkeypatch.setattr(following, "monotonic", lambda: 0.0)
    monkeypatch.setattr(tools, "monotonic", lambda: 46.0)
    night.approve()
    await night.play()
    assert not night.ci.sent
    assert night.labels("notice") == ["It runs: look again", "Start it again"]


async def test_a_kill_while_the_question_is_asked_asks_once(night):
    night.ci.answers = ["lost"]
    night.approve()
    night.kill_at("ci.dispatch.unanswered")
    await night.play()
    assert len(night.ci.sent) == 1
    assert len(night.shown("notice")) == 1


async def test_a_ci_that_is_down_before_the_order_is_waited_for(night):
    night.ci.down = 5
    digest = night.approve()
    await night.play()
    assert len(night.ci.sent) == 1
    assert state(night, digest) is ApprovalState.EXECUTED


async def test_an_order_that_ci_refuses_is_told_and_over(night):
    night.ci.answers = ["no"]
    digest = night.approve()
    await night.play()
    assert state(night, digest) is ApprovalState.FAILED
    assert night.world.texts("push_refused") == ["Pushed, but CI gave no verdict: no such job"]
    with night.world.unit() as work:
        assert not work.effects.targets("dispatch:")


async def test_only_who_may_approve_decides_about_an_order(night):
    night.ci.answers = ["lost"]
    night.approve()
    await night.play()
    again = night.button("notice", "Start it again")
    for account in ("cleo@web", "vic@web"):
        assert not night.world.press(again, account).ok
    assert not night.world.press(again.replace("ci1", "ci2")).ok, "nothing is asked about an order never sent"
    await night.play()
    assert len(night.ci.sent) == 1


async def test_a_pushed_commit_whose_run_is_listed_late_is_found(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.ci.lag = 45
    digest = night.approve()
    await night.play()
    assert state(night, digest) is ApprovalState.EXECUTED
    assert not night.world.promised("notice")


async def test_a_run_that_does_not_show_is_told_once_and_still_looked_for(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.ci.lag = 600
    digest = night.approve()
    await night.play()
    (told,) = night.shown("notice")
    assert told.headline.startswith("CI shows no run of")
    assert state(night, digest) is ApprovalState.EXECUTED


async def test_ci_is_asked_less_and_less_often(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.ci.takes = 120
    night.approve()
    await night.play()
    assert night.news.waits[:4] == [5.0, 7.5, 10.0, 10.0]


async def test_a_ci_that_gives_no_answer_for_a_while_is_asked_again_and_nothing_begins_anew(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.on_point["ci.started"] = lambda: setattr(night.ci, "down", 40)
    digest = night.approve()
    await night.play()
    assert night.points.count("ci.started") == 1
    assert state(night, digest) is ApprovalState.EXECUTED
    assert not night.world.texts("push_refused")


async def test_a_verdict_waits_for_no_log(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.ci.loses_logs = True
    digest = night.approve()
    await night.play()
    assert state(night, digest) is ApprovalState.EXECUTED


async def test_after_a_restart_a_rerun_is_of_the_run_that_was_ordered_and_of_no_other(night):
    night.ci.verdict, night.ci.reruns = CIState.FAILED, True
    night.approve()
    await night.play()
    night.ci.beside = True
    night.ci.expected.clear()  # a new process
    assert night.world.say("/ci rerun INC-1").ok
    await night.play()
    with night.world.unit() as work:
        ((_, run),) = work.ci_runs.of("INC-1")
    assert (run.state, run.attempt) == (CIState.PASSED, 2)


async def test_after_a_restart_a_merge_asks_about_the_run_that_was_ordered_and_no_other(tmp_path, monkeypatch):
    night = RolloutWorld(
        tmp_path, monkeypatch, forge="hub", trigger=Trigger.DISPATCH, ci_job="checks.yml", merge=MergeRule.ASK
    )
    night.approve()
    await night.play()
    night.ci.beside, night.ci.verdict = True, CIState.FAILED
    night.ci.expected.clear()  # a new process, and somebody has run it again meanwhile
    assert night.press("verdict", "Merge").ok
    await night.play()
    assert not night.forge.merges
    assert "CI is not green" in night.shown("notice")[-1].headline
