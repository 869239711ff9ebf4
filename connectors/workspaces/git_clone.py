"""Makes and refreshes bare clones: whole or not there, whenever the process dies.

A clone is fetched in a folder beside its place and renamed into it when it is complete; what a dead process left
behind is thrown away by the next one. A file lock keeps processes apart; the system frees it when its owner dies.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from bot.errors import Reason, Rejected, Unavailable
from connectors.workspaces.git_commands import Call, Settings, run_git
from connectors.workspaces.git_remote import Remote

_MARK: Final = "nightshift-origin"
_REFSPECS: Final = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_LOCK_POLL: Final = 0.05


@contextlib.asynccontextmanager
async def _locked(folder: Path, seconds: float) -> AsyncIterator[None]:
    path = folder.parent / f".{folder.name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = asyncio.get_running_loop().time() + seconds
        while not _try_lock(descriptor):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"another process has been refreshing {folder} for {seconds:g} s", Reason.CONFLICT)
            await asyncio.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _identity(remote: Remote) -> str:
    return hashlib.sha256(remote.url.encode()).hexdigest()


def _read_mark(folder: Path) -> str:
    try:
        return (folder / _MARK).read_text("ascii")
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""


def _is_taken(folder: Path) -> bool:
    """Say whether something that is not ours stands where the clone shall be."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _put_in_place(partial: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(folder.parent / f".{folder.name}.old-{os.getpid()}")
    partial.rename(folder)


async def open_clone(remote: Remote, folder: Path, settings: Settings) -> None:
    """Bring `folder` to where the remote's branches and tags stand now."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    async with _locked(folder, settings.remote_seconds):
        _sweep(folder)
        mark = _read_mark(folder)
        if not mark and _is_taken(folder):
            raise Rejected(f"{folder} holds something else; name an empty folder for the clone", Reason.CONFLICT)
        if mark == _identity(remote):
            try:
                await _fetch(remote, folder, settings)
            except Rejected:
                # After a full disk or a lost sector everything here can be fetched again.
                if not await _is_broken(folder, settings):
                    raise
            else:
                return
        await _clone(remote, folder, settings)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left: half clones, clones on their way out, and git's own lock files."""
    for pattern in (f".{folder.name}.partial-*", f".{folder.name}.old-*"):
        for left in folder.parent.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
    if not _read_mark(folder):
        return
    for lock in [*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("objects/pack/tmp_*")]:
        lock.unlink(missing_ok=True)


async def _is_broken(folder: Path, settings: Settings) -> bool:
    """Say whether the clone itself is damaged: its branches can no longer be walked."""
    call = Call(
        args=("rev-list", "--objects", "--all", "--quiet"),
        folder=folder,
        seconds=settings.remote_seconds,
        ok=(0, 1, 128, 129),
    )
    return (await run_git(call)).code != 0


async def _clone(remote: Remote, folder: Path, settings: Settings) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        await run_git(Call(args=("init", "--quiet", "--bare", "--template=", str(partial))))
        await _fetch(remote, partial, settings)
        (partial / _MARK).write_text(_identity(remote), "ascii")
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _sweep(folder)


async def _fetch(remote: Remote, folder: Path, settings: Settings) -> None:
    await remote.run(
        settings,
        "fetch",
        "--quiet",
        "--prune",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        "--end-of-options",
        "{url}",
        *_REFSPECS,
        folder=folder,
    )
