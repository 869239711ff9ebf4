"""Operating the real bot: stopped in the middle of everything, paused, copied while it works, restored elsewhere."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import pytest

from bot.demo.browser import Browser
from bot.store.backup import write_backup
from tests.e2e.test_kill_walker import CULPRIT, check_outcome
from tests.e2e.walk import HANGS, ROOT, TOKEN, Ground, Walk, make_ground, shop_service

SLOW = {"tests": ("python", "-c", "import time; time.sleep(1.5)")}
STOP_SECONDS = 20


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)


@pytest.fixture
def walk(ground, tmp_path):
    shutil.copytree(ground.repository.folder, tmp_path / "shop.git")
    shutil.copy(ground.log, tmp_path / "app.log")
    walk = Walk(folder=tmp_path, service=replace(shop_service(tmp_path), checks=SLOW), starts_cold=True)
    yield walk
    walk.stop()


def command(walk: Walk, *words: str) -> subprocess.CompletedProcess:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "USER": "olga"}
    env |= {"NIGHTSHIFT_ALERT_TOKEN": TOKEN}
    argv = [sys.executable, "-m", "bot", *words, "-c", "nightshift.toml"]
    return subprocess.run(argv, cwd=walk.folder, env=env, capture_output=True, text=True, check=False, timeout=60)


async def ask(walk: Walk, path: str, method: str = "GET", body: object = None) -> dict:
    headers = {"Authorization": f"Bearer {(walk.state / 'admin.token').read_text()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, walk.url + path, headers=headers, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def wait_for(walk: Walk, what: Callable[[list[str]], bool], seconds: float = HANGS) -> None:
    """Wait until the kinds of the incident's timeline are as wanted."""
    deadline = time.monotonic() + seconds
    kinds: list[str] = []
    while not what(kinds):
        assert time.monotonic() < deadline, f"{kinds}\n{walk.tail()}"
        await asyncio.sleep(0.05)
        with contextlib.suppress(aiohttp.ClientError, OSError, AssertionError):
            kinds = [event["kind"] for event in (await ask(walk, "/v1/incidents/INC-1/timeline"))["events"]]


@contextlib.asynccontextmanager
async def open_streams(walk: Walk, count: int) -> AsyncIterator[list[bytes]]:
    """Hold pages open that follow the incident; yields what they have received."""
    received: list[bytes] = []
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        link = (await ask(walk, "/v1/signin-links", "POST", {"person": "ana"}))["url"]
        await Browser(session, walk.url).sign_in(link)

        async def follow() -> None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{walk.url}/incidents/INC-1/events") as answer:
                    async for line in answer.content:
                        received.append(line)

        tasks = [asyncio.create_task(follow()) for _ in range(count)]
        while sum(line.startswith(b"event: hello") for line in received) < count:
            await asyncio.sleep(0.02)
        yield received
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)


async def stop_politely(walk: Walk) -> float:
    """Send SIGTERM, and the signals of an impatient person after it; return how long it took to end well."""
    process, began = walk.process, time.monotonic()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        await asyncio.sleep(0.1)
        assert time.monotonic() - began < STOP_SECONDS, walk.tail()
        process.send_signal(signal.SIGINT if int(time.monotonic() * 10) % 2 else signal.SIGTERM)
    assert process.returncode == 0, walk.tail()
    return time.monotonic() - began


async def test_sigterm_in_the_middle_of_everything_loses_nothing(walk, record_property):
    walking = asyncio.create_task(walk.run())
    moments: dict[str, Callable[[list[str]], bool]] = {
        "investigating": lambda kinds: kinds.count("stage") >= 2,
        "waiting for CI": lambda kinds: "pushed" in kinds,
    }
    for name, reached in moments.items():
        await wait_for(walk, reached)
        async with open_streams(walk, 3):
            took = await stop_politely(walk)
        record_property(name, took)
        print(f"stopped while {name} in {took:.1f} s")
    await walking
    assert walk.starts == 1 + len(moments)
    await asyncio.to_thread(check_outcome, walk)


async def test_a_pause_holds_the_investigation_and_the_push_over_a_restart(walk):
    is_paused_again = asyncio.Event()
    walk.may_approve = lambda _: is_paused_again.is_set()
    walking = asyncio.create_task(walk.run())
    await wait_for(walk, lambda kinds: kinds.count("stage") >= 1)
    await ask(walk, "/v1/pause", "PUT", {"paused": True, "reason": "the database is moving"})
    await wait_for(walk, lambda kinds: "held" in kinds)
    walk.kill()
    await wait_for(walk, lambda kinds: walk.starts == 2 and "acknowledged" in kinds)
    again = await asyncio.to_thread(command, walk, "pause", "--reason", "another")
    assert (again.returncode, again.stderr) == (0, "")
    assert "the database is moving. Nothing was changed." in again.stdout
    examined = await asyncio.to_thread(command, walk, "doctor", "--json")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    told = {line["name"]: line["text"] for line in json.loads(examined.stdout)["lines"]}
    assert told["running"] == f"Nightshift is ready at 127.0.0.1:{walk.port}"
    refused = await asyncio.to_thread(command, walk, "restore", "nightshift.toml")
    assert (refused.returncode, "Another Nightshift runs" in refused.stderr) == (1, True)
    kinds = await kinds_of(walk)
    assert "patch_ready" not in kinds, "\n".join(kinds)
    assert (await asyncio.to_thread(command, walk, "pause", "--off")).returncode == 0

    await wait_for(walk, lambda kinds: "patch_ready" in kinds)
    await ask(walk, "/v1/pause", "PUT", {"paused": True, "reason": "again"})
    is_paused_again.set()
    await wait_for(walk, lambda kinds: "approved" in kinds and kinds.count("held") == 2)
    assert not {"pushed", "push_refused"} & set(await kinds_of(walk))
    assert (await ask(walk, "/v1/pause", "PUT", {"paused": False}))["paused"] is False
    await walking
    await asyncio.to_thread(check_outcome, walk)


async def test_a_copy_made_while_it_works_goes_on_elsewhere(walk, tmp_path):
    """The machine is lost right after the copy was made: what happened later would be missing from the trail."""
    walking = asyncio.create_task(walk.run())
    await wait_for(walk, lambda kinds: kinds.count("stage") >= 2)
    manifest = await asyncio.to_thread(write_backup, walk.state, tmp_path / "copy.nightshift", datetime.now(UTC))
    walking.cancel()
    walk.stop()
    shutil.move(walk.state, tmp_path / "lost")

    restored = await asyncio.to_thread(command, walk, "restore", "copy.nightshift")
    assert restored.returncode == 0, restored.stderr
    again = await asyncio.to_thread(command, walk, "backup", "again.nightshift")
    assert (again.returncode, manifest.audit in again.stdout) == (0, True)
    sound = await asyncio.to_thread(command, walk, "verify-audit", "--anchor", manifest.audit)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    await walk.run()
    await asyncio.to_thread(check_outcome, walk)


async def kinds_of(walk: Walk) -> list[str]:
    return [event["kind"] for event in (await ask(walk, "/v1/incidents/INC-1/timeline"))["events"]]
