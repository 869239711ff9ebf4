"""The demo's child processes: each on a leash, all of them gone when the demo ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.demo.leash import on_leash

_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Spawn:
    """How to start one child. Its stderr goes to `log`; `on_terminal` lets it read and write this terminal."""

    argv: Sequence[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    on_terminal: bool = False


class Children:
    """Starts children and, when the `async with` block ends, stops them, the newest first."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._running: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> "Children":
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in reversed(self._running):
            await _stop(child)
        await _end_leftovers(self._state)

    async def start(self, spawn: Spawn) -> asyncio.subprocess.Process:
        with spawn.log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *on_leash(spawn.argv),
                env=spawn.env,
                cwd=spawn.cwd,
                stdin=None if spawn.on_terminal else asyncio.subprocess.DEVNULL,
                stderr=log,
                # A child that reads the terminal must stay in its foreground group; the others must not see Ctrl-C.
                start_new_session=not spawn.on_terminal,
            )
        self._running.append(child)
        return child


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _end_leftovers(state: Path) -> None:
    """End what outlives its parent on purpose, like the CI runner: Python processes that name our folder."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(40):
            left = find_leftovers(state)
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            await asyncio.sleep(0.05)


def find_leftovers(state: Path) -> list[int]:
    """Return the processes of this Python whose command line names a path in `state`, ours excepted."""
    python, own = os.path.realpath(sys.executable), _own_line()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            named = any(word.startswith(os.fsencode(state)) for word in words)
            if named and os.path.realpath(entry / "exe") == python:
                found.append(int(entry.name))
    return found


def _own_line() -> set[int]:
    """Return this process and those it descends from."""
    line, pid = set[int](), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            break
    return line
