"""Runs git so that nothing but its arguments decides what it does.

No configuration of the machine, the user or a repository is read; hooks, file monitors, attributes, external diffs and
unknown transports are off; output, time and memory are bounded; credentials travel in the environment only.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bot.errors import Reason, Rejected, Unavailable
from connectors.workspaces.git_faults import explain

A = TypeVar("A")
B = TypeVar("B")
EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_CHUNK: Final = 256 * 1024
_ERROR_BYTES: Final = 32 * 1024

# Faults of old but honest histories that cannot harm a reader: fsck still refuses everything else.
_OLD_FAULTS: Final = ("badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode", "missingEmail", "badDate")

_CONFIG: Final[Mapping[str, str]] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.quotePath": "false",
    "core.sshCommand": "ssh -o BatchMode=yes -o ConnectTimeout=15",
    "core.askPass": "",
    "attr.tree": EMPTY_TREE,
    "credential.helper": "",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "transfer.fsckObjects": "true",
    **{f"fetch.fsck.{name}": "ignore" for name in _OLD_FAULTS},
    "fetch.recurseSubmodules": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "safe.directory": "*",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "log.showSignature": "false",
    "diff.renameLimit": "400",
    "pack.threads": "2",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How this connector works. `tokens` maps a host ("git.example.org") to "token" or "user:token".

    Seconds bound a local command and one exchange with a remote; bytes bound an archive, one file and the diff kept
    per commit. `proxy` and `ca_file` reach every remote.
    """

    tokens: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    ca_file: str = ""
    local_seconds: float = 60.0
    remote_seconds: float = 300.0
    tree_bytes: int = 512 * 1024 * 1024
    file_bytes: int = 16 * 1024 * 1024
    commit_diff_bytes: int = 64 * 1024
    patch_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Call:
    """One git command. `secrets` never appear in an error; `sink` takes the output instead of collecting it."""

    args: Sequence[str]
    folder: Path | None = None
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0
    max_bytes: int = 64 * 1024 * 1024
    ok: tuple[int, ...] = (0,)
    remote: bool = False
    secrets: tuple[str, ...] = ()
    sink: Callable[[bytes], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape").strip()


def git_environment(call: Call) -> dict[str, str]:
    """Return the whole environment of one command: nothing of ours is passed on but PATH and the ssh agent."""
    config = {**_CONFIG, **call.config}
    env = {
        "PATH": os.environ.get("PATH") or os.defpath,
        "HOME": "/dev/null",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    if "SSH_AUTH_SOCK" in os.environ:
        env["SSH_AUTH_SOCK"] = os.environ["SSH_AUTH_SOCK"]
    for number, (key, value) in enumerate(config.items()):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return {**env, **call.env}


def _find_git() -> str:
    path = shutil.which("git", path=os.environ.get("PATH") or os.defpath)
    if path is None:
        raise Rejected("git was not found on PATH; install git 2.39 or newer", Reason.NOT_FOUND)
    return path


async def run_git(call: Call) -> Output:
    """Run one command to its end.

    Raises `Unavailable` when it did not end in time or a remote did not answer, `Rejected` for every other failure.
    Nothing it started outlives the call.
    """
    where = [] if call.folder is None else [f"--git-dir={call.folder}"]
    try:
        process = await asyncio.create_subprocess_exec(
            _find_git(),
            "--no-pager",
            *where,
            *call.args,
            stdin=asyncio.subprocess.PIPE if call.stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=git_environment(call),
            cwd=call.folder or "/",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Rejected(f"the clone {call.folder} is gone", Reason.NOT_FOUND) from error
    output = await _finish(process, call)
    if output.code not in call.ok:
        # A push names the fate of each ref on its output.
        said = f"{output.text}\n{output.err}" if call.args[0] == "push" else output.err
        raise explain(call.args[0], said, is_remote=call.remote, secrets=call.secrets)
    return output


async def side_by_side(one: Coroutine[None, None, A], two: Coroutine[None, None, B]) -> tuple[A, B]:
    """Run two commands at once. Where one fails the other is ended: nobody would wait for it any more."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(one), group.create_task(two)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()


async def _finish(process: asyncio.subprocess.Process, call: Call) -> Output:
    is_over = False
    try:
        async with asyncio.timeout(call.seconds):
            out, err, _ = await asyncio.gather(_read_out(process, call), _read_err(process), _feed(process, call.stdin))
            code = await process.wait()
        is_over = True
    except TimeoutError as error:
        raise Unavailable(f"git {call.args[0]} took longer than {call.seconds:g} s", Reason.TIMEOUT) from error
    finally:
        if not is_over:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Output(code=code, out=out, err=err.decode("utf-8", "replace"))


async def _read_out(process: asyncio.subprocess.Process, call: Call) -> bytes:
    assert process.stdout is not None
    parts: list[bytes] = []
    size = 0
    while chunk := await process.stdout.read(_CHUNK):
        if call.sink is not None:
            call.sink(chunk)
            continue
        size += len(chunk)
        if size > call.max_bytes:
            raise Rejected(f"git {call.args[0]} gave more than {call.max_bytes:,} bytes", Reason.TOO_LARGE)
        parts.append(chunk)
    return b"".join(parts)


async def _read_err(process: asyncio.subprocess.Process) -> bytes:
    """Keep the end: progress comes first, the reason last."""
    assert process.stderr is not None
    kept = b""
    while chunk := await process.stderr.read(_CHUNK):
        kept = (kept + chunk)[-_ERROR_BYTES:]
    return kept


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


class Repo:
    """One bare repository on disk, and the commands that read and write it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings

    async def run(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Output:
        """Run one local command that must succeed."""
        return await self.call(*args, stdin=stdin, env=env, ok=(0,))

    async def call(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, ok: tuple[int, ...] = (0,)
    ) -> Output:
        """Run one local command; codes in `ok` are answers, all others are errors."""
        return await run_git(
            Call(
                args=args,
                folder=self.folder,
                stdin=stdin,
                env=env or {},
                seconds=self.settings.local_seconds,
                max_bytes=max(self.settings.patch_bytes, self.settings.file_bytes) * 4,
                ok=ok,
            )
        )
