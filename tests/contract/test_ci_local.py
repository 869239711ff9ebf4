"""The local CI with real processes and a real git repository; bot and runner are killed where it hurts."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.domain.ci import CIRequest, CIRun, CIState
from bot.errors import Rejected, Unavailable
from bot.ports.sandbox import SandboxLimits
from connectors.ci import local
from connectors.ci.local import LocalCI
from connectors.ci.local_runner import run_spool
from connectors.ci.local_spool import LocalPlan, Spool
from connectors.workspaces.git import Git
from tests.contract.ci_local_process import PLANS, REQUEST, ROOT, PlainSandbox, start_runner
from tests.contract.ci_suite import PATIENCE, CIContract, CIWorld, is_final, wait_for

SCRIPT = Path(__file__).with_name("ci_local_process.py")
CHECKS = {"lint": ("sh", "-c", "test -f check.sh"), "tests": ("sh", "check.sh")}


@dataclass(kw_only=True)
class Repository:
    """A bare repository with one commit per branch, each with its own check.sh."""

    url: str
    work: Path

    def push(self, branch: str, script: str) -> CIRequest:
        name = f"nightshift/{branch}"
        self.git("checkout", "-q", "-B", name, "main")
        (self.work / "check.sh").write_text(script)
        self.git("add", "check.sh")
        self.git("commit", "-q", "-m", branch)
        self.git("push", "-q", "origin", name)
        return CIRequest(repository="shop", sha=self.git("rev-parse", "HEAD"), branch=name, incident="INC-1")

    def git(self, *args: str) -> str:
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *args], cwd=self.work, env=env, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    bare = tmp_path / "shop.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    made = Repository(url=str(bare), work=tmp_path / "work")
    made.work.mkdir()
    made.git("init", "-q", "-b", "main")
    made.git("remote", "add", "origin", str(bare))
    made.git("commit", "-q", "--allow-empty", "-m", "start")
    made.git("push", "-q", "origin", "main")
    return made


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "ci"
    yield folder
    deadline = time.monotonic() + 10
    while stop_runner(folder) or Spool(folder).runner() is not None:
        assert time.monotonic() < deadline, "a runner does not end"
        time.sleep(0.05)


def stop_runner(spool: Path) -> bool:
    """Ask the runner to end, and say whether there was one; a run it was at is continued by the next runner."""
    pid = Spool(spool).runner()
    if not pid:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    return True


def plan_for(repository: Repository, **changes: object) -> dict[str, LocalPlan]:
    return {"shop": replace(LocalPlan(url=repository.url, checks=CHECKS), **changes)}


def local_ci(spool: Path, plans: dict[str, LocalPlan], **runner: object) -> LocalCI:
    return LocalCI(spool, lambda: start_runner(spool, **runner), plans=plans)


def world_of(ci: LocalCI, spool: Path, repository: Repository) -> CIWorld:
    return CIWorld(
        provider=ci,
        passing=repository.push("good", "echo all is well\n"),
        failing=repository.push("bad", "echo expected 2, got 3; exit 1\n"),
        slow=repository.push("slow", "echo slowly; exec sleep 20\n"),
        count_runs=lambda: count_folders(spool),
    )


def count_folders(spool: Path) -> int:
    runs = spool / "runs"
    return len(list(runs.iterdir())) if runs.exists() else 0


async def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def is_running(run: CIRun) -> bool:
    return run.state is CIState.RUNNING


class TestCILocal(CIContract):
    @pytest.fixture
    def world(self, spool: Path, repository: Repository) -> CIWorld:
        return world_of(local_ci(spool, plan_for(repository)), spool, repository)


class TestWhatRuns:
    @pytest.fixture
    def world(self, spool: Path, repository: Repository) -> CIWorld:
        return world_of(local_ci(spool, plan_for(repository)), spool, repository)

    async def finish(self, world: CIWorld, request: CIRequest) -> CIRun:
        await world.provider.start(request)
        return await wait_for(world, request.sha, is_final)

    async def test_the_log_shows_each_step_with_exit_and_seconds(self, world):
        await self.finish(world, world.failing)
        log = await world.provider.log(world.failing.sha)
        assert f"== checkout: {world.failing.branch} at {world.failing.sha}" in log
        assert "== lint: exit 0 after 0." in log
        assert "== tests: sh check.sh\nexpected 2, got 3\n== tests: exit 1 after 0." in log

    async def test_a_sha_that_is_not_on_the_branch_is_not_run(self, world):
        run = await self.finish(world, replace(world.passing, branch=world.failing.branch))
        assert (run.state, run.failed_step) == (CIState.FAILED, "checkout")
        assert "is not on nightshift/bad" in run.log_tail
        assert "all is well" not in await world.provider.log(run.sha)

    async def test_a_branch_that_moved_on_still_holds_the_sha(self, world, repository):
        repository.git("checkout", "-q", "nightshift/good")
        repository.git("commit", "-q", "--allow-empty", "-m", "later")
        repository.git("push", "-q", "origin", "nightshift/good")
        assert (await self.finish(world, world.passing)).state is CIState.PASSED

    async def test_a_branch_that_is_not_there_fails_the_checkout(self, world):
        run = await self.finish(world, replace(world.passing, branch="nightshift/none"))
        assert (run.failed_step, "There is no branch" in run.log_tail) == ("checkout", True)

    async def test_a_step_past_its_time_says_so(self, spool, repository):
        limits = SandboxLimits(seconds=0.5)
        world = world_of(local_ci(spool, plan_for(repository, limits=limits)), spool, repository)
        run = await self.finish(world, world.slow)
        assert (run.failed_step, "stopped by the limit on time" in run.log_tail) == ("tests", True)

    async def test_a_missing_toolchain_is_said_and_a_present_one_is_used(self, spool, repository, tmp_path):
        tools = tmp_path / "tools"
        plans = plan_for(repository, toolchain=tools, checks={"tests": ("our-tool",)}, env={"WORD": "hello"})
        world = world_of(local_ci(spool, plans), spool, repository)
        assert (await self.finish(world, world.failing)).failed_step == "toolchain"
        (tools / "bin").mkdir(parents=True)
        (tools / "bin" / "our-tool").write_text("#!/bin/sh\necho $WORD from the tool\n")
        (tools / "bin" / "our-tool").chmod(0o755)
        assert (await self.finish(world, world.passing)).state is CIState.PASSED
        assert "hello from the tool" in await world.provider.log(world.passing.sha)

    async def test_an_unknown_repository_or_sha_is_refused_before_anything_is_written(self, world, spool):
        with pytest.raises(Rejected, match="no checks for elsewhere"):
            await world.provider.start(replace(world.passing, repository="elsewhere"))
        for sha in ("main", "../../etc", world.passing.sha[:12], world.passing.sha.upper(), ""):
            with pytest.raises(Rejected, match="not a whole commit id"):
                await world.provider.start(replace(world.passing, sha=sha))
            assert await world.provider.status(sha) is None
        assert count_folders(spool) == 0

    async def test_a_plan_without_checks_starts_nothing(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository, checks={})), spool, repository)
        with pytest.raises(Rejected, match="no checks for shop"):
            await world.provider.start(world.passing)

    async def test_a_queued_run_is_cancelled_without_being_run(self, world, monkeypatch):
        await world.provider.start(world.slow)
        await world.provider.start(world.passing)
        monkeypatch.setattr(local, "CANCEL_SECONDS", PATIENCE)  # a busy machine starts a runner late
        assert (await world.provider.cancel(world.slow.sha)).state is CIState.CANCELLED
        await wait_for(world, world.passing.sha, is_final)

    async def test_a_state_that_cannot_be_read_is_said_and_does_not_hold_up_others(self, world, spool):
        await self.finish(world, world.failing)
        (spool / "runs" / world.failing.sha / "state.json").write_text("{")
        Spool(spool).ring(world.failing.sha)
        with pytest.raises(Unavailable, match="cannot read"):
            await world.provider.status(world.failing.sha)
        assert (await self.finish(world, world.passing)).state is CIState.PASSED

    async def test_a_request_that_cannot_be_read_fails_its_run(self, world, spool):
        await self.finish(world, world.failing)
        (spool / "runs" / world.failing.sha / "request.json").write_text("{}")
        await world.provider.rerun(world.failing.sha)
        assert (await wait_for(world, world.failing.sha, is_final)).failed_step == "request"

    async def test_a_folder_that_cannot_be_used_is_a_sick_ci_and_no_crash(self, tmp_path, repository):
        (tmp_path / "file").write_text("")
        ci = local_ci(tmp_path / "file" / "ci", plan_for(repository))
        assert not (await ci.check()).ok
        with pytest.raises(Unavailable):
            await ci.status("a" * 40)


class TestDeploy:
    async def test_it_runs_after_green_checks_outside_the_sandbox(self, spool, repository, tmp_path):
        seen = tmp_path / "seen"
        script = f'echo "$NIGHTSHIFT_SHA $NIGHTSHIFT_REPOSITORY $NIGHTSHIFT_BRANCH $SECRET" >> {seen}; sleep 4 &'
        plans = plan_for(repository, deploy=("sh", "-c", script))
        world = world_of(local_ci(spool, plans), spool, repository)
        await world.provider.start(world.failing)
        await world.provider.start(world.passing)
        run = await wait_for(world, world.passing.sha, is_final)
        assert run.state is CIState.PASSED
        assert seen.read_text() == f"{world.passing.sha} shop {world.passing.branch} \n"
        assert "== deploy: exit 0 after 0." in await world.provider.log(world.passing.sha)

    @pytest.mark.parametrize(
        ("deploy", "words"),
        [
            (("sh", "-c", "echo no disk; exit 3"), "no disk"),
            (("sleep", "30"), "stopped by the limit on time"),
            (("/nowhere/deploy",), "/nowhere/deploy"),
        ],
    )
    async def test_a_deploy_that_does_not_work_fails_the_run(self, spool, repository, deploy, words):
        world = world_of(local_ci(spool, plan_for(repository, deploy=deploy, deploy_seconds=0.5)), spool, repository)
        await world.provider.start(world.passing)
        run = await wait_for(world, world.passing.sha, is_final)
        assert (run.state, run.failed_step) == (CIState.FAILED, "deploy")
        assert words in run.log_tail


class TestKills:
    """kill -9 of either side, at any point: one run, and it comes to its end."""

    async def test_a_killed_runner_is_followed_by_attempt_two_of_the_same_run(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        mark = spool.parent / "mark"
        request = repository.push("once", f"test -e {mark} || {{ touch {mark}; exec sleep 20; }}; echo all is well\n")
        await world.provider.start(request)
        await until(mark.exists)
        first = Spool(spool).runner()
        assert first
        os.kill(first, signal.SIGKILL)
        run = await wait_for(world, request.sha, is_final)
        assert (run.state, run.attempt) == (CIState.PASSED, 2)
        assert count_folders(spool) == 1
        log = await world.provider.log(request.sha)
        assert log.index("=== attempt 1 ===") < log.index("=== attempt 2 ===") < log.index("all is well")

    @pytest.mark.parametrize("step", [1, 2, 3, 4])
    async def test_a_runner_that_dies_before_any_step_is_followed_by_one_that_ends_the_run(
        self, spool, repository, step
    ):
        deployed = spool.parent / "deployed"
        plans = plan_for(repository, deploy=("sh", "-c", f"echo x >> {deployed}"))
        world = world_of(local_ci(spool, plans, fault=f"ci.runner.step:{step}"), spool, repository)
        await world.provider.start(world.passing)
        run = await wait_for(world, world.passing.sha, is_final)
        assert (run.state, run.attempt) == (CIState.PASSED, 2)
        assert deployed.read_text() == "x\n"

    async def test_a_run_that_kills_every_runner_is_given_up(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        await world.provider.start(world.slow)
        await wait_for(world, world.slow.sha, is_running)
        stop_runner(spool)
        await until(lambda: Spool(spool).runner() is None)
        record = Spool(spool).read(world.slow.sha)
        assert record
        Spool(spool).write(world.slow.sha, replace(record, crashes=5))
        run = await wait_for(world, world.slow.sha, is_final)
        assert (run.state, run.failed_step) == (CIState.FAILED, "runner")

    async def test_a_wish_to_cancel_survives_the_runner(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        await world.provider.start(world.slow)
        await wait_for(world, world.slow.sha, is_running)
        pid = Spool(spool).runner()
        assert pid
        os.kill(pid, signal.SIGSTOP)
        wish = asyncio.create_task(world.provider.cancel(world.slow.sha))
        await until(lambda: Spool(spool).has_wish(world.slow.sha, "cancel", 0))
        os.kill(pid, signal.SIGKILL)
        assert (await wish).state is CIState.CANCELLED

    @pytest.mark.parametrize("point", ["ci.start.before", "ci.start.after"])
    async def test_a_bot_killed_while_it_asks_may_ask_again(self, spool, repository, point):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        died = subprocess.run(
            self.bot(spool, repository, world.passing), env=self.env(point), capture_output=True, check=False
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert count_folders(spool) == (0 if point == "ci.start.before" else 1)
        await world.provider.start(world.passing)
        run = await wait_for(world, world.passing.sha, is_final)
        assert (run.state, run.attempt, count_folders(spool)) == (CIState.PASSED, 1, 1)

    async def test_the_run_goes_on_when_the_bot_is_killed(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        request = repository.push("late", "sleep 1; echo all is well\n")
        with subprocess.Popen(
            self.bot(spool, repository, request), env=self.env(), stdout=subprocess.PIPE, start_new_session=True
        ) as bot:
            assert bot.stdout
            assert bot.stdout.readline().startswith(request.sha.encode())
            os.killpg(bot.pid, signal.SIGKILL)
        await until(lambda: is_final(Spool(spool).read(request.sha).as_run(request.sha)))
        run = await world.provider.status(request.sha)
        assert run
        assert (run.state, run.attempt, count_folders(spool)) == (CIState.PASSED, 1, 1)

    async def test_eight_processes_asking_at_once_make_one_run(self, spool, repository):
        world = world_of(local_ci(spool, plan_for(repository)), spool, repository)
        bots = [
            subprocess.Popen(self.bot(spool, repository, world.passing), env=self.env(), stdout=subprocess.PIPE)
            for _ in range(8)
        ]
        try:
            ids = {bot.stdout.readline().split()[0] for bot in bots}
        finally:
            for bot in bots:
                bot.kill()
                bot.communicate()
        run = await wait_for(world, world.passing.sha, is_final)
        assert (ids, run.attempt, count_folders(spool)) == ({world.passing.sha.encode()}, 1, 1)

    def bot(self, spool: Path, repository: Repository, request: CIRequest) -> list[str]:
        plans, ask = PLANS.dump_json(plan_for(repository)).decode(), REQUEST.dump_json(request).decode()
        return [sys.executable, str(SCRIPT), "start", str(spool), plans, ask]

    def env(self, fault: str = "") -> dict[str, str]:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return env | {"NIGHTSHIFT_ALLOW_FAULTS": "1", "NIGHTSHIFT_FAULT_POINT": fault} if fault else env


class TestRunner:
    async def test_only_one_serves_a_spool_and_it_ends_when_idle(self, spool, repository):
        serve = {"sandbox": PlainSandbox(), "workspaces": Git(), "idle_seconds": 0.3}
        holder = Spool(spool)
        with holder.hold() as is_ours:
            assert is_ours
            assert holder.runner() == os.getpid()
            assert await run_spool(spool, **serve) == 0
        assert holder.runner() is None
        async with asyncio.timeout(5):
            await run_spool(spool, **serve)

    async def test_it_takes_runs_in_the_order_they_were_asked_for(self, spool, repository):
        world = world_of(LocalCI(spool, lambda: None, plans=plan_for(repository)), spool, repository)
        requests = [repository.push(f"b{n}", f"echo run {n}\n") for n in (3, 1, 2)]
        for request in requests:
            await world.provider.start(request)
            await asyncio.sleep(0.02)
        served = await run_spool(spool, sandbox=PlainSandbox(), workspaces=Git(), idle_seconds=0.2)
        runs = [await world.provider.status(request.sha) for request in requests]
        assert served == 3
        assert [run.started_at for run in runs] == sorted(run.started_at for run in runs)

    async def test_a_run_whose_queue_entry_was_lost_is_queued_again_by_a_look_at_it(self, spool, repository):
        world = world_of(LocalCI(spool, lambda: None, plans=plan_for(repository)), spool, repository)
        await world.provider.start(world.passing)
        Spool(spool).drop(world.passing.sha)
        await world.provider.status(world.passing.sha)
        assert Spool(spool).waiting() == [world.passing.sha]

    async def test_a_rerun_asked_for_while_the_runner_lets_go_stays_queued(self, spool, repository):
        world = world_of(LocalCI(spool, lambda: None, plans=plan_for(repository)), spool, repository)
        await world.provider.start(world.passing)
        await run_spool(spool, sandbox=PlainSandbox(), workspaces=Git(), idle_seconds=0)
        assert Spool(spool).waiting() == []
        await world.provider.rerun(world.passing.sha)
        Spool(spool).leave_queue(world.passing.sha)
        assert Spool(spool).waiting() == [world.passing.sha]

    async def test_a_live_runner_is_not_started_again(self, spool, repository):
        starts: list[int] = []
        ci = LocalCI(spool, lambda: starts.append(1), plans=plan_for(repository))
        world = world_of(ci, spool, repository)
        with Spool(spool).hold():
            await ci.start(world.passing)
            await ci.status(world.passing.sha)
        assert starts == []
        await ci.status(world.passing.sha)
        await ci.status(world.passing.sha)
        assert starts == [1]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
async def test_a_run_in_the_real_sandbox(spool, repository):
    world = world_of(local_ci(spool, plan_for(repository), sandbox="bubblewrap"), spool, repository)
    request = repository.push("sealed", "pwd; ls /home /root 2>&1; test ! -e /etc/shadow && echo all is well\n")
    await world.provider.start(request)
    run = await wait_for(world, request.sha, is_final)
    log = await world.provider.log(request.sha)
    assert run.state is CIState.PASSED, log
    assert "\n/w\n" in log
