"""Fills the read-only toolchain of a repository by running its operator's setup command, once.

The command is trusted and has the network: it is the operator's, never the repository's. It gets an empty folder in
`NIGHTSHIFT_TOOLCHAIN`, where it is started too, and none of Nightshift's credentials.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bot.errors import Reason, Unavailable

_VARIABLE: Final = "NIGHTSHIFT_TOOLCHAIN"
_PASSED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TMPDIR|TERM|(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|"
    r"NODE_EXTRA_CA_CERTS|GOPROXY|(PIP|UV|NPM_CONFIG|CARGO)_\w+",
    re.IGNORECASE,
)
_TAIL_BYTES: Final = 4000
_SCRIPT_BYTES: Final = 1024 * 1024
_POLL_SECONDS: Final = 0.2


async def prepare_toolchain(setup: tuple[str, ...], folder: Path, key: str, *, seconds: float = 900) -> Path | None:
    """Return the toolchain that `setup` made for the repository `key`, making it first where it is not there yet.

    None where there is no setup command. Raises `Unavailable` with the end of its output when the command fails.
    May be repeated, also from several processes: one of them runs the command, the others wait for it.
    """
    if not setup:
        return None
    place = find_toolchain(setup, folder, key)
    async with _lock(place.with_suffix(".lock")):
        if not place.is_dir():
            await _make(setup, place, seconds)
    return place


def find_toolchain(setup: tuple[str, ...], folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    """Return where the toolchain of a repository stands, or will."""
    text = "\0".join((key, sys.version.split()[0], *setup))
    return folder.resolve() / hashlib.sha256(text.encode()).hexdigest()[:24]


@asynccontextmanager
async def _lock(path: Path) -> AsyncIterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_SECONDS)
        yield


async def _make(setup: tuple[str, ...], place: Path, seconds: float) -> None:
    draft = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    draft.mkdir(mode=0o755)
    try:
        await _run_setup(setup, draft, seconds)
        await asyncio.to_thread(_finish, draft)
        draft.rename(place)
    finally:
        if draft.exists():
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)


async def _run_setup(setup: tuple[str, ...], draft: Path, seconds: float) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *setup,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(draft),
            cwd=draft,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(
            f"The setup command {setup[0]!r} cannot be run: {error.strerror}.", Reason.NOT_FOUND
        ) from error
    tail = bytearray()
    try:
        async with asyncio.timeout(seconds):
            await _read_tail(process, tail)
            code = await process.wait()
    except TimeoutError as error:
        raise Unavailable(_tell(setup, f"took longer than {seconds:g} s", tail), Reason.TIMEOUT) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        raise Unavailable(_tell(setup, f"ended with exit code {code}", tail), Reason.SERVER_ERROR)


def _environment(draft: Path) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    # `python3` is the version that the sandbox runs, also where Nightshift was started without its folder on PATH.
    path = f"{sys.base_prefix}/bin:{passed.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    return {**passed, "PATH": path, _VARIABLE: str(draft)}


async def _read_tail(process: asyncio.subprocess.Process, tail: bytearray) -> None:
    assert process.stdout is not None
    while piece := await process.stdout.read(65536):
        tail += piece
        del tail[:-_TAIL_BYTES]


def _tell(setup: tuple[str, ...], what: str, tail: bytearray) -> str:
    said = tail.decode(errors="replace").strip()
    return f"The setup command {' '.join(setup)[:200]!r} {what}:\n{said}"


def _finish(draft: Path) -> None:
    """Make all of it readable for the sandbox's user, and its scripts independent of where they were installed."""
    for root, folders, files in os.walk(draft):
        for name in [*folders, *files, "."]:
            path = Path(root, name)
            if not path.is_symlink():
                mode = path.stat().st_mode
                runs = path.is_dir() or mode & 0o100
                path.chmod((mode & 0o755) | (0o555 if runs else 0o444))
    binaries = draft / "bin"
    for script in binaries.iterdir() if binaries.is_dir() else ():
        if script.is_file() and not script.is_symlink() and script.stat().st_size <= _SCRIPT_BYTES:
            _free_script(script, f"{draft}/bin/".encode())


def _free_script(script: Path, binaries: bytes) -> None:
    """Let a script find its interpreter on PATH, where the toolchain comes first, rather than in the old folder."""
    text = script.read_bytes()
    freed = text.replace(b"#!" + binaries, b"#!/usr/bin/env ").replace(binaries, b"")
    if freed != text and b"\0" not in text:
        script.write_bytes(freed)
