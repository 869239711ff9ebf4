"""Runs repository code in a container without a network, where an engine is there and bubblewrap is not.

One job is one container under a name of its own; it is removed at the end whatever happened. The image must hold a
`python3` of the running version; it is never pulled here, since that is a download of minutes in the middle of a job.
"""

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import Probe, SandboxJob, SandboxResult
from connectors.sandboxes.identity import NOBODY
from connectors.sandboxes.parcel import LAUNCHER, build_environment, check_job, open_memory, write_parcel
from connectors.sandboxes.probing import probe_sandbox
from connectors.sandboxes.supervise import Ending, Pipe, Watch, Watched, check_report, run_to_end

ENGINES: Final = ("podman", "docker")
_IMAGE: Final = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
_SCRATCH_BYTES: Final = 256 * 1024 * 1024
_SHARED_BYTES: Final = 64 * 1024 * 1024
_ENGINE_SECONDS: Final = 20.0
# What a client needs to find its engine; nothing else of our environment reaches it.
_PASSED: Final = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")


class Container:
    """The second rung. Needs Docker or Podman on this machine and an image with Python."""

    def __init__(self, engine: str = "", image: str = _IMAGE) -> None:
        self._engine = engine
        self._image = image

    @property
    def rung(self) -> str:
        return "container"

    async def run(self, job: SandboxJob) -> SandboxResult:
        """Run the job. Raises `Unavailable` without an engine or image, `Rejected` for a hostile tree."""
        check_job(job)
        engine = _find_engine(self._engine)
        return await run_to_end(lambda ended: self._run(engine, job, ended))

    async def probe(self) -> Sequence[Probe]:
        """Try to escape, and report."""
        return await probe_sandbox(self)

    async def _run(self, engine: str, job: SandboxJob, ended: Ending) -> SandboxResult:
        started = time.monotonic()
        name = f"nightshift-{secrets.token_hex(8)}"
        with ExitStack() as stack:
            folder = stack.enter_context(_hold_files(job))
            parcel = stack.enter_context(open_memory("parcel"))
            environment = build_environment(job, tools="/usr/local/sbin")
            await asyncio.to_thread(write_parcel, parcel, job, environment, job.argv)
            parcel.seek(0)
            report = Pipe()
            stack.callback(report.close)
            process = await asyncio.create_subprocess_exec(
                *build_command(engine, name, self._image, job=job, files=folder),
                stdin=parcel.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=report.write_end,
                env=_client_environment(),
                start_new_session=True,
            )
            await report.listen()
            try:
                result = await Watch(Watched(process=process, limits=job.limits, started=started), ended).result()
                result = await _explain(engine, name, result)
            finally:
                await _ask(engine, "rm", "--force", "--volumes", name)
            check_report("container", await report.text(), result)
            return result


def _find_engine(wanted: str) -> str:
    for name in (wanted,) if wanted else ENGINES:
        found = shutil.which(name)
        if found is not None:
            return found
    raise Unavailable(f"No container engine is installed ({' or '.join(ENGINES)}).", Reason.NOT_FOUND)


def _client_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED if name in os.environ}


def build_command(engine: str, name: str, image: str, *, job: SandboxJob, files: Path) -> list[str]:
    """Return the client's arguments that run the launcher in a closed container, reading its parcel from stdin."""
    limits = job.limits
    tmpfs = "rw,exec,nosuid,nodev,mode=1777"
    command = [engine, "run", "--interactive", "--name", name, "--pull", "never", "--init"]
    command += ["--network", "none", "--ipc", "private", "--hostname", "sandbox", "--read-only"]
    command += ["--user", f"{NOBODY}:{NOBODY}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    # The engine counts the work tree, which lies in memory, with the processes.
    memory = str(limits.memory + limits.tree)
    command += ["--pids-limit", str(limits.processes + 2), "--memory", memory, "--memory-swap", memory]
    command += ["--shm-size", str(_SHARED_BYTES), "--log-driver", "none"]
    command += ["--ulimit", "core=0", "--ulimit", f"fsize={limits.tree}", "--ulimit", "nofile=1024"]
    command += ["--tmpfs", f"/w:{tmpfs},size={limits.tree}"]
    command += ["--tmpfs", f"/tmp:{tmpfs},size={min(limits.tree, _SCRATCH_BYTES)}"]  # noqa: S108 - inside
    command += ["--mount", f"type=bind,source={files},target=/nightshift,readonly"]
    if job.toolchain is not None:
        command += ["--mount", f"type=bind,source={job.toolchain.resolve()},target=/toolchain,readonly"]
    for folder in job.readable:
        command += ["--mount", f"type=bind,source={folder},target={folder},readonly"]
    # "2": the launcher reports on stderr, and joins the job's own stderr to its stdout.
    return [*command, "--workdir", "/w", "--entrypoint", "python3", image, "-I", "-S", "-B", "-c", LAUNCHER, "2"]


@contextmanager
def _hold_files(job: SandboxJob) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nightshift-files-") as name:
        folder = Path(name)
        for file, content in job.files.items():
            (folder / file).write_bytes(content)
            (folder / file).chmod(0o444)
        folder.chmod(0o755)
        yield folder


async def _explain(engine: str, name: str, result: SandboxResult) -> SandboxResult:
    """Say "memory" where the kernel ended the container for it: the exit code alone looks like any other kill."""
    if result.exit_code != 137:
        return result
    answer = await _ask(engine, "inspect", "--format", "{{.State.OOMKilled}}", name)
    if answer.strip() != b"true":
        return result
    return SandboxResult(exit_code=None, output=result.output, seconds=result.seconds, ended_by="memory")


async def _ask(engine: str, *arguments: str) -> bytes:
    """Ask the engine something short; its failure is an empty answer."""
    process = await asyncio.create_subprocess_exec(
        engine,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_client_environment(),
    )
    try:
        async with asyncio.timeout(_ENGINE_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return b""
    return output if process.returncode == 0 else b""
