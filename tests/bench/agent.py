"""P4 and P5: what a step of the agent loop costs, and how much of each prompt the server knows already, beside two
peers that do the same job with the same server."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.agent_prompts import measure_prompts
from tests.bench.agent_server import Prompts, serve_steps
from tests.bench.report import Row, at_least, note, show, within
from tests.e2e.walk import ROOT

HERE = Path(__file__).parent
STEPS = 200
PEERS_MS = 50
"""What either peer took for a step of 200 where two milliseconds were promised for ours: on any machine a 25th."""
MANY, PARKED = 50, 300
PEERS = {"pydantic-ai-slim, nothing stored": "pydantic", "mini-swe-agent, trajectory saved": "mini"}
PATIENCE = 180


class AgentError(Exception):
    """A program did not do its part; the text is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What an agent told about itself."""

    cpu_ms: float
    memory_mb: float
    slice_p99_ms: float
    resume_s: float


async def measure(folder: Path) -> list[Row]:
    (folder / "cart.py").write_text(
        "".join(f"    total += line_{n}.price * line_{n}.count  # {n}\n" for n in range(1000))
    )
    try:
        python = await _make_peers(folder / "venv")
        missing = ""
    except AgentError as failed:
        python, missing = "", str(failed)
    prompts = Prompts()
    async with serve_steps(STEPS, prompts) as url:
        ours = await _run_ours(url, folder)
        floor = await _run_floor(url, folder)
        rows = _tell_ours(ours, floor)
        for name, who in PEERS.items():
            rows += await _run_peer(python, name, who, url, folder, ours) if python else [_skip(name, missing)]
    async with serve_steps(20) as url:
        many = ["-m", "tests.bench.agent_ours", url, str(folder), "20", str(MANY), str(PARKED), "slices"]
        crowd = await _run([sys.executable, *many])
    what = f"{MANY} runs at once beside {PARKED} that wait for an answer"
    return [
        *rows,
        note(f"{what}: CPU per step / memory", f"{show(crowd.cpu_ms)} ms / {crowd.memory_mb:.0f} MB"),
        within("P5", f"{what}: longest pieces on the event loop, p99", crowd.slice_p99_ms, 5, "ms CPU"),
        at_least(
            "P4",
            f"prompt kept from one step to the next (nothing is shortened here), least of {STEPS}",
            100 * prompts.least["ours"],
            95,
            "%",
        ),
        *(
            note(f"… peer {name}", f"{show(100 * prompts.least[who])} %")
            for name, who in PEERS.items()
            if who in prompts.least
        ),
        *await measure_prompts(python, folder),
    ]


async def _run_ours(url: str, folder: Path) -> Figures:
    """Return the middle of three runs, a second each, with the pieces on the event loop of a fourth."""
    found = []
    for number in range(4):
        place = folder / str(number)
        place.mkdir()
        shutil.copy(folder / "cart.py", place)
        argv = [sys.executable, "-m", "tests.bench.agent_ours", url, str(place), str(STEPS), "1", "0"]
        found.append(await _run([*argv, "slices"] if number == 3 else argv))
    middle = sorted(found[:3], key=lambda one: one.cpu_ms)[1]
    return replace(middle, slice_p99_ms=found[3].slice_p99_ms)


async def _run_floor(url: str, folder: Path) -> Figures:
    """Return the middle of three runs of the least that such a step can cost."""
    found = []
    for number in range(3):
        place = folder / f"floor-{number}"
        place.mkdir()
        shutil.copy(folder / "cart.py", place)
        found.append(
            await _run([sys.executable, "-m", "tests.bench.agent_floor", f"{url}/ours", str(place), str(STEPS)])
        )
    return sorted(found, key=lambda one: one.cpu_ms)[1]


def _tell_ours(ours: Figures, floor: Figures) -> list[Row]:
    what = f"our loop over {STEPS} steps, each stored with fsync: per step"
    bare = "the least: such requests by aiohttp and rows by sqlite3, nothing around them: per step"
    return [
        within("P5", what, ours.cpu_ms, 2, "ms CPU", floor=floor.cpu_ms),
        note(bare, f"{show(floor.cpu_ms)} ms CPU"),
        within("", "our loop as a multiple of the least", ours.cpu_ms / floor.cpu_ms, 2.5, "×"),
        within("P5", "our loop: longest pieces on the event loop, p99 of steps", ours.slice_p99_ms, 5, "ms CPU"),
        within("P5", f"our loop: reading {STEPS} steps back to go on", ours.resume_s, 1, "s"),
        note("our loop: memory at most", f"{ours.memory_mb:.0f} MB"),
    ]


async def _run_peer(python: str, name: str, who: str, url: str, folder: Path, ours: Figures) -> list[Row]:
    try:
        peer = await _run([python, str(HERE / f"agent_{who}.py"), f"{url}/{who}", str(folder), str(STEPS)])
    except AgentError as failed:
        return [_skip(name, str(failed))]
    slices = f", piece {show(peer.slice_p99_ms)} ms" if peer.slice_p99_ms else ""
    figures = f"{show(peer.cpu_ms)} ms, {peer.memory_mb:.0f} MB{slices}"
    what = f"… as a multiple of ours (2 ms were promised where the peers took {PEERS_MS})"
    times = at_least("P5", what, peer.cpu_ms / ours.cpu_ms, PEERS_MS / 2, "×")
    return [note(f"peer {name}: CPU per step, memory", figures), times]


def _skip(name: str, why: str) -> Row:
    return note(f"peer {name}", f"not measured: {why[:80]}")


async def _make_peers(folder: Path) -> str:
    """Install the peers into an environment of their own, from hashed packages; return its Python."""
    python = str(folder / "bin" / "python")
    lock = ["--no-deps", "--require-hashes", "-q", "-r", str(HERE / "agent_peers.txt")]
    if shutil.which("uv"):
        await _execute(["uv", "venv", "-q", "--python", sys.executable, str(folder)])
        await _execute(["uv", "pip", "install", "--python", python, *lock])
    else:
        await _execute([sys.executable, "-m", "venv", str(folder)])
        await _execute([python, "-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:", *lock])
    return python


async def _run(argv: Sequence[str]) -> Figures:
    told = json.loads((await _execute(argv)).splitlines()[-1])
    return Figures(
        cpu_ms=told["cpu_ms"],
        memory_mb=told["memory_mb"],
        slice_p99_ms=told.get("slice_p99_ms", 0.0),
        resume_s=told.get("resume_s", 0.0),
    )


async def _execute(argv: Sequence[str]) -> str:
    """Run a program and return what it printed. Raises `AgentError`."""
    own = {"MSWEA_SILENT_STARTUP": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, env=os.environ | own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, error = await process.communicate()
    except TimeoutError:
        process.kill()
        raise AgentError(f"{argv[0]} took longer than {PATIENCE} s") from None
    if process.returncode:
        raise AgentError((error.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1])
    return out.decode()
