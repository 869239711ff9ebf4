"""Merge requests: `connectors.ci.gitlab` as a forge."""

import pytest
from aiohttp import web

from bot.domain.change import ChangeRequest, ChangeState
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.gitlab import Connector, Settings
from connectors.ci.gitlab.merge_requests import escape_body, escape_title
from tests.contract.far_side import answer, make_sha
from tests.contract.gitlab_server import TOKEN, GitLabServer

BRANCH = "nightshift/inc-1/abc"


@pytest.fixture
async def gitlab():
    server = GitLabServer()
    server.branches |= {BRANCH: make_sha("patch"), "release/1": make_sha("release")}
    async with server.serve() as url:
        server.url = url
        yield server


@pytest.fixture
async def forge(gitlab):
    made = Connector(Settings(url=gitlab.url, token=TOKEN, projects={"shop": "team/shop"}), ["shop"])
    yield made.forge
    await made.close()


def request(**changes: str) -> ChangeRequest:
    given = {"title": "Revert the discount", "body": "It broke the till.", "target": "main", "sha": make_sha("patch")}
    return ChangeRequest(repository="shop", branch=BRANCH, **{**given, **changes})


@pytest.mark.parametrize(
    ("branch", "rules"),
    [("main", (True, True, True)), ("release/1", (True, False, True)), (BRANCH, (True, False, False)),
     ("nightshift/none", (False, False, False))],
)  # fmt: skip
async def test_it_says_which_branches_are_default_and_protected(forge, branch, rules):
    told = await forge.rules("shop", branch)
    assert (told.exists, told.is_default, told.is_protected) == rules


async def test_a_default_branch_that_does_not_exist_yet_is_still_the_default(gitlab, forge):
    del gitlab.branches["main"]
    assert (await forge.rules("shop", "main")).is_default


async def test_a_change_is_proposed_once_and_found_again(gitlab, forge):
    assert await forge.find("shop", BRANCH) is None
    made = await forge.propose(request())
    assert (made.number, made.state, made.sha) == (1, ChangeState.OPEN, make_sha("patch"))
    assert await forge.propose(request()) == made == await forge.find("shop", BRANCH)
    assert len(gitlab.merge_requests) == 1
    assert gitlab.merge_requests[0]["target_branch"] == "main"


async def test_a_change_that_another_process_proposed_meanwhile_is_returned(gitlab, forge):
    gitlab.add_merge_request(source_branch=BRANCH)
    gitlab.faults = [answer(200, [])]
    assert (await forge.propose(request())).number == 1


async def test_a_proposal_whose_answer_is_lost_is_there_the_next_time(gitlab, forge):
    gitlab.late_faults = [lambda: web.Response(status=504)]
    with pytest.raises(Unavailable):
        await forge.propose(request())
    assert (await forge.propose(request())).number == 1
    assert len(gitlab.merge_requests) == 1


async def test_a_fork_s_branch_of_the_same_name_is_not_ours(gitlab, forge):
    gitlab.add_merge_request(source_branch=BRANCH, project=666)
    assert await forge.find("shop", BRANCH) is None


async def test_a_change_is_merged_at_the_commit_that_was_approved(gitlab, forge):
    made = await forge.propose(request())
    merged = await forge.merge("shop", made.number, make_sha("patch"))
    assert (merged.state, merged.merged_sha) == (ChangeState.MERGED, make_sha("merged"))
    assert await forge.merge("shop", made.number, make_sha("patch")) == merged


async def test_a_head_that_moved_is_never_merged(gitlab, forge):
    made = await forge.propose(request())
    gitlab.merge_requests[0]["sha"] = make_sha("pushed later")
    with pytest.raises(Rejected, match="no longer stands"):
        await forge.merge("shop", made.number, make_sha("patch"))
    assert gitlab.merge_requests[0]["state"] == "opened"


async def test_a_head_that_moves_between_look_and_merge_is_refused_by_gitlab(gitlab, forge):
    made = await forge.propose(request())
    before = dict(gitlab.merge_requests[0])
    gitlab.merge_requests[0]["sha"] = make_sha("pushed later")
    gitlab.faults = [answer(200, before)]
    with pytest.raises(Rejected) as caught:
        await forge.merge("shop", made.number, make_sha("patch"))
    assert caught.value.reason is Reason.CONFLICT


@pytest.mark.parametrize("status", ["conflict", "ci_must_pass", "not_approved"])
async def test_what_a_rule_forbids_is_rejected(gitlab, forge, status):
    made = await forge.propose(request())
    gitlab.merge_requests[0]["detailed_merge_status"] = status
    with pytest.raises(Rejected):
        await forge.merge("shop", made.number, make_sha("patch"))


async def test_what_gitlab_still_checks_may_be_tried_again(gitlab, forge):
    made = await forge.propose(request())
    gitlab.merge_requests[0]["detailed_merge_status"] = "checking"
    with pytest.raises(Unavailable) as caught:
        await forge.merge("shop", made.number, make_sha("patch"))
    assert caught.value.retry_after


async def test_a_closed_change_is_not_merged(gitlab, forge):
    made = await forge.propose(request())
    gitlab.merge_requests[0]["state"] = "closed"
    with pytest.raises(Rejected, match="closed"):
        await forge.merge("shop", made.number, make_sha("patch"))


@pytest.mark.parametrize("value", [[], None, {}, {"iid": "1"}, {"iid": -1, "sha": []}, {"iid": True}])
async def test_an_answer_that_is_no_merge_request_is_an_error_of_the_port(gitlab, forge, value):
    gitlab.faults = [answer(200, value)]
    with pytest.raises(Unavailable):
        await forge.merge("shop", 1, make_sha("patch"))


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("ping @all and #12 !3 &4 $5 ~bug", "ping @ all and # 12 ! 3 & 4 $ 5 ~ bug"),
        ("Closes https://gitlab.example.com/x/-/issues/1", "Closes https: //gitlab.example.com/x/-/issues/1"),
        ("Draft: x", "Change: Draft: x"),
        ("[WIP] x", "Change: [WIP] x"),
        ("a\nb\u202ec", "a b c"),
        ("", "Change: "),
    ],
)
def test_a_title_mentions_nobody_and_links_nothing(title, shown):
    assert escape_title(title) == shown


def test_a_description_is_preformatted_so_nothing_in_it_is_obeyed():
    body = "Why\n/merge\n```\n/assign @all\n</pre>\r\n\u202eCloses #1\n\n  deep"
    assert all(line == "" or line.startswith("    ") for line in escape_body(body).split("\n"))
    assert "\u202e" not in escape_body(body)


async def test_the_check_says_whether_merge_requests_can_be_read(gitlab, forge):
    assert (await forge.check()).ok
    gitlab.faults = [answer(403, {"message": "403 Forbidden"})]
    assert not (await forge.check()).ok
