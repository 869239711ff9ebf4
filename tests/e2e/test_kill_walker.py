"""R1, R2, R3: kill -9 at every named fault point, start again, and the incident ends as if nothing had happened."""

import asyncio
import shutil
from collections.abc import Callable, Sequence

import pytest

from bot.bootstrap.commands.audit import check_audit
from bot.domain.patches.patch import parse_patch
from bot.settings import load_settings
from tests.e2e.walk import Ground, Walk, make_ground, shop_service
from tests.fault_points import FaultPoint, read_fault_points
from tests.playbooks.world import Step, run_git

CULPRIT = Step(
    subject="Read the rate of a coupon",
    author="Cy",
    files={
        "shop/coupons.py": """
TABLE = {"SPRING": 10}


def load_coupon(code):
    return {"code": code, "rate": TABLE[code]}
"""
    },
)
EVENTFUL = {"sends_junk": True, "escalate_after": 0.3, "breaks_glass": True, "reruns_ci": True}
CHILDREN = {"worker": "-m bot worker", "runner": "-m bot ci-runner"}
LATER_COMMITS = (9, 21, 34)
SHARDS = 3
STAGES = (
    "inbox", "intake", "store", "chat.card", "chat.page", "phase.triage.before", "chat.status", "stage.collected",
    "effect", "press", "stage.suspected", "chat.edit", "stage.confirmed", "stage.drafted", "stage.verified",
    "triage", "phase.triage.after", "chat.findings", "chat.patch", "phase.execute.before", "push.before", "push.after",
    "push.record", "phase.execute.after", "phase.follow.before", "ci.start.before", "ci.start.after", "ci.started",
    "ci.verdict", "phase.follow.after", "chat.verdict", "chat.closed",
)  # fmt: skip
"""The order in which an incident passes the points, as far as there is one."""


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)


@pytest.fixture
def make_walk(ground, tmp_path):
    walks = []

    def make(**options) -> Walk:
        folder = tmp_path / str(len(walks))
        folder.mkdir()
        shutil.copytree(ground.repository.folder, folder / "shop.git")
        shutil.copy(ground.log, folder / "app.log")
        walks.append(Walk(folder=folder, service=shop_service(folder), **options))
        return walks[-1]

    yield make
    for walk in walks:
        walk.stop()


def options_for(point: FaultPoint) -> dict:
    """What has to happen on the way so that the point is reached at all."""
    if point.name.startswith("phase.expire."):
        return {"expiry_minutes": 0.02}
    if point.name.startswith(("phase.ci.", "phase.escalate.", "chat.glass.")) or point.name == "deadletter.reported":
        return EVENTFUL
    if point.name.startswith(("revert.", "phase.revert.")):
        return {"asks_revert": True}
    return {"refuses_push": True} if point.name.startswith("chat.notice.") else {}


def is_of_model(point: FaultPoint) -> bool:
    """tests/e2e/test_model.py kills at these, with a model at hand."""
    is_model = point.name.startswith(("model.", "phase.model.", "phase.suggest.")) and not is_of_questions(point)
    return is_model or point.name == "worker.step"


def is_of_rollout(point: FaultPoint) -> bool:
    """tests/e2e/test_rollout_walker.py kills at these, with a forge and a CI that has to be told."""
    phases = tuple(f"phase.{phase}." for phase in ("propose", "look", "merge", "deploy", "deployed", "watch", "revert"))
    return point.name.startswith(("ci.dispatch.", "change.", "merge.", "deploy.", *phases))


def is_of_rollback(point: FaultPoint) -> bool:
    """tests/e2e/test_rollback_walker.py kills at these, where somebody rolls back."""
    return point.name.startswith(("rollback.", "phase.rollback.", "phase.release."))


def is_of_green_logs(point: FaultPoint) -> bool:
    """Nothing rests on them but what a later red log is compared with; a unit test runs their phase twice."""
    return point.name.startswith("phase.green.")


def is_of_plots(point: FaultPoint) -> bool:
    """Nothing rests on them; tests/unit/test_plotting.py runs their phase twice, and test_dispatcher_kills.py kills."""
    return point.name.startswith(("chat.plots.", "phase.plot."))


def is_of_contacts(point: FaultPoint) -> bool:
    """tests/unit/test_contacts.py kills at these, where somebody has a contact."""
    return point.name.startswith("contact.")


def is_of_hooks(point: FaultPoint) -> bool:
    """tests/unit/test_dispatcher_kills.py kills at these, where a hook is told."""
    return point.name.startswith("hook.")


def is_of_no_walk(point: FaultPoint) -> bool:
    """tests/unit/test_dispatcher_kills.py kills at these: nothing rests on them, so no walk waits for them."""
    return point.name.startswith(("chat.answer.", "chat.linked.", "chat.summary.", "chat.raised."))


def is_of_questions(point: FaultPoint) -> bool:
    """tests/e2e/test_model.py kills at these, where a model asks people; tests/unit/test_asking.py at each commit."""
    return point.name.startswith(("chat.question.", "phase.unanswered.", "model.asked", "model.answered"))


def is_of_watch(point: FaultPoint) -> bool:
    """tests/e2e/test_watch.py kills at these, while somebody has the incident watched."""
    return point.name.startswith(("phase.watching.", "chat.watch."))


def is_of_another_walk(point: FaultPoint) -> bool:
    aside = (is_of_contacts, is_of_hooks, is_of_no_walk, is_of_green_logs, is_of_plots, is_of_questions, is_of_watch)
    others = (*aside, is_of_model, is_of_rollout, is_of_rollback)
    return any(is_other(point) for is_other in others)


def sort_by_time(points: Sequence[FaultPoint]) -> list[FaultPoint]:
    def when(point: FaultPoint) -> int:
        return next((number for number, stage in enumerate(STAGES) if point.name.startswith(stage)), len(STAGES))

    return sorted(points, key=when)


def ids(point: FaultPoint) -> str:
    return point.name


POINTS = [point for point in read_fault_points() if not is_of_another_walk(point)]


def is_on_every_walk(point: FaultPoint) -> bool:
    return point.process == "front" and not options_for(point)


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_kills_on_every_walk_lose_nothing_and_double_nothing(shard, make_walk):
    names = [point.name for point in sort_by_time(POINTS) if is_on_every_walk(point)]
    await kill_at_each(names[shard::SHARDS], make_walk, check_outcome)


ON_SPECIAL_WALKS = {str(options_for(point)): options_for(point) for point in POINTS if options_for(point)}


@pytest.mark.parametrize("options", ON_SPECIAL_WALKS.values(), ids=ON_SPECIAL_WALKS)
async def test_kills_where_something_else_has_to_happen_lose_nothing_and_double_nothing(options, make_walk):
    names = [point.name for point in POINTS if options_for(point) == options]
    await kill_at_each(names, lambda: make_walk(**options), check_outcome)


async def kill_at_each(names: Sequence[str], make: Callable[[], Walk], check: Callable[[Walk], None]) -> None:
    """Let one walk die at one point after another, as they come; what has gone by already is for the next walk."""
    left = list(names)
    while left:
        walk = make()
        missed = await walk.run(*left)
        assert list(missed[:1]) != left[:1], f"{left[0]} was never reached"
        await asyncio.to_thread(check, walk)
        walk.stop()
        left = list(missed)


@pytest.mark.parametrize("point", [point for point in POINTS if point.process != "front"], ids=ids)
async def test_the_death_of_a_child_loses_nothing_and_doubles_nothing(point, make_walk):
    walk = make_walk(**options_for(point))
    await walk.run(point.name, child=CHILDREN.get(point.process, ""))
    assert walk.starts == 2, f"{point.name} was never reached"
    await asyncio.to_thread(check_outcome, walk)


@pytest.mark.long
@pytest.mark.parametrize("count", LATER_COMMITS)
async def test_a_kill_at_a_later_commit_is_no_different(count, make_walk):
    walk = make_walk()
    await walk.run(f"store.commit.after:{count}")
    assert walk.starts == 2
    await asyncio.to_thread(check_outcome, walk)


def check_outcome(walk: Walk) -> None:
    incidents = walk.query("SELECT key, state FROM incident WHERE key NOT LIKE 'dead-letter%'")
    assert [state for _, state in incidents] == ["resolved"], "exactly one incident, and it is resolved"
    assert walk.repeated_posts("console") <= max(1, walk.starts - 1), "at most one post repeated for each crash"
    dead = walk.query("SELECT COUNT(*) FROM incident WHERE key LIKE 'dead-letter%'")[0][0]
    assert dead == (1 if walk.sends_junk else 0)
    triggers = 0 if walk.refuses_push else 1
    runs = walk.state / "ci" / "runs"
    assert len(list(runs.iterdir()) if runs.exists() else []) == triggers, "exactly one CI run"
    branches = run_git(walk.repository, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").split()
    assert len(branches) == triggers
    if branches:
        check_pushed_bytes(walk, branches[0].decode())
    check_trail(walk)


def check_pushed_bytes(walk: Walk, sha: str) -> None:
    """S5: the commit holds exactly the patch that was shown, on the base that was approved."""
    [(patch, body)] = walk.query("SELECT patch, body FROM draft")
    base = run_git(walk.repository, "rev-parse", f"{sha}^").decode().strip()
    assert f'"{base}"' in body
    assert parse_patch(run_git(walk.repository, "diff", "--full-index", base, sha)).text == patch


def check_trail(walk: Walk) -> None:
    """S6: the trail is whole, and agrees with the heads on the card and in the pushed commit."""
    report = check_audit(load_settings(walk.folder / "nightshift.toml"), [])
    assert report.ok, report.text
