"""The operator's deploy command: trusted, outside the sandbox, bounded in time.

It may leave a service running; its output goes to a file, so that such a service keeps no pipe of ours open.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bot.domain.ci import CIRequest
from bot.ports.sandbox import SandboxResult

OUTPUT_BYTES: Final = 256 * 1024
_KEPT: Final = ("PATH", "HOME", "LANG", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")


async def run_deploy(argv: Sequence[str], *, request: CIRequest, seconds: float, output: Path) -> SandboxResult:
    """Run the command to its end; past its time, or when cancelled, it and its children are killed."""
    started = time.monotonic()
    code: int | None = None
    ended_by = ""
    with _sink(output) as sink:
        try:
            process = await asyncio.create_subprocess_exec(
                *_tied(argv),
                env=_environment(request),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
            code = await _wait(process, seconds)
        except TimeoutError:
            ended_by = "time"
        except OSError as error:
            os.write(sink, f"cannot be started: {error}\n".encode(errors="replace"))
            code = 127
    return SandboxResult(
        exit_code=code, output=_read_end(output), seconds=time.monotonic() - started, ended_by=ended_by
    )


async def _wait(process: Process, seconds: float) -> int:
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _tied(argv: Sequence[str]) -> list[str]:
    """Let the command die with the runner: the next attempt must not deploy beside it. Its children live on."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *argv] if setpriv else list(argv)


def _environment(request: CIRequest) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "NIGHTSHIFT_SHA": request.sha,
        "NIGHTSHIFT_REPOSITORY": request.repository,
        "NIGHTSHIFT_BRANCH": request.branch,
        "NIGHTSHIFT_INCIDENT": request.incident,
    }


@contextmanager
def _sink(output: Path) -> Iterator[int]:
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _read_end(output: Path) -> bytes:
    with output.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - OUTPUT_BYTES))
        return file.read(OUTPUT_BYTES)
