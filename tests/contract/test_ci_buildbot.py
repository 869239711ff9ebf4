"""A real Buildbot builds real commits: `connectors.ci.buildbot`."""

import json
import os
import subprocess
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from bot.domain.ci import CIRequest, CIState, Trigger
from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.buildbot import Connector, Settings
from tests.contract.buildbot_master import serve
from tests.contract.ci_suite import CIContract, CIWorld, is_final, open_ci, wait_for
from tests.contract.far_side import FarSide, answer, make_sha

SCRIPTS = {
    "passing": "echo all is well\n",
    "failing": "echo expected 2\nexit 1\n",
    "slow": "exec sleep 60\n",
}


def git(folder: Path, *args: str) -> str:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *args], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    folder = tmp_path_factory.mktemp("buildbot")
    bare, work = folder / "shop.git", folder / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    git(work, "remote", "add", "origin", str(bare))
    git(work, "commit", "-q", "--allow-empty", "-m", "start")
    git(work, "push", "-q", "origin", "main")
    with serve(folder, str(bare)) as url:
        yield url, work


def connect(url: str) -> Connector:
    return Connector(Settings(url=url), [])


@pytest.fixture
async def connector(master):
    made = connect(master[0])
    yield made
    await made.close()


def push(work: Path, name: str, unique: str) -> CIRequest:
    branch = f"nightshift/{name}"
    git(work, "checkout", "-q", "-B", branch, "main")
    (work / "check.sh").write_text(f"# {unique}\n{SCRIPTS[name]}")
    git(work, "add", "check.sh")
    git(work, "commit", "-q", "-m", name)
    git(work, "push", "-q", "-f", "origin", branch)
    sha = git(work, "rev-parse", "HEAD")
    return CIRequest(
        repository="shop",
        sha=sha,
        branch=branch,
        incident="INC-1",
        trigger=Trigger.DISPATCH,
        job="nightshift",
        key=f"INC-1/{name}",
    )


def revisions(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/api/v2/buildsets", timeout=10) as told:
        sets = json.load(told)["buildsets"]
    return [one["sourcestamps"][0]["revision"] for one in sets]


@pytest.mark.long
class TestCIBuildbot(CIContract):
    @pytest.fixture
    async def world(self, master, request):
        url, work = master
        asked = {name: push(work, name, request.node.name) for name in SCRIPTS}
        ours = {one.sha for one in asked.values()}
        async with open_ci(
            connect,
            url,
            **asked,
            count_runs=lambda: len({sha for sha in revisions(url) if sha in ours}),
            count_orders=lambda: len(revisions(url)),
        ) as world:
            yield world
            for one in asked.values():
                if await world.provider.status(one.sha):
                    await world.provider.cancel(one.sha)
                    await wait_for(world, one.sha, is_final)


@pytest.mark.long
async def test_sixteen_askers_make_one_buildset_with_key_branch_and_revision(master, connector):
    url, work = master
    asked = push(work, "passing", "one buildset")
    await connector.ci.start(asked)
    await connector.ci.start(asked)
    assert revisions(url).count(asked.sha) == 1
    with urllib.request.urlopen(f"{url}/api/v2/buildsets", timeout=10) as told:
        [made] = [one for one in json.load(told)["buildsets"] if one["sourcestamps"][0]["revision"] == asked.sha]
    assert made["sourcestamps"][0]["branch"] == asked.branch
    with urllib.request.urlopen(f"{url}/api/v2/buildsets/{made['bsid']}/properties", timeout=10) as told:
        assert asked.key in json.dumps(json.load(told))


@pytest.mark.long
async def test_a_commit_that_does_not_exist_fails_at_the_checkout(connector, master):
    asked = replace(push(master[1], "passing", "gone"), sha=make_sha("gone"))
    await connector.ci.start(asked)
    world = CIWorld(provider=connector.ci, passing=asked, failing=asked, slow=asked, count_runs=int)
    run = await wait_for(world, asked.sha, is_final)
    assert (run.state, run.failed_step) == (CIState.FAILED, "checkout")


@pytest.mark.long
async def test_a_scheduler_that_does_not_exist_is_rejected(connector, master):
    asked = replace(push(master[1], "passing", "no scheduler"), job="nobody")
    with pytest.raises((Rejected, Unavailable)):
        await connector.ci.start(asked)
    with pytest.raises(Rejected):
        await connector.ci.start(replace(asked, job=""))


class Liar(FarSide):
    def routes(self):
        return []


async def test_the_password_goes_to_the_sign_in_and_its_session_to_the_order():
    def sign_in(_request):
        found = web.Response(status=302, headers={"Location": "/"})
        found.set_cookie("TWISTED_SESSION", "abc")
        return found

    liar = Liar()
    liar.faults = [answer(200, {"buildsets": []}), sign_in, answer(200, {"result": [1, {}]}), answer(503)]
    async with liar.serve() as url:
        made = Connector(Settings(url=url, user="nightshift", password="right"), [])
        asked = CIRequest(repository="r", sha=make_sha("x"), branch="b", incident="INC-1", job="nightshift")
        run = await made.ci.start(replace(asked, trigger=Trigger.DISPATCH))
        assert run.state is CIState.QUEUED, "the order has arrived, although nobody can look now"
        await made.close()
    paths = [path.partition("?")[0] for _, path, _ in liar.seen[:3]]
    assert paths == ["/api/v2/buildsets", "/auth/login", "/api/v2/forceschedulers/nightshift"]
    assert ["authorization" in headers for _, _, headers in liar.seen] == [False, True, False, False]
    assert liar.seen[2][2]["cookie"] == "TWISTED_SESSION=abc"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(200, {"buildsets": [{"bsid": "x", "sourcestamps": 7}, 3, {"sourcestamps": [{"revision": 1}]}]}), None),
        (answer(200, []), Reason.SERVER_ERROR),
        (answer(503, {"error": "busy"}, Retry_After="3"), Reason.SERVER_ERROR),
        (answer(403, {"error": "you need to have role 'admin'"}), Reason.NOT_ALLOWED),
        (answer(302, None, Location="http://127.0.0.1:1/"), Reason.NOT_ALLOWED),
    ],
)
async def test_a_bad_answer_is_an_error_of_the_port_or_nothing(fault, reason):
    liar = Liar()
    liar.faults = [fault]
    async with liar.serve() as url:
        made = Connector(Settings(url=url), [])
        try:
            if reason is None:
                assert await made.ci.status(make_sha("x")) is None
                return
            with pytest.raises((Unavailable, Rejected)) as caught:
                await made.ci.status(make_sha("x"))
            assert caught.value.reason is reason
        finally:
            await made.close()
