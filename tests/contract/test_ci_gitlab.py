"""GitLab CI against a server that answers as GitLab's documentation says."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from bot.domain.ci import CIRequest, CIState, Trigger
from bot.errors import ConfigError, Reason, Rejected, Unavailable
from connectors.ci.gitlab import Connector, Settings
from tests.contract.ci_suite import CIContract, CIWorld, is_final, open_ci, wait_for
from tests.contract.far_side import answer, make_sha
from tests.contract.gitlab_server import TOKEN, GitLabServer

REPOSITORY = "https://gitlab.example.com/team/shop.git"


@pytest.fixture
async def gitlab():
    server = GitLabServer()
    async with server.serve():
        yield server


def connect(url: str) -> Connector:
    return Connector(Settings(url=url, token=TOKEN, projects={REPOSITORY: "team/shop"}, answer_seconds=5), [REPOSITORY])


@pytest.fixture
async def connector(gitlab):
    made = connect(gitlab.url)
    yield made
    await made.close()


def request(gitlab, plan: str, trigger: Trigger = Trigger.DISPATCH) -> CIRequest:
    branch, sha = f"nightshift/{plan}", make_sha(plan)
    gitlab.branches[branch], gitlab.plans[sha] = sha, plan
    return CIRequest(
        repository=REPOSITORY, sha=sha, branch=branch, incident="INC-1", trigger=trigger, key=f"INC-1/{plan}"
    )


class TestCIGitLab(CIContract):
    @pytest.fixture
    async def world(self, gitlab):
        async with open_ci(
            connect,
            gitlab.url,
            passing=request(gitlab, "pass"),
            failing=request(gitlab, "fail"),
            slow=request(gitlab, "slow"),
            count_runs=lambda: len(gitlab.pipelines),
            count_orders=lambda: len(gitlab.pipelines),
            lose_answer=gitlab.lose_answer,
        ) as world:
            yield world


async def test_a_dispatch_takes_its_key_and_commit_along(gitlab, connector):
    await connector.ci.start(request(gitlab, "pass"))
    [made] = gitlab.pipelines.values()
    assert made.variables == {"NIGHTSHIFT_KEY": "INC-1/pass", "NIGHTSHIFT_SHA": make_sha("pass")}


async def test_a_push_is_queued_until_its_pipeline_shows_and_nothing_is_ordered(gitlab, connector):
    asked = request(gitlab, "pass", Trigger.PUSH)
    first = await connector.ci.start(asked)
    assert (first.state, await connector.ci.status(asked.sha)) == (CIState.QUEUED, None)
    gitlab.add(asked.sha, asked.branch, "pass", source="push")
    assert (await connector.ci.start(asked)).id == first.id
    assert {method for method, _, _ in gitlab.seen} == {"GET"}


async def test_a_pipeline_of_ours_that_the_listing_does_not_show_yet_is_not_made_twice(gitlab, connector):
    gitlab.hidden = True
    asked = request(gitlab, "pass")
    first = await connector.ci.start(asked)
    assert (await connector.ci.start(asked)).id == first.id
    assert len(gitlab.pipelines) == 1


async def test_an_order_whose_answer_is_lost_is_sent_once_and_found_afterwards(gitlab, connector):
    gitlab.late_faults = [lambda: web.Response(status=502)]
    asked = request(gitlab, "pass")
    with pytest.raises(Unavailable):
        await connector.ci.start(asked)
    assert (await connector.ci.status(asked.sha)).sha == asked.sha
    assert len(gitlab.pipelines) == 1


async def test_a_restart_finds_the_run_again(gitlab, connector):
    asked = request(gitlab, "fail")
    await connector.ci.start(asked)
    other = Connector(
        Settings(url=gitlab.url, token=TOKEN, projects={"gone": "team/gone", "r": "team/shop"}), ["gone", "r"]
    )
    try:
        run = await other.ci.status(asked.sha)
        assert run is not None
        assert run.id == asked.sha
    finally:
        await other.close()


async def test_a_branch_that_moved_is_not_tested_in_the_commit_s_name(gitlab, connector):
    asked = request(gitlab, "slow")
    gitlab.branches[asked.branch] = make_sha("elsewhere")
    with pytest.raises(Rejected, match="no longer stands"):
        await connector.ci.start(asked)
    assert [one.status for one in gitlab.pipelines.values()] == ["canceled"]


async def test_every_pipeline_of_a_commit_counts_and_a_default_branch_s_does_not(gitlab, connector):
    asked = request(gitlab, "pass", Trigger.PUSH)
    gitlab.add(asked.sha, asked.branch, "pass", source="push")
    gitlab.add(asked.sha, "refs/merge-requests/3/head", "fail", source="merge_request_event")
    gitlab.add(asked.sha, "main", "slow", source="push")
    run = await wait_for(
        CIWorld(provider=connector.ci, passing=asked, failing=asked, slow=asked, count_runs=int), asked.sha, is_final
    )
    assert (run.state, run.failed_step) == (CIState.FAILED, "tests")


async def test_a_job_that_may_fail_is_not_the_failed_step(gitlab, connector):
    asked = request(gitlab, "pass", Trigger.PUSH)
    made = gitlab.add(asked.sha, asked.branch, "fail")
    made.status, made.jobs[0].status, made.jobs[0].allow_failure = "failed", "failed", True
    made.jobs[1].status = "failed"
    assert (await connector.ci.status(asked.sha)).failed_step == "tests"


async def test_a_run_that_passed_is_not_run_again(gitlab, connector):
    asked = request(gitlab, "pass", Trigger.PUSH)
    gitlab.add(asked.sha, asked.branch, "pass").status = "success"
    with pytest.raises(Rejected, match="passed"):
        await connector.ci.rerun(asked.sha)


async def test_listings_are_read_page_by_page(gitlab, connector):
    gitlab.page_size = 1
    asked = request(gitlab, "pass", Trigger.PUSH)
    for _ in range(3):
        gitlab.add(asked.sha, asked.branch, "pass").status = "success"
    assert (await connector.ci.status(asked.sha)).state is CIState.PASSED
    assert len([path for _, path, _ in gitlab.seen if path.endswith("/pipelines")]) == 3


async def test_names_and_logs_hide_and_reorder_nothing(gitlab, connector):
    asked = request(gitlab, "pass", Trigger.PUSH)
    made = gitlab.add(asked.sha, asked.branch, "fail")
    made.status = made.jobs[1].status = "failed"
    made.jobs[1].name = "te\u202ests\x1b[31m\nx" + "y" * 900
    made.jobs[1].trace = "\x1b]0;title\x07red\u200b\u202e\r\nend"
    run = await connector.ci.status(asked.sha)
    assert run.failed_step.startswith("te sts x")
    assert len(run.failed_step) <= 200
    assert run.log_tail == "red\nend"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(429, {"message": "Retry later"}, Retry_After="7"), Reason.RATE_LIMITED),
        (answer(500, {"message": "500 Internal Server Error"}), Reason.SERVER_ERROR),
        (answer(200, {"not": "a list"}), Reason.SERVER_ERROR),
        (lambda _r: web.Response(text="<html>sign in</html>", content_type="text/html"), Reason.SERVER_ERROR),
        (answer(200, [{"sha": 7, "id": "x"}, "no object", {"id": -4, "sha": "f" * 40}]), None),
        (lambda _r: web.Response(body=b"[" * 100_000, content_type="application/json"), Reason.SERVER_ERROR),
        (lambda _r: web.Response(body=b"{", content_type="application/json"), Reason.SERVER_ERROR),
        (lambda _r: web.Response(body=b" " * 17_000_000, content_type="application/json"), Reason.TOO_LARGE),
        (answer(302, None, Location="https://elsewhere.example.com/api"), Reason.NOT_ALLOWED),
        (answer(302, None, Location="http://127.0.0.1:1/api"), Reason.NOT_ALLOWED),
        (answer(401, {"message": "401 Unauthorized"}), Reason.REVOKED),
        (answer(403, {"error": "insufficient_scope"}), Reason.NOT_ALLOWED),
    ],
)  # fmt: skip
async def test_a_bad_answer_is_an_error_of_the_port_or_nothing(gitlab, connector, fault, reason):
    asked = request(gitlab, "pass", Trigger.PUSH)
    gitlab.faults = [fault]
    if reason is None:
        assert await connector.ci.status(asked.sha) is None
        return
    with pytest.raises((Unavailable, Rejected)) as caught:
        await connector.ci.status(asked.sha)
    assert caught.value.reason is reason
    assert TOKEN not in str(caught.value)


async def test_a_server_that_asks_for_a_pause_gets_it(gitlab, connector):
    gitlab.faults = [answer(429, {}, Retry_After="30")]
    with pytest.raises(Unavailable) as caught:
        await connector.ci.status(make_sha("x"))
    assert caught.value.retry_after == 30
    calls = len(gitlab.seen)
    with pytest.raises(Unavailable):
        await connector.ci.status(make_sha("x"))
    assert len(gitlab.seen) == calls


async def test_a_redirect_within_the_server_is_followed_with_the_token(gitlab, connector):
    gitlab.faults = [answer(307, None, Location="/api/v4/version")]
    assert (await connector.ci.check()).ok


async def test_a_silent_server_is_unavailable():
    async def hang(_request):
        await asyncio.sleep(5)

    server = GitLabServer()
    server.version = hang
    async with server.serve() as url:
        silent = Connector(Settings(url=url, token=TOKEN, answer_seconds=0.05), [])
        health = await silent.ci.check()
        await silent.close()
    assert (health.ok, health.text) == (False, "GitLab did not answer in time.")


async def test_a_wrong_token_and_an_unreachable_server_are_told_by_the_check(gitlab):
    wrong = Connector(Settings(url=gitlab.url, token="wrong", projects={"r": "team/shop"}), ["r"])
    nobody = Connector(Settings(url="http://127.0.0.1:9", token=TOKEN), [])
    for made, words in ((wrong, "refuses the credentials"), (nobody, "cannot be reached")):
        health = await made.ci.check()
        await made.close()
        assert not health.ok
        assert words in health.text


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://gitlab.example.com", "https://gitlab.example.com/team/shop.git"),
        ("https://gitlab.example.com", "git@gitlab.example.com:team/shop.git"),
        ("https://gitlab.example.com", "ssh://git@gitlab.example.com:2222/team/shop"),
        ("https://example.com/gitlab", "https://example.com/gitlab/team/shop.git"),
    ],
)
def test_an_address_names_its_project(url, repository):
    Connector(Settings(url=url, token=TOKEN), [repository])


@pytest.mark.parametrize(
    "repository", ["https://github.com/team/shop", "/srv/git/team/shop.git", "https://gitlab.example.com/shop", "x"]
)
def test_an_address_elsewhere_is_a_problem_of_the_configuration(repository):
    with pytest.raises(ConfigError, match=r"connections\.gitlab\.projects"):
        Connector(Settings(url="https://gitlab.example.com", token=TOKEN), [repository])


@pytest.mark.parametrize(
    "url", ["gitlab.example.com", "ftp://x", "https://u:p@x", "https://x?a=1", "https://x#y", "http://", "http://x:0"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError):
        Settings(url=url, token=TOKEN)


async def test_a_repository_of_somebody_else_is_refused(gitlab, connector):
    with pytest.raises(Rejected):
        await connector.ci.start(replace(request(gitlab, "pass"), repository="https://elsewhere/x.git"))
    with pytest.raises(Rejected):
        await connector.ci.start(replace(request(gitlab, "pass"), sha="HEAD"))
