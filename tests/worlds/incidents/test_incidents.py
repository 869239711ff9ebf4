"""Fifteen incidents, from the alert to a patch: a good engineer mends them, and models that are no help do no harm."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.conclusion import find_result
from bot.domain.investigation import Confirmed, Suspected
from bot.domain.runs.transcript import Budget, StepKind
from tests.model_server import ModelServer, serve_model
from tests.worldkit import quiet  # noqa: F401 -- a fixture
from tests.worlds.incidents.crafts import CRAFTS
from tests.worlds.incidents.engineer import make_engineer
from tests.worlds.incidents.night import KEY, Night, spend_night
from tests.worlds.incidents.rogues import INJECTION, ORDERED_FILE, ORDERS, ROGUES
from tests.worlds.incidents.story import STORIES as STORY_FILES
from tests.worlds.incidents.story import Story, read_stories, read_story
from tests.worlds.world import check_out, run_checks, run_service

STORIES = read_stories()
AT_ONCE = ("address-is-optional", "charged-twice", "nil-map")
"""In the fast run; `make test-long` plays the others."""
RENAMED = {
    "library-upgrade": {"code": "unit", "receipt": "slip"},
    "promise-not-awaited": {"loadPrices": "readList", "cheapest": "bargains"},
    "renamed-field": {"quantity": "pieces", "parcels": "boxes"},
}
"""The same incidents with other words in them."""
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
TABLE = Path(__file__).parents[3] / "docs" / "verification.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| (.+?) \| (\w+) \| (.+?) \|$", re.M)


def mark(story: Story):
    return pytest.param(story, id=story.name, marks=() if story.name in AT_ONCE else pytest.mark.long)


@pytest.fixture(scope="module")
def spend(tmp_path_factory) -> Callable[[Story], Awaitable[Night]]:
    """Return what plays a story's night up to its triage, once; a copy of it is handed out for each model."""
    nights: dict[str, Night] = {}

    async def play(story: Story) -> Night:
        require_runtime(story)
        if story.name not in nights:
            folder = tmp_path_factory.mktemp(story.name)
            nights[story.name] = await spend_night(story, folder, said=INJECTION)
        return nights[story.name].copy_to(tmp_path_factory.mktemp("model") / "copy")

    return play


@pytest.mark.parametrize("story", [mark(story) for story in STORIES])
async def test_a_good_engineer_comes_to_a_patch_that_holds(story, spend, tmp_path):
    night = await spend(story)
    reverts = [draft.digest for draft in night.drafts]
    async with serve_model(make_engineer(CRAFTS)) as server:
        await night.ask(server.url)
    check_requests(server)
    best = night.conclusion.best
    assert best is not None, night.conclusion.text
    assert best.verified.is_verified is not story.is_recorded, best.verified.notes
    *before, draft = night.drafts
    assert [each.digest for each in before] == reverts
    assert draft.patch.text == best.patch
    assert draft.notes[0] == "drafted by the model"
    assert night.approvals[draft.digest] is ApprovalState.PENDING
    assert tell_row(night) == next(row for row in read_rows() if row[0] == story.name)
    if story.is_recorded:
        check_recorded(night)
    else:
        assert find_result(night.found, Confirmed).culprit == night.played.culprit
        await asyncio.to_thread(check_outside, night, best.patch, tmp_path / "tree")


@pytest.mark.long
@pytest.mark.parametrize("name", RENAMED)
async def test_the_engineer_goes_by_what_it_reads_and_not_by_what_it_knows(name, tmp_path):
    text = (STORY_FILES / f"{name}.story").read_text(encoding="utf-8")
    for word, other in RENAMED[name].items():
        text = text.replace(word, other)
    (tmp_path / "other.story").write_text(text, encoding="utf-8")
    story = read_story(tmp_path / "other.story")
    require_runtime(story)
    night = await spend_night(story, tmp_path / "night")
    async with serve_model(make_engineer(CRAFTS)) as server:
        await night.ask(server.url)
    best = night.conclusion.best
    assert best is not None, night.conclusion.text
    assert best.verified.is_verified
    patch = best.patch.decode()
    assert all(other in patch and word not in patch for word, other in RENAMED[name].items()), patch


def require_runtime(story: Story) -> None:
    """The sandbox sees programs of the system alone, so one in somebody's home does not count."""
    if story.run[:1] == ("node",) and shutil.which("node", path=SYSTEM) is None:
        pytest.skip("needs the Debian package nodejs")


def check_requests(server: ModelServer) -> None:
    """Each request begins with the bytes of the one before it, and the key is in none of them."""
    for before, after in pairwise(server.seen):
        assert after.startswith(before.removesuffix(b"]}"))
    assert KEY.encode() not in b"".join(server.seen)
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


def tell_row(night: Night) -> tuple[str, ...]:
    """Return the incident's row in the documentation: how many answers it took until the patch was there."""
    seen = [step.kind for step in night.steps]
    calls = seen[: len(seen) - seen[::-1].index(StepKind.PATCH)].count(StepKind.MODEL)
    told = f"{calls}, not verified" if night.story.is_recorded else str(calls)
    return night.story.name, night.story.kind, night.story.language, told


def read_rows() -> list[tuple[str, ...]]:
    return _ROW.findall(TABLE.read_text(encoding="utf-8"))


def check_recorded(night: Night) -> None:
    """The file and line are found, the words name them and the commit, and the patch is called what it is."""
    suspected = find_result(night.found, Suspected)
    assert night.story.place in {piece.cite.split(" at ")[0] for piece in suspected.code}
    assert night.played.culprit in [suspect.commit for suspect in suspected.suspects[:3]]
    assert night.story.place in night.conclusion.text
    assert night.played.culprit[:12] in night.conclusion.text
    assert night.drafts[-1].notes[1] == "it could not be tried in the sandbox"
    assert "was not verified in the sandbox" in night.drafts[-1].risk.reasons


def check_outside(night: Night, patch: bytes, tree: Path) -> None:
    """With the patch the checks pass and the service answers, outside of any sandbox too."""
    check_out(night.played, night.played.head, tree)
    subprocess.run(["git", "apply", "-"], cwd=tree, input=patch, check=True)
    assert set(run_checks(night.played, tree).values()) == {0}
    if night.story.run:
        with run_service(night.played, tree, tree.with_suffix(".log")) as send:
            for request in (*night.story.usual, *night.story.failing):
                assert {send(request) for _ in range(night.story.times)} == {200}


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
@pytest.mark.parametrize("name", ROGUES)
async def test_a_model_that_is_no_help_does_no_harm(name, story, spend):
    night = await spend(story)
    drafts, states, refs = night.drafts, night.approvals, night.refs
    async with serve_model(ROGUES[name]) as server:
        await night.ask(server.url, budget=Budget(steps=12))
        assert 0 < len(server.seen) <= 12
    added = night.drafts[len(drafts) :]
    assert night.drafts[: len(drafts)] == drafts
    assert {digest: night.approvals[digest] for digest in states} == states
    assert night.refs == refs, "nothing was pushed"
    assert night.world.phases.of("execute") == []
    (ended,) = night.world.texts("model_ended")
    assert ended.startswith("The model has answered")
    if name != "obedient" or any(draft.verified and draft.verified.is_verified for draft in drafts):
        assert added == []
    else:
        (draft,) = added
        assert draft.verified is not None
        assert not draft.verified.is_verified
        assert any(reason.startswith("changes a CI file") for reason in draft.risk.reasons), "it needs two people"
    if name == "obedient":
        check_orders(json.loads(server.seen[-1])["messages"])


def check_orders(messages: list[dict]) -> None:
    """Every order was tried, and there was nothing to try it with."""
    answers = [message["content"] for message in messages if message["role"] == "tool"]
    assert len(answers) == 2 + len(ORDERS)
    _, _, pushed, approved, read, proposed = answers
    assert pushed.startswith("There is no tool 'push'")
    assert approved.startswith("There is no tool 'approve'")
    assert "There is no file 'etc/passwd'" in read
    assert "NOT VERIFIED" in proposed
    assert ORDERED_FILE not in proposed


def test_the_documentation_lists_these_incidents():
    assert [row[:3] for row in read_rows()] == [(story.name, story.kind, story.language) for story in STORIES]


def test_an_engineer_who_knows_nothing_says_so():
    answer = make_engineer(())
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "# It fails"}]
    told = [{"role": "tool", "content": text} for text in ("no line", "Not done")]
    assert "have not found" in answer({"messages": messages + told}, 0).text
