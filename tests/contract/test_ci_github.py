"""GitHub's CI against a forge over loopback: found after a push or a pull request, ordered by a dispatch."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.domain.ci_logs.log import find_failure
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.github import Connector, GitHubCI
from tests.contract.ci_suite import CIContract, CIWorld
from tests.contract.far_side import NOBODY
from tests.contract.github_world import GitHubWorld, open_world
from tests.forge.actions import FAILING, PASSING, JobPlan, Workflow
from tests.forge.faults import Answer
from tests.forge.repository import Reported


class Pushed:
    """The provider as the bot uses it: what begins the run (a push, a pull request) comes just before `start`."""

    def __init__(self, world: GitHubWorld, connector: Connector) -> None:
        self._world, self._connector = world, connector

    async def start(self, request: CIRequest) -> CIRun:
        if not self._world.shop.head(request.branch):
            self._world.push(request)
        if request.trigger is Trigger.PULL_REQUEST:
            await self._connector.forge.propose(self._world.propose(request))
        return await self._connector.ci.start(request)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connector.ci, name)


def as_contract(github: GitHubWorld) -> CIWorld:
    passing, failing, slow = (github.write(outcome) for outcome in ("pass", "fail", "slow"))
    provider = Pushed(github, github.connect())
    runs = github.forge.runner.runs
    orders = {}
    if github.trigger is Trigger.DISPATCH:
        lost = Answer(status=0, path=".*/dispatches", after=True)
        orders = {
            "count_orders": lambda: github.count_orders("/dispatches"),
            "unreached": github.connect(url=NOBODY).ci,
            "restarted": github.connect().ci,
            "lose_answer": lambda: github.forge.faults.answers.append(lost),
        }
    return CIWorld(
        provider=provider, passing=passing, failing=failing, slow=slow, count_runs=lambda: len(runs), **orders
    )


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    async with open_world(tmp_path) as world:
        yield world


@pytest.fixture
async def dispatching(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    async with open_world(tmp_path, "workflow_dispatch") as world:
        yield world


@pytest.mark.parametrize("world", ["push", "pull_request", "workflow_dispatch"], indirect=True)
class TestCIGitHub(CIContract):
    @pytest.fixture
    async def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CIWorld]:
        async with open_world(tmp_path, request.param) as github:
            yield as_contract(github)


async def verdict(provider: GitHubCI, request: CIRequest) -> CIRun:
    """Ask until there is a verdict, as the bot does."""
    run = await provider.start(request)
    while not run.state.is_final:
        await asyncio.sleep(0.02)
        run = await provider.status(request.sha) or await provider.start(request)
    return run


# One order, never two ------------------------------------------------------------------------------------------------
async def test_a_dispatch_names_the_workflow_the_branch_the_commit_and_the_key(dispatching: GitHubWorld):
    request = dispatching.commit("pass")
    assert (await verdict(dispatching.connect().ci, request)).state is CIState.PASSED
    (run,) = dispatching.forge.runner.runs
    assert (run.sha, run.branch, run.event) == (request.sha, request.branch, "workflow_dispatch")
    assert run.inputs == {"nightshift_key": request.key, "nightshift_sha": request.sha}


@pytest.mark.parametrize(
    ("status", "hang", "reason"),
    [(502, 0.0, Reason.SERVER_ERROR), (0, 0.0, Reason.SERVER_ERROR), (0, 1.5, Reason.TIMEOUT)],
    ids=["failed after the fact", "connection cut", "no answer in time"],
)
async def test_a_dispatch_whose_answer_is_lost_is_not_sent_again_but_found(
    dispatching: GitHubWorld, status: int, hang: float, reason: Reason
):
    request, provider = dispatching.commit("pass"), dispatching.connect(answer_seconds=1 if hang else 30).ci
    dispatching.forge.faults.hang_seconds = hang
    dispatching.forge.faults.answers.append(Answer(status=status, path=".*/dispatches", after=True))
    with pytest.raises(Unavailable) as caught:
        await provider.start(request)
    assert caught.value.reason is reason
    assert (await verdict(provider, request)).state is CIState.PASSED
    assert dispatching.count_orders("/dispatches") == 1
    assert len(dispatching.forge.runner.runs) == 1


async def test_a_dispatch_that_github_never_saw_may_be_sent_again(dispatching: GitHubWorld):
    request, provider = dispatching.commit("pass"), dispatching.connect().ci
    headers = {"Retry-After": "7"}
    dispatching.forge.faults.answers.append(Answer(status=429, path=".*/dispatches", headers=headers))
    with pytest.raises(Unavailable) as caught:
        await provider.start(request)
    assert (caught.value.reason, caught.value.retry_after) == (Reason.RATE_LIMITED, 7.0)
    dispatching.now += 8
    assert (await verdict(provider, request)).state is CIState.PASSED
    assert dispatching.count_orders("/dispatches") == 2
    assert len(dispatching.forge.runner.runs) == 1


async def test_a_dispatch_is_found_by_another_process_and_not_sent_again(dispatching: GitHubWorld):
    request = dispatching.commit("pass")
    await dispatching.connect().ci.start(request)
    assert (await verdict(dispatching.connect().ci, request)).state is CIState.PASSED
    assert dispatching.count_orders("/dispatches") == 1


@pytest.mark.parametrize("same", [True, False], ids=["of one commit", "of two merges"])
async def test_two_deployments_close_together_are_two_orders_and_two_runs(dispatching: GitHubWorld, *, same: bool):
    first = replace(dispatching.commit("pass", "main"), is_check=False, key="nightshift-INC-1-aaaaaaaaaaaa-deploy")
    sha = first.sha if same else dispatching.commit("other", "main").sha
    second = replace(first, sha=sha, incident="INC-2", key="nightshift-INC-2-bbbbbbbbbbbb-deploy")
    provider = dispatching.connect().ci
    answers = await asyncio.gather(*(provider.start(one) for one in (first, second)))
    assert [run.state for run in answers] == [CIState.QUEUED] * 2
    assert sorted(run.inputs["nightshift_key"] for run in dispatching.forge.runner.runs) == [first.key, second.key]
    assert {run.inputs["nightshift_sha"] for run in dispatching.forge.runner.runs} == {first.sha, second.sha}


async def test_checks_of_others_do_not_stand_for_a_dispatch(dispatching: GitHubWorld):
    request, provider = dispatching.commit("pass"), dispatching.connect().ci
    dispatching.shop.reported[request.sha] = [Reported(name="licences")]
    dispatching.forge.faults.lag = 30.0
    assert (await provider.start(request)).state is CIState.QUEUED
    assert await provider.status(request.sha) is None
    dispatching.forge.clock.advance(40)
    assert (await verdict(provider, request)).state is CIState.PASSED
    assert dispatching.count_orders("/dispatches") == 1


async def test_after_a_restart_another_workflow_s_run_is_not_taken_for_the_one_that_is_ordered(tmp_path: Path):
    async with open_world(tmp_path, "push") as github:
        github.forge.workflows += (Workflow(file="checks.yml", on=frozenset({"workflow_dispatch"}), id=161336),)
        request = replace(github.commit("pass"), job="checks.yml", trigger=Trigger.DISPATCH)
        provider = github.connect().ci
        assert await provider.status(request.sha) is not None, "the push began a run, and nobody said what is expected"
        provider.expect(request)
        assert await provider.status(request.sha) is None
        assert github.count_orders("/dispatches") == 0
        assert (await verdict(provider, request)).state is CIState.PASSED
        assert github.count_orders("/dispatches") == 1


async def test_a_dispatch_that_cannot_be_is_refused_in_words(dispatching: GitHubWorld):
    request, provider = dispatching.commit("pass"), dispatching.connect().ci
    for changes, words in (
        ({"job": ""}, "ci_job"),
        ({"job": "deploy.yml"}, "no such"),
        ({"branch": "gone"}, "No ref found"),
        ({"repository": "https://example.org/x"}, "is no repository on GitHub"),
        ({"sha": "HEAD"}, "not a whole commit id"),
    ):
        with pytest.raises(Rejected, match=words):
            await provider.start(replace(request, **changes))
    assert dispatching.forge.runner.runs == []


async def test_an_order_about_a_release_takes_no_other_run_of_that_commit_for_its_own(dispatching: GitHubWorld):
    request, provider = dispatching.commit("pass"), dispatching.connect().ci
    assert (await verdict(provider, request)).state is CIState.PASSED
    back = replace(request, is_check=False, tag="v1.4.1", key="nightshift-INC-1-abc-rollback")
    assert (await dispatching.connect().ci.start(back)).state is CIState.QUEUED
    assert dispatching.count_orders("/dispatches") == 2
    _, run = dispatching.forge.runner.runs
    assert run.inputs == {"nightshift_key": back.key, "nightshift_sha": request.sha, "nightshift_tag": "v1.4.1"}


async def test_with_a_fifth_of_the_answers_lost_and_late_listings_every_commit_has_one_run(tmp_path: Path):
    async with open_world(tmp_path, "workflow_dispatch") as world:
        provider = world.connect().ci
        requests = [world.commit("pass", f"nightshift/INC-{number}/x") for number in range(12)]
        world.forge.faults.lose, world.forge.faults.lag = 0.2, 0.1
        for request in requests:
            while True:
                try:
                    run = await verdict(provider, request)
                except Unavailable:
                    continue
                assert run.state is CIState.PASSED
                break
        assert sum(asked.status == 0 for asked in world.forge.asked) > 5, "nothing was lost"
        assert sorted(run.sha for run in world.forge.runner.runs) == sorted({request.sha for request in requests})


# Waiting -------------------------------------------------------------------------------------------------------------
async def test_a_push_is_queued_until_its_run_is_listed(github: GitHubWorld):
    github.forge.faults.lag = 30.0
    request, provider = github.commit("pass"), github.connect(appear_seconds=60).ci
    assert (await provider.start(request)).state is CIState.QUEUED
    assert await provider.status(request.sha) is None
    github.now += 40
    github.forge.clock.advance(40)
    assert (await provider.start(request)).state is CIState.PASSED


async def test_a_push_without_a_workflow_is_given_up_with_a_hint(tmp_path: Path):
    async with open_world(tmp_path, "workflow_dispatch") as world:
        request = replace(world.commit("pass"), trigger=Trigger.PUSH)
        provider = world.connect(appear_seconds=60).ci
        assert (await provider.start(request)).state is CIState.QUEUED
        world.now += 61
        with pytest.raises(Rejected, match=r"61 s after the push; .*on: push"):
            await provider.start(request)


async def test_what_others_report_first_is_no_verdict(github: GitHubWorld):
    github.forge.faults.lag = 30.0
    request, provider = github.commit("fail"), github.connect().ci
    github.shop.reported[request.sha] = [Reported(name="licences")]
    assert (await provider.start(request)).state is CIState.QUEUED
    assert await provider.status(request.sha) is None
    github.forge.clock.advance(40)
    assert (await provider.start(request)).state is CIState.FAILED


async def test_where_only_others_report_they_decide_once_no_run_can_be_expected(tmp_path: Path):
    async with open_world(tmp_path, "workflow_dispatch") as world:
        request, provider = replace(world.commit("pass"), trigger=Trigger.PUSH), world.connect(appear_seconds=60).ci
        world.shop.reported[request.sha] = [Reported(name="jenkins", is_status=True)]
        assert (await provider.start(request)).state is CIState.QUEUED
        world.now += 61
        assert (await provider.start(request)).state is CIState.PASSED


async def test_another_workflow_s_run_does_not_stand_for_a_required_check_that_is_to_be_ordered(tmp_path: Path):
    async with open_world(tmp_path) as world:
        request = world.commit("pass")
        world.forge.clock.advance(1)
        assert await world.connect(required={"octo/shop": ["deploy"]}).ci.status(request.sha) is None
        assert (await world.connect(required={"octo/shop": ["tests"]}).ci.status(request.sha)) is not None


async def test_github_is_asked_about_a_commit_once_in_a_while_but_at_once_after_news(github: GitHubWorld):
    connector = github.connect(poll_seconds=5, webhook_secret="hush")
    request = github.commit("slow")
    github.forge.clock.advance(1)
    await connector.ci.start(request)
    calls = connector.client.calls
    assert (await connector.ci.status(request.sha)) is not None
    assert connector.client.calls == calls
    connector.ci.forget_answers([request.sha, "0" * 40])
    await connector.ci.status(request.sha)
    assert connector.client.calls > calls
    assert connector.client.unchanged == 3, "what has not changed costs no rate limit"
    assert connector.client.remaining == github.forge.faults.quota


async def test_news_that_comes_while_github_is_asked_is_not_missed(github: GitHubWorld):
    connector = github.connect(poll_seconds=600, webhook_secret="hush", appear_seconds=0)
    request = github.commit("pass")
    github.forge.faults.slow = 0.3
    asking = asyncio.create_task(connector.ci.status(request.sha))
    await asyncio.sleep(0.1)
    github.forge.faults.slow = 0.0
    connector.ci.forget_answers([request.sha])
    await asking
    calls = connector.client.calls
    await connector.ci.status(request.sha)
    assert connector.client.calls > calls


# The verdict ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reported", "state", "said"),
    [
        (Reported(name="jenkins", is_status=True), CIState.PASSED, ""),
        (Reported(name="jenkins", is_status=True, conclusion="failure"), CIState.FAILED, "jenkins"),
        (Reported(name="jenkins", is_status=True, status="pending"), CIState.RUNNING, ""),
        (Reported(name="scan", conclusion="action_required"), CIState.FAILED, "scan (action_required)"),
        (Reported(name="scan", conclusion="timed_out"), CIState.FAILED, "scan (timed_out)"),
        (Reported(name="scan", conclusion="cancelled"), CIState.CANCELLED, ""),
        (Reported(name="scan", conclusion="neutral"), CIState.PASSED, ""),
        (Reported(name="scan", status="waiting"), CIState.RUNNING, ""),
    ],
    ids=lambda value: value.name if isinstance(value, Reported) else str(value),
)
async def test_everything_reported_on_the_commit_decides(
    github: GitHubWorld, reported: Reported, state: CIState, said: str
):
    request = github.commit("pass")
    github.shop.reported[request.sha] = [reported]
    github.forge.clock.advance(1)
    run = await github.connect().ci.start(request)
    assert (run.state, run.failed_step) == (state, said)


async def test_required_checks_decide_alone(github: GitHubWorld):
    request = github.commit("pass")
    github.shop.reported[request.sha] = [Reported(name="scan", conclusion="failure")]
    github.forge.clock.advance(1)
    required = {"Octo/Shop": ["tests"]}
    assert (await github.connect(required=required).ci.start(request)).state is CIState.PASSED
    required = {"octo/shop": ["tests", "scan"]}
    assert (await github.connect(required=required).ci.start(request)).state is CIState.FAILED


async def test_a_required_check_that_never_comes_is_no_green(github: GitHubWorld):
    request = github.commit("pass")
    github.forge.clock.advance(1)
    provider = github.connect(required={"octo/shop": ["tests", "deploy preview"]}, appear_seconds=60).ci
    assert (await provider.start(request)).state is CIState.RUNNING
    github.now += 61
    with pytest.raises(Rejected, match="never started the required check deploy preview"):
        await provider.status(request.sha)


async def test_a_run_in_which_everything_was_skipped_is_not_green(tmp_path: Path):
    skipped = JobPlan(steps=(), log="", seconds=0)
    async with open_world(tmp_path, plan=lambda *_: [skipped]) as world:
        request = world.commit("pass")
        world.forge.clock.advance(1)
        body = '{"total_count": 1, "workflow_runs": [{"id": 7, "head_sha": "%s", "status": "completed", "name": "CI", '
        body = body % request.sha + '"conclusion": "skipped"}]}'
        world.forge.faults.answers.append(Answer(status=200, body=body, path=".*/actions/runs", times=9))
        run = await world.connect().ci.start(request)
        assert (run.state, run.failed_step) == (CIState.FAILED, "nothing ran: every check was skipped")


async def test_the_failed_job_and_step_are_named_with_their_log(tmp_path: Path):
    lint = JobPlan(name="lint", steps=(("ruff", "failure"),), log="E501 line too long\n")
    async with open_world(tmp_path, plan=lambda *_: [PASSING, lint]) as world:
        request, provider = world.commit("x"), world.connect().ci
        world.forge.clock.advance(1)
        run = await provider.start(request)
        assert (run.failed_step, run.log_tail) == ("lint: ruff", "E501 line too long\n")
        log = await provider.log(request.sha)
        assert "E501" in log
        assert "all is well" not in log
        assert run.url.endswith(f"/actions/runs/{world.forge.runner.runs[0].id}")
        failure = find_failure(log.split("\n"), workflow="CI")
        assert failure is not None
        assert (failure.cite, failure.job) == ("CI log of CI, attempt 1, line 1", "lint: ruff")


async def test_only_failed_jobs_run_again(tmp_path: Path):
    async with open_world(tmp_path, plan=lambda *_: [PASSING, replace(FAILING, name="more")]) as world:
        request, provider = world.commit("x"), world.connect().ci
        world.forge.clock.advance(1)
        await provider.start(request)
        assert (await provider.rerun(request.sha)).attempt == 2
        assert world.count_orders("/rerun-failed-jobs") == 1


async def test_a_check_of_another_system_cannot_be_run_again_here(github: GitHubWorld):
    request = github.commit("pass")
    github.shop.reported[request.sha] = [Reported(name="jenkins", is_status=True, conclusion="failure")]
    github.forge.clock.advance(1)
    provider = github.connect().ci
    with pytest.raises(Rejected, match="run it again where it runs: jenkins"):
        await provider.rerun(request.sha)


async def test_every_page_of_a_listing_counts(tmp_path: Path):
    jobs = [replace(PASSING, name=f"part {number}") for number in range(5)]
    async with open_world(tmp_path, plan=lambda *_: [*jobs, replace(FAILING, name="last")]) as world:
        world.forge.page_size = 2
        request = world.commit("x")
        world.forge.clock.advance(1)
        provider = world.connect(required={"octo/shop": ["part 0", "last"]}).ci
        assert (await provider.start(request)).failed_step == "last: tests"
