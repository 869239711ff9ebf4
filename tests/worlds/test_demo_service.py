"""The demo's service as real processes: supervised, deployed to, and gone with whoever started it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from bot.demo.config import python_env
from bot.demo.deploy import deploy
from bot.demo.folder import free_ports
from bot.demo.history import git
from bot.demo.leash import on_leash
from bot.demo.processes import Children, Spawn, find_leftovers
from bot.demo.repository import CheckoutWorld, build_checkout
from bot.demo.service import (
    DemoService,
    load_service,
    read_current,
    running_release,
    switch_current,
    unpack_release,
    wait_for_release,
)
from bot.demo.traffic import Traffic


def until(claim: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


@pytest.fixture
def world(tmp_path: Path) -> CheckoutWorld:
    return build_checkout(tmp_path, now=datetime.now(UTC))


@pytest.fixture
def service(world: CheckoutWorld, tmp_path: Path) -> DemoService:
    made = DemoService(state=tmp_path, repository=world.repository, port=free_ports(1)[0], run=world.run)
    made.save()
    unpack_release(made, world.head)
    switch_current(made, world.head)
    return made


@contextmanager
def supervised(service: DemoService) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "bot.demo.supervise", str(service.state)]
    with subprocess.Popen(on_leash(argv), env=python_env(os.environ)) as supervisor:
        try:
            yield supervisor
        finally:
            with suppress(ProcessLookupError):
                supervisor.terminate()


def pid_of(service: DemoService) -> int:
    (pid,) = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and f"checkout\0--port\0{service.port}" in _cmdline(entry)
    ]
    return pid


def _cmdline(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""


def test_the_service_file_reads_back(service: DemoService) -> None:
    assert load_service(service.state) == service


async def test_a_deploy_of_the_fix_cures_the_failing_order(world: CheckoutWorld, service: DemoService) -> None:
    with supervised(service):
        assert wait_for_release(service, world.head, seconds=10)
        async with aiohttp.ClientSession() as session:
            traffic = Traffic(session, service.url)
            assert await traffic.fill_log(service.log, lines=500, seconds=20) >= 500
            assert (traffic.error_ratio(60) or 0) > 0.02
            assert await traffic.probe() == 500
            good = git("rev-parse", f"{world.culprit}^", cwd=world.repository).strip()
            env = {"NIGHTSHIFT_SHA": good, "NIGHTSHIFT_REPOSITORY": str(world.repository), "NIGHTSHIFT_BRANCH": "fix"}
            assert await asyncio.to_thread(deploy, service.state, env) == 0
            assert running_release(service) == good
            assert await traffic.probe() == 201
    assert until(lambda: find_leftovers(service.state) == [])


def test_a_release_that_does_not_start_is_taken_back(
    world: CheckoutWorld, service: DemoService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bot.demo.deploy._SECONDS", 0.5)
    broken = unpack_release(service, world.commits[-2])
    (broken / "checkout" / "__main__.py").write_text("raise SystemExit(3)\n")
    with supervised(service):
        assert wait_for_release(service, world.head, seconds=10)
        assert deploy(service.state, {"NIGHTSHIFT_SHA": world.commits[-2]}) == 1
        assert read_current(service) == world.head
        assert wait_for_release(service, world.head, seconds=10)
    assert "did not answer" in capsys.readouterr().err


@pytest.mark.parametrize("sha", ["", "main", "0" * 40, "../../etc"])
def test_a_deploy_of_no_commit_is_refused(service: DemoService, sha: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_current(service)
    assert deploy(service.state, {"NIGHTSHIFT_SHA": sha}) == 1
    assert "cannot check out" in capsys.readouterr().err
    assert read_current(service) == before


def test_a_deploy_of_another_repository_is_refused(world: CheckoutWorld, service: DemoService) -> None:
    env = {"NIGHTSHIFT_SHA": world.head, "NIGHTSHIFT_REPOSITORY": "/srv/other.git"}
    assert deploy(service.state, env) == 1


def test_a_service_that_dies_is_started_again(world: CheckoutWorld, service: DemoService) -> None:
    with supervised(service):
        assert wait_for_release(service, world.head, seconds=10)
        first = pid_of(service)
        os.kill(first, signal.SIGKILL)
        assert until(lambda: running_release(service) == world.head and pid_of(service) != first)


def test_a_killed_supervisor_takes_the_service_along(world: CheckoutWorld, service: DemoService) -> None:
    with supervised(service) as supervisor:
        assert wait_for_release(service, world.head, seconds=10)
        supervisor.kill()
        assert until(lambda: running_release(service) is None)


def test_a_killed_starter_takes_everything_along(world: CheckoutWorld, service: DemoService) -> None:
    code = (
        "import subprocess, sys, time; from bot.demo.leash import on_leash;"
        f"subprocess.Popen(on_leash([sys.executable, '-m', 'bot.demo.supervise', {str(service.state)!r}]));"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=python_env(os.environ)) as starter:
        assert wait_for_release(service, world.head, seconds=10)
        starter.kill()
    assert until(lambda: running_release(service) is None and not find_leftovers(service.state))


async def test_children_are_gone_after_the_block_even_deaf_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.demo.processes._STOP_SECONDS", 0.3)
    deaf = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf += "; open(sys.argv[1], 'w').close(); time.sleep(60)"
    flag = tmp_path / "up"
    async with Children(tmp_path) as children:
        child = await children.start(
            Spawn(
                argv=[sys.executable, "-c", deaf, str(flag)],
                env=python_env(os.environ),
                cwd=tmp_path,
                log=tmp_path / "log",
            )
        )
        detached = ["setsid", "--fork", sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path)]
        subprocess.run(detached, check=True)
        assert until(flag.exists)
        assert until(lambda: len(find_leftovers(tmp_path)) == 2)
    assert child.returncode == -signal.SIGKILL
    assert find_leftovers(tmp_path) == []
