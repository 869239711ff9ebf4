"""A change that people merge or close on the forge is noticed by webhook and by looking, and told once."""

import json
from dataclasses import replace

import pytest

from bot.domain.alert import AlertGroup
from bot.domain.change import ChangeState, MergeRule
from bot.domain.ci import CIState
from bot.errors import Rejected
from bot.services import change_watch
from bot.services.proposing import find_change
from connectors.ci.github.hooks import GitHubHooks
from connectors.ci.gitlab.hooks import GitLabHooks
from connectors.ci.gitlab.settings import Settings as GitLabSettings
from tests.rollout_world import RolloutWorld

MERGED = "e" * 40
HEAD = "a" * 40


@pytest.fixture
def make_night(tmp_path, monkeypatch):
    def make(merge: MergeRule = MergeRule.NEVER, **service) -> RolloutWorld:
        return RolloutWorld(tmp_path, monkeypatch, forge="hub", merge=merge, **service)

    return make


@pytest.fixture
def night(make_night) -> RolloutWorld:
    return make_night()


async def proposed(night: RolloutWorld) -> str:
    digest = night.approve()
    await night.play()
    assert night.forge.changes[-1].state is ChangeState.OPEN
    return digest


def end_by_hand(night: RolloutWorld, state: ChangeState, **more: object) -> None:
    merged = MERGED if state is ChangeState.MERGED else ""
    night.forge.move(state=state, merged_sha=merged, **more)


async def pass_time(night: RolloutWorld, **time: float) -> None:
    night.world.clock.advance(**time)
    await night.play()


def hear(night: RolloutWorld, *heads: str) -> None:
    with night.world.unit() as work:
        change_watch.hear_changes(work, heads)


def words(night: RolloutWorld, what: str) -> str:
    return "\n".join(getattr(block, "text", "") for block in night.shown(what)[-1].blocks)


async def test_a_merge_by_hand_is_noticed_by_looking(night):
    digest = await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    assert night.world.texts("change_ended") == [f"Change 12 was merged by hand as {'e' * 12}"]
    with night.world.unit() as work:
        change = find_change(work, "INC-1", digest)
    assert (change.state, change.merged_sha) == (ChangeState.MERGED, MERGED)


async def test_card_verdict_and_thread_say_it_and_when(night):
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    at = f"{night.world.clock.now():%H:%M} UTC"
    for what in ("patch", "verdict"):
        assert f"Change 12 was merged by hand as {'e' * 12}; seen at {at}." in words(night, what)
    notice = night.shown("notice")[-1]
    assert notice.headline == f"Change 12 was merged by hand as {'e' * 12}"
    assert "CI was green for exactly this commit." in words(night, "notice")
    assert notice.rings == ()


async def test_a_change_that_was_closed_says_that_nothing_was_merged(night):
    await proposed(night)
    end_by_hand(night, ChangeState.CLOSED)
    await pass_time(night, minutes=3)
    assert night.world.texts("change_ended") == ["Change 12 was closed by hand, nothing was merged"]
    assert "main is as it was." in words(night, "notice")
    assert "Change 12 was closed by hand, nothing was merged; seen at" in words(night, "patch")


async def test_a_webhook_brings_the_look_at_once(night):
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    hear(night, night.git.pushes[0])
    await night.play()
    assert len(night.world.texts("change_ended")) == 1


async def test_a_webhook_alone_decides_nothing(night):
    await proposed(night)
    hear(night, night.git.pushes[0])
    await night.play()
    assert not night.world.texts("change_ended")


async def test_webhooks_and_looks_tell_it_once(night):
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    for _ in range(3):
        hear(night, night.git.pushes[0], night.git.pushes[0], HEAD)
        await pass_time(night, minutes=5)
    assert len(night.world.texts("change_ended")) == 1
    assert len({effect.key for effect in night.world.promised("notice")}) == 1


async def test_commits_of_others_start_nothing(night):
    await proposed(night)
    before = len(night.world.phases.of("look"))
    hear(night, HEAD)
    assert len(night.world.phases.of("look")) == before


async def test_an_open_change_is_looked_at_less_and_less_and_not_for_ever(night):
    await proposed(night)
    waits = []
    for _ in range(8):
        began = night.world.clock.now()
        waits.append(night.world.phases.of("look")[-1].due - began)
        await pass_time(night, seconds=waits[-1].total_seconds())
    assert waits == sorted(waits)
    assert waits[-1] == change_watch.LONGEST
    await pass_time(night, days=14)
    looks = len(night.world.phases.of("look"))
    await pass_time(night, days=1)
    assert len(night.world.phases.of("look")) == looks


async def test_a_forge_that_does_not_answer_is_asked_again_later(night, monkeypatch):
    await proposed(night)
    find = night.forge.find

    async def refuse(repository: str, branch: str):
        raise Rejected("the token is no longer valid", "bad_credentials")

    monkeypatch.setattr(night.forge, "find", refuse)
    await pass_time(night, minutes=2)
    monkeypatch.setattr(night.forge, "find", find)
    end_by_hand(night, ChangeState.CLOSED)
    await pass_time(night, minutes=10)
    assert len(night.world.texts("change_ended")) == 1


async def test_a_merge_of_our_own_is_told_by_who_carries_it_out(make_night):
    night = make_night(MergeRule.GREEN)
    night.approve()
    await night.play()
    await pass_time(night, minutes=5)
    assert night.world.texts("merged") == [f"Merged change 12 as {'e' * 12}"]
    assert not night.world.texts("change_ended")


async def test_while_our_own_merge_is_under_way_nothing_else_tells_of_it(make_night):
    night = make_night(MergeRule.GREEN)
    night.kill_at("merge.after")

    def look() -> None:
        hear(night, night.git.pushes[0])

    night.on_point["merge.after"] = look
    night.approve()
    await night.play()
    assert len(night.world.texts("merged")) == 1
    assert not night.world.texts("change_ended")


async def test_another_commit_than_the_approved_one_is_named(night):
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED, sha=HEAD)
    await pass_time(night, minutes=3)
    assert f"It was merged at {HEAD[:12]}, which is not the commit that was approved." in words(night, "notice")


async def test_a_merge_that_did_not_wait_for_ci_is_called_that(night):
    night.ci.verdict = CIState.FAILED
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    assert "CI had not passed: it was failed." in words(night, "notice")


async def test_the_merge_button_is_gone(make_night):
    night = make_night(MergeRule.ASK)
    await proposed(night)
    assert night.labels("verdict") == ["Merge"]
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    assert not night.labels("verdict")


async def test_what_nobody_approved_here_is_not_deployed(make_night):
    night = make_night(MergeRule.ASK, deploy_job="deploy.yml")
    await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    assert not night.ci.jobs
    (said,) = night.world.texts("deploy_refused")
    assert said == "Merged, but not deployed: it was merged by hand, and nobody approved that here"


async def test_what_was_approved_with_the_merge_is_deployed(make_night):
    night = make_night(MergeRule.GREEN, deploy_job="deploy.yml")
    night.forge.conflict = "it conflicts"
    digest = await proposed(night)
    end_by_hand(night, ChangeState.MERGED)
    await pass_time(night, minutes=3)
    assert night.ci.jobs == [("deploy.yml", MERGED)]
    assert night.ci.sent == [f"nightshift-INC-1-{digest[:12]}-deploy"]


async def test_another_change_of_the_branch_is_not_taken_for_it(night):
    await proposed(night)
    night.forge.changes.append(replace(night.forge.changes[-1], number=13, state=ChangeState.CLOSED))
    await pass_time(night, minutes=3)
    assert not night.world.texts("change_ended")


def github(**event: object) -> AlertGroup:
    return GitHubHooks("secret", lambda _commits: None).parse(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("event", "ended"),
    [
        ({"action": "closed", "pull_request": {"head": {"sha": HEAD}, "merged": True}}, (HEAD,)),
        ({"action": "closed", "pull_request": {"head": {"sha": HEAD}, "merged": False}}, (HEAD,)),
        ({"action": "opened", "pull_request": {"head": {"sha": HEAD}}}, ()),
        ({"action": "closed", "issue": {"number": 1}}, ()),
        ({"action": "closed", "pull_request": {"head": {"sha": "main"}}}, ()),
        ({"action": "closed", "pull_request": [HEAD]}, ()),
    ],
)
def test_github_says_which_change_ended(event, ended):
    assert github(**event).ended == ended


@pytest.mark.parametrize(
    ("subject", "ended"),
    [
        ({"action": "merge", "last_commit": {"id": HEAD}}, (HEAD,)),
        ({"action": "close", "last_commit": {"id": HEAD}}, (HEAD,)),
        ({"action": "update", "last_commit": {"id": HEAD}}, ()),
        ({"action": "merge", "last_commit": {"id": "x"}}, ()),
        ({"action": ["merge"], "last_commit": {"id": HEAD}}, ()),
    ],
)
def test_gitlab_says_which_change_ended(subject, ended):
    told = {"object_kind": "merge_request", "object_attributes": subject}
    hooks = GitLabHooks(GitLabSettings(token="t", webhook_secret="x"))
    assert hooks.parse(json.dumps(told).encode()).ended == ended
