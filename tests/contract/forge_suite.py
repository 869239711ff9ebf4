"""What every forge must do, whatever its service: subclass `ForgeContract` and give it a world.

    class TestForgeGitHub(ForgeContract):
        @pytest.fixture
        async def world(self, tmp_path): ...     # yields a ForgeWorld

A world is the connector together with the far side of its service in the test's hands.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bot.domain.change import BranchRules, ChangeRequest, ChangeState
from bot.errors import Rejected
from bot.ports.forge import Forge

HOSTILE = "Fix @octo-org/all\r\n\x1b[2J# heading `code` <b>bold</b> \u202e[x](https://evil.example) closes #12"


@dataclass(kw_only=True)
class ForgeWorld:
    """`request` proposes a pushed branch that merges cleanly, `clashing` one that conflicts with the target.

    `main` is the protected default branch. `push` adds a commit to a branch and returns it; `parents` asks the far
    side for the parents of what a branch stands at; `close` closes a change as a person would; `shown` is the title
    and the body that people see; `count` is how many changes there ever were.
    """

    forge: Forge
    request: ChangeRequest
    clashing: ChangeRequest
    push: Callable[[str], str]
    head: Callable[[str], str]
    parents: Callable[[str], list[str]]
    close: Callable[[int], None]
    shown: Callable[[int], tuple[str, str]]
    count: Callable[[], int]


class ForgeContract:
    async def test_it_says_whether_it_can_be_used(self, world: ForgeWorld):
        health = await world.forge.check()
        assert health.ok, health.text
        assert health.text

    async def test_it_knows_the_rules_of_a_branch(self, world: ForgeWorld):
        ask, repository = world.forge.rules, world.request.repository
        assert await ask(repository, "main") == BranchRules(exists=True, is_default=True, is_protected=True)
        free = BranchRules(exists=True, is_default=False, is_protected=False)
        assert await ask(repository, world.request.branch) == free
        assert await ask(repository, "nightshift/none/x") == replace(free, exists=False)

    async def test_a_branch_that_was_never_proposed_has_no_change(self, world: ForgeWorld):
        assert await world.forge.find(world.request.repository, world.request.branch) is None

    async def test_a_change_is_proposed_and_found_again(self, world: ForgeWorld):
        made = await world.forge.propose(world.request)
        assert (made.state, made.sha, made.merged_sha) == (ChangeState.OPEN, world.request.sha, "")
        assert made.number > 0
        assert made.url.startswith("http")
        assert await world.forge.find(world.request.repository, world.request.branch) == made

    async def test_proposing_again_is_the_same_change(self, world: ForgeWorld):
        first = await world.forge.propose(world.request)
        again = await world.forge.propose(replace(world.request, title="Another title"))
        assert first.number == again.number
        assert world.count() == 1

    async def test_proposing_at_once_from_many_sides_is_one_change(self, world: ForgeWorld):
        made = await asyncio.gather(*(world.forge.propose(world.request) for _ in range(8)))
        assert len({change.number for change in made}) == 1
        assert world.count() == 1

    async def test_what_a_person_closed_is_not_opened_again(self, world: ForgeWorld):
        made = await world.forge.propose(world.request)
        world.close(made.number)
        again = await world.forge.propose(world.request)
        assert (again.number, again.state) == (made.number, ChangeState.CLOSED)
        with pytest.raises(Rejected):
            await world.forge.merge(world.request.repository, made.number, world.request.sha)

    async def test_hostile_words_do_nothing_and_are_not_lost(self, world: ForgeWorld):
        made = await world.forge.propose(replace(world.request, title=HOSTILE, body=f"first\n{HOSTILE}\n```\nlast"))
        title, body = world.shown(made.number)
        for text in (title, body):
            assert "@octo" not in text
            assert "#12" not in text
            assert "octo-org/all" in text
            assert not set(text) & set("\x1b\r\u202e")
        assert "\n" not in title
        assert "first\n" in body
        assert "\nlast" in body

    async def test_a_title_and_body_of_any_size_are_taken(self, world: ForgeWorld):
        made = await world.forge.propose(replace(world.request, title="t" * 10_000, body="b" * 1_000_000))
        title, body = world.shown(made.number)
        assert len(title) <= 255
        assert 1000 < len(body) <= 65_000

    async def test_a_merge_puts_both_sides_together(self, world: ForgeWorld):
        made, base = await world.forge.propose(world.request), world.head("main")
        merged = await world.forge.merge(world.request.repository, made.number, world.request.sha)
        assert (merged.number, merged.state, merged.sha) == (made.number, ChangeState.MERGED, world.request.sha)
        assert merged.merged_sha == world.head("main")
        assert world.parents("main") == [base, world.request.sha]
        assert await world.forge.find(world.request.repository, world.request.branch) == merged

    async def test_merging_again_changes_nothing(self, world: ForgeWorld):
        made = await world.forge.propose(world.request)
        first = await world.forge.merge(world.request.repository, made.number, world.request.sha)
        assert await world.forge.merge(world.request.repository, made.number, world.request.sha) == first
        assert world.head("main") == first.merged_sha

    async def test_a_head_that_moved_is_not_merged(self, world: ForgeWorld):
        made, base = await world.forge.propose(world.request), world.head("main")
        moved = world.push(world.request.branch)
        with pytest.raises(Rejected):
            await world.forge.merge(world.request.repository, made.number, world.request.sha)
        assert world.head("main") == base
        found = await world.forge.find(world.request.repository, world.request.branch)
        assert found is not None
        assert (found.sha, found.state) == (moved, ChangeState.OPEN)

    async def test_a_conflict_is_not_merged(self, world: ForgeWorld):
        made, base = await world.forge.propose(world.clashing), world.head("main")
        with pytest.raises(Rejected):
            await world.forge.merge(world.clashing.repository, made.number, world.clashing.sha)
        assert world.head("main") == base

    async def test_what_cannot_be_proposed_is_refused(self, world: ForgeWorld):
        for changes in ({"branch": "gone"}, {"target": "gone"}, {"sha": "HEAD"}, {"repository": "file:///etc"}):
            with pytest.raises(Rejected):
                await world.forge.propose(replace(world.request, **changes))
        with pytest.raises(Rejected):
            await world.forge.merge(world.request.repository, 999, world.request.sha)
        assert world.count() == 0
