"""P2: what an installation weighs, how fast it starts, and what it uses while nothing happens."""

import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from tests.bench.channels import measure_channels
from tests.bench.intake import make_bot
from tests.bench.report import Row, note, within
from tests.bench.running import Bot
from tests.e2e.walk import ROOT

IDLE_SECONDS = 20
REPEATS = 4


async def measure(folder: Path) -> list[Row]:
    rows = await asyncio.to_thread(_weigh, folder / "core", "requirements.txt", "installed core", 180)
    rows += await asyncio.to_thread(_weigh, folder / "logs", "requirements-logs.txt", "… with log reading", 380)
    rows.append(await asyncio.to_thread(_time_help))
    (folder / "bot").mkdir()
    bot = await asyncio.to_thread(make_bot, folder / "bot")
    async with aiohttp.ClientSession() as session:
        try:
            rows += await _measure_start(bot, session) + await _measure_idle(bot)
        finally:
            bot.stop()
    return rows + await measure_channels(folder / "channels")


def _weigh(target: Path, lock: str, name: str, limit: float) -> list[Row]:
    """Install the packages of a lock file, without any of development, into a folder of their own."""
    argv = ["--target", str(target), "--require-hashes", "-q", "-r", str(ROOT / lock)]
    if shutil.which("uv"):
        argv = ["uv", "pip", "install", "--python", sys.executable, *argv]
    else:
        argv = [sys.executable, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", *argv]
    what = f"{name}, from {lock}"
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [Row(promise="P2", what=what, value=f"not measured: {reason[:60]}")]
    bare = _size(target) + sum(_size(ROOT / name) for name in ("bot", "connectors", "playbooks"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(target)], check=False, stdout=subprocess.DEVNULL)
    compiled = _size(target, caches=True) + sum(
        _size(ROOT / name, caches=True) for name in ("bot", "connectors", "playbooks")
    )
    shutil.rmtree(target)
    return [
        note(f"{what}, as unpacked", f"{bare:.0f} MB"),
        within("P2", f"{what}, with Python's compiled files", compiled, limit, "MB"),
    ]


def _size(folder: Path, *, caches: bool = False) -> float:
    files = (path for path in folder.rglob("*") if path.is_file() and (caches or "__pycache__" not in path.parts))
    return sum(path.stat().st_size for path in files) / 1e6


def _time_help() -> Row:
    times = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        argv = [sys.executable, "-m", "bot", "--help"]
        subprocess.run(argv, cwd=ROOT, env=os.environ, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return within("P2", f"--help: CPU, median of {REPEATS}", statistics.median(times), 0.3, "s CPU")


async def _measure_start(bot: Bot, session: aiohttp.ClientSession) -> list[Row]:
    times, used = [], []
    for number in range(REPEATS):
        times.append(await bot.start_ready(session))
        used.append(bot.front_use().cpu)
        if number < REPEATS - 1:
            await asyncio.to_thread(bot.end)
    return [
        note("start to ready, the first time, with new tables", f"{times[0]:.2f} s"),
        within("P2", f"start to ready, median of {REPEATS - 1} later starts", statistics.median(times[1:]), 2.0, "s"),
        note("… CPU until then, median", f"{statistics.median(used[1:]):.2f} s"),
    ]


async def _measure_idle(bot: Bot) -> list[Row]:
    """The bot runs with the console and the web as channels, and nothing comes."""
    await asyncio.sleep(3)
    front, worker, began = bot.front_use(), bot.worker_use(), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    seconds = time.monotonic() - began
    front_after, worker_after = bot.front_use(), bot.worker_use()
    cpu = (front_after.cpu - front.cpu + worker_after.cpu - worker.cpu) / seconds * 100
    memory = front_after.memory + worker_after.memory
    what = "idle with console and web"
    shares = f"front {front_after.memory:.0f}, worker {worker_after.memory:.0f}"
    return [
        within("P2", f"{what}: memory ({shares})", memory, 130, "MB"),
        within("P2", f"{what}: one core over {IDLE_SECONDS} s", cpu, 3.0, "% CPU"),
    ]
