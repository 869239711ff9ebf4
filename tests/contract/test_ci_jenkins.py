"""Jenkins against a server that answers as its Remote Access API does."""

from dataclasses import replace

import pytest
from aiohttp import web

from bot.domain.ci import CIRequest, CIState, Trigger
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.jenkins import LOG_KEPT, Connector, Settings
from tests.contract.ci_suite import CIContract, open_ci
from tests.contract.far_side import answer, make_sha
from tests.contract.jenkins_server import JOB, PATH, TOKEN, USER, Item, JenkinsServer


@pytest.fixture
async def jenkins():
    server = JenkinsServer()
    async with server.serve():
        yield server


def connect(url: str) -> Connector:
    return Connector(Settings(url=url, user=USER, token=TOKEN, jobs=(JOB,)), [])


@pytest.fixture
async def connector(jenkins):
    made = connect(jenkins.url)
    yield made
    await made.close()


def request(jenkins, plan: str) -> CIRequest:
    jenkins.plans[make_sha(plan)] = plan
    return CIRequest(
        repository="shop",
        sha=make_sha(plan),
        branch=f"nightshift/{plan}",
        incident="INC-1",
        trigger=Trigger.DISPATCH,
        job=JOB,
        key=f"INC-1/{plan}",
    )


def built(jenkins, sha: str, **more: object) -> Item:
    given = {"NIGHTSHIFT_SHA": sha, "NIGHTSHIFT_BRANCH": "b", "NIGHTSHIFT_KEY": "k"}
    made = Item(id=900, number=90, given=given, url="", **more)
    jenkins.items.append(made)
    return made


class TestCIJenkins(CIContract):
    @pytest.fixture
    async def world(self, jenkins):
        async with open_ci(
            connect,
            jenkins.url,
            passing=request(jenkins, "pass"),
            failing=request(jenkins, "fail"),
            slow=request(jenkins, "slow"),
            count_runs=lambda: len({one.given["NIGHTSHIFT_SHA"] for one in jenkins.items}),
            count_orders=lambda: len(jenkins.items),
            lose_answer=jenkins.lose_answer,
        ) as world:
            yield world


async def test_many_askers_leave_one_item_in_the_queue(jenkins, connector):
    for _ in range(3):
        await connector.ci.start(request(jenkins, "slow"))
    [item] = jenkins.items
    assert item.given == {
        "NIGHTSHIFT_SHA": make_sha("slow"),
        "NIGHTSHIFT_BRANCH": "nightshift/slow",
        "NIGHTSHIFT_KEY": "INC-1/slow",
    }


async def test_an_order_whose_answer_is_lost_is_found_in_the_queue_and_not_repeated(jenkins, connector):
    jenkins.late_faults = [lambda: web.Response(status=504)]
    asked = request(jenkins, "slow")
    with pytest.raises(Unavailable):
        await connector.ci.start(asked)
    assert (await connector.ci.status(asked.sha)).state is CIState.QUEUED
    assert (await connector.ci.start(asked)).attempt == 1
    assert len(jenkins.items) == 1


async def test_an_item_cancelled_in_the_queue_is_a_cancelled_run_that_can_be_run_again(jenkins, connector):
    asked = request(jenkins, "slow")
    jenkins.items.clear()
    assert (await connector.ci.start(asked)).state is CIState.QUEUED
    jenkins.items[0].cancelled = True
    run = await connector.ci.status(asked.sha)
    assert (run.state, run.attempt) == (CIState.CANCELLED, 1)
    again = await connector.ci.rerun(asked.sha)
    assert (again.state, again.attempt) == (CIState.QUEUED, 2)
    assert jenkins.items[1].given == jenkins.items[0].given


async def test_a_restart_finds_the_build_by_its_parameter(jenkins, connector):
    built(jenkins, make_sha("old"), result="UNSTABLE", text="one test\n")
    run = await connector.ci.status(make_sha("old"))
    assert (run.state, run.failed_step) == (CIState.FAILED, JOB)
    assert run.url == f"http://jenkins.example.com{PATH}/90/"


async def test_without_the_pipeline_plugin_the_job_is_the_failed_step(jenkins, connector):
    jenkins.stages = False
    built(jenkins, make_sha("old"), result="FAILURE")
    assert (await connector.ci.status(make_sha("old"))).failed_step == JOB


async def test_another_job_with_the_same_parameter_is_not_the_run(jenkins, connector):
    given = {"NIGHTSHIFT_SHA": make_sha("x")}
    jenkins.items.append(Item(id=7, given=given, url="", task="/job/deploy/"))
    assert await connector.ci.status(make_sha("x")) is None


async def test_crumbs_may_be_off(jenkins, connector):
    jenkins.crumbs = False
    assert (await connector.ci.start(request(jenkins, "pass"))).state is CIState.QUEUED


async def test_the_queue_s_address_may_be_that_of_another_server_and_no_credential_goes_there(jenkins, connector):
    jenkins.root = "http://127.0.0.1:1"
    await connector.ci.start(request(jenkins, "pass"))
    assert len(jenkins.items) == 1


async def test_a_login_page_instead_of_an_order_is_no_run(jenkins, connector):
    jenkins.crumbs = False
    jenkins.faults = [lambda _r: None] * 3 + [answer(302, None, Location="/login")]
    with pytest.raises(Unavailable):
        await connector.ci.start(request(jenkins, "pass"))


async def test_only_a_long_log_s_end_is_fetched(jenkins, connector):
    built(jenkins, make_sha("old"), result="FAILURE", text="x" * LOG_KEPT + "\nthe end\n")
    assert (await connector.ci.status(make_sha("old"))).log_tail.endswith("the end")
    assert [path for _, path, _ in jenkins.seen if "progressiveText" in path]
    assert len(await connector.ci.log(make_sha("old"))) < LOG_KEPT + 200


async def test_the_check_asks_for_the_parameters_that_jenkins_would_drop(jenkins, connector):
    jenkins.declared = ("NIGHTSHIFT_KEY",)
    health = await connector.ci.check()
    assert not health.ok
    assert "NIGHTSHIFT_SHA, NIGHTSHIFT_BRANCH" in health.text


@pytest.mark.parametrize("changes", [{"trigger": Trigger.PUSH}, {"job": "other"}, {"job": ""}, {"sha": "main"}])
async def test_what_cannot_be_dispatched_is_rejected_before_anything_is_sent(jenkins, connector, changes):
    with pytest.raises(Rejected):
        await connector.ci.start(replace(request(jenkins, "pass"), **changes))
    assert not jenkins.seen


@pytest.mark.parametrize("job", ["", "a//b", "../x", "a/..", "/a", "a\u202eb"])
def test_what_is_no_job_is_refused(job):
    with pytest.raises(ValueError):
        Settings(url="http://jenkins", user=USER, token=TOKEN, jobs=(job,))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(503, None, Retry_After="5"), Reason.SERVER_ERROR),
        (answer(401, None), Reason.REVOKED),
        (answer(403, None), Reason.NOT_ALLOWED),
        (answer(200, {"items": [{"id": [], "task": 7, "actions": [{"parameters": [{"name": {}}]}]}]}), None),
        (answer(200, [1]), Reason.SERVER_ERROR),
        (lambda _r: web.Response(text="<html>sign in</html>", content_type="text/html"), Reason.SERVER_ERROR),
        (answer(302, None, Location="http://127.0.0.1:1/"), Reason.NOT_ALLOWED),
        (lambda _r: web.Response(body=b"{", content_type="application/json"), Reason.SERVER_ERROR),
    ],
)  # fmt: skip
async def test_a_bad_answer_is_an_error_of_the_port_or_nothing(jenkins, connector, fault, reason):
    jenkins.faults = [fault]
    if reason is None:
        assert await connector.ci.status(make_sha("x")) is None
        return
    with pytest.raises((Unavailable, Rejected)) as caught:
        await connector.ci.status(make_sha("x"))
    assert caught.value.reason is reason


async def test_wrong_credentials_are_told(jenkins):
    made = Connector(Settings(url=jenkins.url, user=USER, token="wrong", jobs=(JOB,)), [])
    health = await made.ci.check()
    await made.close()
    assert (health.ok, "credentials" in health.text) == (False, True)
