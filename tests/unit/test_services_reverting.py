"""Revert instead: the confirmed culprit's revert, or that of a pushed patch, as a patch of its own."""

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.ci import CIRun, CIState
from bot.domain.investigation import Confirmed, Drafted
from bot.domain.patches.patch import parse_patch
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.services import reverting, rollout
from bot.services.drafting import supersede_open
from tests.worldkit import BASE, World, diff, make_world, verified

CULPRIT = "e" * 40
RUN = "INC-1:1+revert1"


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path, opened=True)
    with world.unit() as work:
        blamed = Confirmed(culprit=CULPRIT, request=None, runs=(), how="red there, green before")
        work.investigations.add("INC-1:1", blamed)
    return world


def finish(world: World, *, run: str = RUN, culprit: str = CULPRIT, base: str = BASE) -> bool:
    patch = parse_patch(diff(after="reverted")).text
    drafted = Drafted(base=base, patch=patch, title="Revert", culprit=culprit)
    with world.unit() as work:
        work.investigations.add(run, drafted)
        work.investigations.add(run, verified())
        return reverting.conclude_revert(work, "INC-1", run, world.rules)


def approvals(world: World) -> dict:
    with world.unit() as work:
        return {one.digest: one for one in work.approvals.of("INC-1")}


def plan(world: World, run: str = RUN):
    with world.unit() as work:
        return reverting.plan_revert(work, "INC-1", run=run, folder="/tmp/none", rules=world.rules)


def labels(world: World, digest: str) -> list[str]:
    effect = [item for item in world.promised("patch") if item.payload["arg"] == digest[:12]][-1]
    return [b.label for b in Composer(world.store, world.rules, Links(base="")).compose(effect, "web").buttons]


def test_a_press_starts_one_phase_that_knows_what_to_revert(world):
    other = world.propose()
    with world.unit() as work:
        draft = work.drafts.get("INC-1", other.digest)
    assert draft.culprit != CULPRIT
    assert "Revert instead" in labels(world, other.digest)
    assert world.press("revert:INC-1").ok
    assert world.phases.keys("revert") == [RUN]
    assert "Revert instead" not in labels(world, other.digest)
    assert "being drafted already" in world.press("revert:INC-1", "ben@web").text
    job = plan(world)
    assert job.run == RUN
    assert job.wants_revert, "a person who asks for the revert gets nothing smaller"
    assert [result.culprit for result in job.done if isinstance(result, Confirmed)] == [CULPRIT]


def test_the_revert_takes_the_place_of_what_waits_and_concludes_once(world):
    other = world.propose()
    world.say("/patch revert INC-1")
    assert finish(world)
    assert not finish(world)
    states = {digest: one.state for digest, one in approvals(world).items()}
    assert states.pop(other.digest) is ApprovalState.SUPERSEDED
    assert list(states.values()) == [ApprovalState.PENDING]
    assert plan(world) is None
    (digest,) = states
    assert approvals(world)[digest].requester == "ada"
    assert "Revert instead" not in labels(world, digest)
    assert "waits for a decision already" in world.say("/patch revert INC-1").text


def test_a_superseded_revert_comes_back_when_a_person_wants_it(world):
    world.say("/patch revert INC-1")
    finish(world)
    (first,) = approvals(world).values()
    with world.unit() as work:
        other = work.approvals.get("INC-1", first.digest)
        supersede_open(work, work.incidents.get("INC-1"), other)
    assert world.say("/patch revert INC-1").ok
    assert finish(world, run="INC-1:1+revert2", base="f" * 40)
    (again,) = approvals(world).values()
    assert (again.state, again.renewals, again.votes) == (ApprovalState.PENDING, 1, ())
    with world.unit() as work:
        assert work.drafts.get("INC-1", again.digest).base == again.base == BASE, "what is pushed is what was shown"
    assert world.press(f"approve:INC-1:{again.digest[:12]}").ok
    assert approvals(world)[again.digest].state is ApprovalState.APPROVED


def test_no_revert_is_said_with_the_reason(world):
    world.say("/patch revert INC-1")
    drafted = Drafted(base=BASE, patch=b"", title="", culprit=CULPRIT, notes=("later commits changed the same lines",))
    with world.unit() as work:
        work.investigations.add(RUN, drafted)
        assert not reverting.conclude_revert(work, "INC-1", RUN, world.rules)
    assert world.texts("revert_ended") == ["No revert is proposed: later commits changed the same lines"]
    assert world.say("/patch revert INC-1").ok, "it may be tried again"


def test_a_pushed_patch_is_reverted_by_its_own_commit_and_may_follow_it(world):
    pushed = world.propose()
    world.press(f"approve:INC-1:{pushed.digest[:12]}")
    assert "on its way" in world.say("/patch revert INC-1").text
    sha = "d" * 40
    with world.unit() as work:
        rollout.record_push(work, "INC-1", pushed.digest, sha=sha, moved=False)
        rollout.record_ci(work, "INC-1", pushed.digest, CIRun(id="1", sha=sha, state=CIState.PASSED))
    assert world.say("/patch revert INC-1").ok
    assert next(r.culprit for r in plan(world).done if isinstance(r, Confirmed)) == sha
    assert finish(world, culprit=sha)
    (new,) = [one for one in approvals(world).values() if one.digest != pushed.digest]
    with world.unit() as work:
        title = work.drafts.get("INC-1", pushed.digest).title
        assert work.drafts.get("INC-1", new.digest).title == f'Revert "{title}"'
    world.press(f"approve:INC-1:{new.digest[:12]}")
    with world.unit() as work:
        rollout.recheck(work, "INC-1", new.digest, world.rules)


def test_nothing_is_reverted_where_nobody_is_blamed(tmp_path):
    world = make_world(tmp_path, opened=True)
    assert "nothing to revert" in world.say("/patch revert INC-1").text
    assert world.phases.keys("revert") == []


def test_a_resolved_incident_gets_no_revert(world):
    world.press("resolve:INC-1")
    assert "resolved" in world.say("/patch revert INC-1").text
