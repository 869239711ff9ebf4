"""Pull requests on GitHub, really merged in a repository behind the test's own forge."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.change import ChangeState
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.github.words import MAX_BODY, write_body, write_title
from tests.contract.forge_suite import ForgeContract, ForgeWorld
from tests.contract.github_world import GitHubWorld, open_world
from tests.forge.faults import Answer
from tests.forge.repository import Reported, Rule

TIDY = "nightshift/INC-1/tidy"


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    async with open_world(tmp_path) as world:
        yield world


@pytest.fixture
def world(github: GitHubWorld) -> ForgeWorld:
    shop, origin = github.shop, github.shop.origin
    clashing = github.propose(github.commit("clash"))

    def push(branch: str) -> str:
        origin.git("checkout", "-q", branch)
        return origin.commit("more", {"MORE.md": "more\n"}, branch)

    def close(number: int) -> None:
        pull = shop.pulls[number - 1]
        pull.is_open, pull.head = False, shop.head(pull.branch)

    origin.git("checkout", "-q", "-B", TIDY, "main")
    tidy = origin.commit("tidy", {"NOTES.md": "tidy\n"}, TIDY)
    origin.git("checkout", "-q", "main")
    origin.commit("decide otherwise", {"outcome": "another"})
    return ForgeWorld(
        forge=github.connect().forge,
        request=replace(clashing, branch=TIDY, sha=tidy),
        clashing=clashing,
        push=push,
        head=shop.head,
        parents=lambda branch: shop.show(shop.head(branch), "%P").split(),
        close=close,
        shown=lambda number: (shop.pulls[number - 1].title, shop.pulls[number - 1].body),
        count=lambda: len(shop.pulls),
    )


class TestForgeGitHub(ForgeContract):
    pass


async def test_a_pull_request_whose_answer_is_lost_is_found(github: GitHubWorld, world: ForgeWorld):
    github.forge.faults.answers.append(Answer(status=0, method="POST", path=".*/pulls", after=True))
    with pytest.raises(Unavailable):
        await world.forge.propose(world.request)
    assert (await world.forge.propose(world.request)).number == 1
    assert world.count() == 1


async def test_a_pull_request_that_exists_but_is_not_listed_yet_is_waited_for(github: GitHubWorld, world: ForgeWorld):
    await world.forge.propose(world.request)
    github.forge.faults.answers.append(Answer(status=200, body="[]", method="GET", path=".*/pulls", times=2))
    with pytest.raises(Unavailable) as caught:
        await world.forge.propose(world.request)
    assert caught.value.reason is Reason.CONFLICT


async def test_a_merge_whose_answer_is_lost_is_found(github: GitHubWorld, world: ForgeWorld):
    made = await world.forge.propose(world.request)
    github.forge.faults.answers.append(Answer(status=502, method="PUT", path=".*/merge", after=True))
    with pytest.raises(Unavailable):
        await world.forge.merge(world.request.repository, made.number, world.request.sha)
    merged = await world.forge.merge(world.request.repository, made.number, world.request.sha)
    assert (merged.state, merged.merged_sha) == (ChangeState.MERGED, world.head("main"))


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (405, "At least 1 approving review is required", Rejected, "A rule of the branch .* approving review"),
        (409, "Head branch was modified. Review and try the merge again.", Rejected, "moved meanwhile"),
        (405, "Base branch was modified. Review and try the merge again.", Unavailable, "target moved"),
        (403, "Resource not accessible by integration", Rejected, "may not do that"),
    ],
    ids=["rule", "head", "base", "permission"],
)
async def test_a_merge_that_is_refused_says_why(
    github: GitHubWorld, world: ForgeWorld, *, status: int, said: str, kind: type[Exception], words: str
):
    made = await world.forge.propose(world.request)
    answer = Answer(status=status, body=f'{{"message": "{said}"}}', method="PUT", path=".*/merge")
    github.forge.faults.answers.append(answer)
    with pytest.raises(kind, match=words):
        await world.forge.merge(world.request.repository, made.number, world.request.sha)


async def test_a_branch_of_the_same_name_in_a_fork_is_not_ours(github: GitHubWorld, world: ForgeWorld):
    made = await world.forge.propose(world.request)
    shape = github.forge.shapes.pull(github.shop, github.shop.pulls[0])
    fork = {
        **shape,
        "number": 99,
        "head": {**shape["head"], "repo": {**shape["head"]["repo"], "full_name": "eve/shop"}},
    }
    gone = {**shape, "number": 98, "head": {**shape["head"], "repo": None}}
    github.forge.faults.answers.append(Answer(status=200, body=json.dumps([fork, gone, shape]), path=".*/pulls"))
    assert await world.forge.find(world.request.repository, world.request.branch) == made


@pytest.mark.parametrize("said", ['"yes"', "null", "1"])
async def test_a_branch_that_is_not_said_to_be_free_counts_as_protected(
    github: GitHubWorld, world: ForgeWorld, said: str
):
    body = f'{{"name": "{TIDY}", "protected": {said}}}'
    github.forge.faults.answers.append(Answer(status=200, body=body, path=".*/branches/.*"))
    assert (await world.forge.rules(world.request.repository, TIDY)).is_protected


async def test_a_renamed_default_branch_is_the_default_under_its_old_name_too(github: GitHubWorld, world: ForgeWorld):
    headers = {"Location": f"{github.forge.api_url}/repos/octo/shop/branches/main"}
    github.forge.faults.answers.append(Answer(status=301, headers=headers, path=".*/branches/master"))
    rules = await world.forge.rules(world.request.repository, "master")
    assert (rules.exists, rules.is_default) == (False, True)


async def test_a_repository_that_is_archived_cannot_be_used(github: GitHubWorld, world: ForgeWorld):
    body = json.dumps({**github.forge.shapes.repository(github.shop), "archived": True})
    github.forge.faults.answers.append(Answer(status=200, body=body, path="/repos/octo/shop"))
    health = await world.forge.check()
    assert not health.ok
    assert "octo/shop is archived" in health.text


@pytest.mark.parametrize(
    "text",
    ["@ada look", "mail@example.org", "see #12", "GH-12", "closes https://github.com/o/r/issues/1", "o/r#3", "/pull/4"],
)
def test_nothing_in_a_text_refers_to_anything(text: str):
    for shown in (write_title(text), write_body(text)):
        assert text not in shown
        assert text in shown.replace("\u200b", "")


@pytest.mark.parametrize("text", ["```\nfree", "`" * 50, "`" * 5000, "a ```` b", "~~~\n```", ""])
def test_a_text_cannot_leave_its_block(text: str):
    lines = write_body(text).splitlines()
    fence = lines[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert all(fence not in line for line in lines[1:-1])
    assert len(write_body(text)) < MAX_BODY + 2100


def test_a_title_is_never_empty():
    assert write_title("\x1b[2J \u200b") == "Nightshift"


# Rulesets ------------------------------------------------------------------------------------------------------------
PULL = {
    "dismiss_stale_reviews_on_push": False,
    "require_code_owner_review": False,
    "require_last_push_approval": False,
    "required_approving_review_count": 1,
    "required_review_thread_resolution": False,
}


@pytest.mark.parametrize(
    ("rule", "keeps_away"),
    [
        (Rule(branches="nightshift/*", type="creation"), True),
        (Rule(branches="*", type="update"), True),
        (Rule(branches="*", type="pull_request", parameters=PULL), True),
        (Rule.of_checks("*", "tests"), True),
        (Rule.of_checks("*", "tests", on_create=False), False),
        (Rule(branches="*", type="deletion"), False),
        (Rule(branches="*", type="non_fast_forward"), False),
        (Rule(branches="main", type="update"), False),
    ],
)
async def test_a_ruleset_protects_a_branch_also_before_it_is_there(
    github: GitHubWorld, world: ForgeWorld, *, rule: Rule, keeps_away: bool
):
    github.shop.rules.append(rule)
    for branch in (TIDY, "nightshift/INC-9/new"):
        assert (await world.forge.rules(world.request.repository, branch)).is_protected is keeps_away


@pytest.mark.parametrize("status", [403, 404])
async def test_a_server_or_a_plan_without_rulesets_has_none(github: GitHubWorld, world: ForgeWorld, status: int):
    github.forge.faults.answers.append(Answer(status=status, path=".*/rules/branches/.*"))
    assert not (await world.forge.rules(world.request.repository, TIDY)).is_protected


async def test_rules_that_cannot_be_read_are_no_permission(github: GitHubWorld, world: ForgeWorld):
    github.forge.faults.answers.append(Answer(status=502, path=".*/rules/branches/.*"))
    with pytest.raises(Unavailable):
        await world.forge.rules(world.request.repository, TIDY)


@pytest.mark.parametrize("is_status", [True, False])
async def test_a_merge_waits_for_what_a_ruleset_requires_and_is_refused_where_it_is_red(
    github: GitHubWorld, world: ForgeWorld, *, is_status: bool
):
    github.shop.rules.append(Rule.of_checks("main", "licences"))
    made, request = await world.forge.propose(world.request), world.request
    reported = Reported(name="licences", status="in_progress", conclusion=None, is_status=is_status)
    for one in ([], [replace(reported, conclusion="pending" if is_status else None)]):
        github.shop.reported[request.sha] = one
        with pytest.raises(Unavailable, match="waits for the required check licences"):
            await world.forge.merge(request.repository, made.number, request.sha)
    github.shop.reported[request.sha] = [replace(reported, status="completed", conclusion="failure")]
    with pytest.raises(Rejected, match="licences is not green"):
        await world.forge.merge(request.repository, made.number, request.sha)
    github.shop.reported[request.sha] = [replace(reported, status="completed", conclusion="success")]
    assert (await world.forge.merge(request.repository, made.number, request.sha)).state is ChangeState.MERGED


async def test_checks_that_the_classic_protection_requires_count_as_well(github: GitHubWorld, world: ForgeWorld):
    made = await world.forge.propose(world.request)
    told = {"name": "main", "protected": True, "protection": {"required_status_checks": {"contexts": ["lint"]}}}
    github.forge.faults.answers.append(Answer(status=200, body=json.dumps(told), path=".*/branches/main"))
    with pytest.raises(Unavailable, match="required check lint"):
        await world.forge.merge(world.request.repository, made.number, world.request.sha)
