"""Runs repository code under bubblewrap: own namespaces, a file system of named parts only, seccomp, limits.

As a normal user bubblewrap makes a user namespace. Started as root it must not: there root inside would own
`/proc/sys`, and the process limit would not count; instead the job gets a user id of its own that nobody has.
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import Probe, SandboxJob, SandboxResult
from connectors.sandboxes.identity import pick_user
from connectors.sandboxes.parcel import (
    LAUNCHER,
    PYTHON_HOME,
    TOOLS,
    build_environment,
    check_job,
    find_python,
    in_memory,
    open_memory,
    write_parcel,
)
from connectors.sandboxes.probing import probe_sandbox
from connectors.sandboxes.seccomp import build_filter
from connectors.sandboxes.supervise import Doomed, Ending, Pipe, Watch, Watched, check_report, run_to_end

_SCRATCH_BYTES: Final = 256 * 1024 * 1024
_SHARED_BYTES: Final = 64 * 1024 * 1024
_INODES: Final = 300_000
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Bubblewrap:
    """The first rung. Needs `bwrap` 0.8, and `setpriv` and `prlimit` of util-linux."""

    def __init__(self, program: str = "bwrap") -> None:
        self._program = program

    @property
    def rung(self) -> str:
        return "bubblewrap"

    async def run(self, job: SandboxJob) -> SandboxResult:
        """Run the job. Raises `Unavailable` where bubblewrap cannot start, `Rejected` for a hostile tree."""
        check_job(job)
        program = shutil.which(self._program)
        if program is None:
            raise Unavailable("bubblewrap is not installed: install the package bubblewrap.", Reason.NOT_FOUND)
        return await run_to_end(lambda ended: _run(program, job, ended))

    async def probe(self) -> Sequence[Probe]:
        """Try to escape, and report."""
        return await probe_sandbox(self)


async def _run(program: str, job: SandboxJob, ended: Ending) -> SandboxResult:
    started = time.monotonic()
    with ExitStack() as stack:
        parcel = stack.enter_context(open_memory("parcel"))
        await asyncio.to_thread(write_parcel, parcel, job, build_environment(job), job.argv)
        parcel.seek(0)
        info, report = Pipe(), Pipe()
        stack.callback(info.close)
        stack.callback(report.close)
        parts = _Parts(stack)
        user = pick_user()
        arguments = [*_build_view(job, parts, user), "--info-fd", str(info.write_end)]
        descriptor = parts.add("arguments", "".join(f"{text}\0" for text in arguments).encode())
        process = await asyncio.create_subprocess_exec(
            program,
            "--args",
            str(descriptor),
            "--",
            *_build_command(job, report, user),
            stdin=parcel.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": _PATH},
            cwd="/",
            start_new_session=True,
            pass_fds=(*parts.descriptors, info.write_end, report.write_end),
        )
        await info.listen()
        await report.listen()
        doomed = await _find_first_process(info, job.limits.seconds)
        watched = Watched(
            process=process,
            limits=job.limits,
            started=started,
            root=doomed.pid if doomed else None,
            doomed=doomed,
            excess=_InodeCount(doomed.pid) if doomed else None,
        )
        result = await Watch(watched, ended).result()
        check_report("bubblewrap", await report.text(), result)
        return result


class _Parts:
    """Bytes that bubblewrap reads from descriptors it inherits."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.descriptors: list[int] = []

    def add(self, name: str, content: bytes) -> int:
        self.descriptors.append(self._stack.enter_context(in_memory(name, content)))
        return self.descriptors[-1]


async def _find_first_process(info: Pipe, seconds: float) -> Doomed | None:
    """Return process 1 of the sandbox: when it dies, the kernel kills all that is left in there."""
    try:
        async with asyncio.timeout(seconds):
            return Doomed(json.loads(await info.text())["child-pid"])
    except (ValueError, KeyError, TimeoutError):
        return None


class _InodeCount:
    """Empty files cost memory that neither a tmpfs size nor a process's memory shows."""

    def __init__(self, pid: int) -> None:
        self._root = f"/proc/{pid}/root"

    async def __call__(self) -> str:
        for folder in ("/w", "/tmp", "/dev/shm"):  # noqa: S108 - inside the sandbox
            try:
                usage = os.statvfs(self._root + folder)
            except OSError:
                return ""
            if usage.f_files - usage.f_ffree > _INODES:
                return "memory"
        return ""


def _build_view(job: SandboxJob, parts: _Parts, user: int) -> list[str]:
    """Return bubblewrap's arguments for namespaces and everything that can be seen inside."""
    namespaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() != 0:
        namespaces += ["--unshare-user", "--uid", str(user), "--gid", str(user)]
    scratch = str(min(job.limits.tree, _SCRATCH_BYTES))
    view = [*namespaces, "--hostname", "sandbox", "--die-with-parent", "--new-session"]
    view += [*_system_folders(), *_synthetic_etc(parts, user), *_python()]
    view += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(_SHARED_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108 -- inside
    view += ["--perms", "1777", "--size", scratch, "--tmpfs", "/tmp"]  # noqa: S108 -- inside
    view += ["--perms", "1777", "--size", str(job.limits.tree), "--tmpfs", "/w"]
    view += ["--perms", "0755", "--dir", "/nightshift"]
    for name, content in job.files.items():
        view += ["--perms", "0444", "--ro-bind-data", str(parts.add(name, content)), f"/nightshift/{name}"]
    if job.toolchain is not None:
        view += ["--ro-bind", str(job.toolchain.resolve()), "/toolchain"]
    view += _readable(job)
    view += ["--seccomp", str(parts.add("seccomp", build_filter()))]
    return [*view, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/w"]


def _system_folders() -> list[str]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        folder = Path(name)
        if folder.is_symlink():
            found += ["--symlink", str(folder.readlink()), name]
        elif folder.is_dir():
            found += ["--ro-bind", name, name]
    return found


def _synthetic_etc(parts: _Parts, user: int) -> list[str]:
    """Return an `/etc` of our own making, but for the loader's cache and the system's choice of programs."""
    texts = {
        "passwd": f"root:x:0:0:root:/:/bin/false\nsandbox:x:{user}:{user}:sandbox:/tmp:/bin/sh\n",
        "group": f"root:x:0:\nsandbox:x:{user}:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    found = ["--perms", "0755", "--dir", "/etc"]
    for name, text in texts.items():
        found += ["--perms", "0444", "--ro-bind-data", str(parts.add(name, text.encode())), f"/etc/{name}"]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return found


def _python() -> list[str]:
    """Return the running Python under a neutral path, since its own may lie in a home that only root can enter."""
    base, program = find_python()
    target = f"{PYTHON_HOME}/{program}"
    found = ["--ro-bind", str(base), PYTHON_HOME, "--perms", "0755", "--dir", "/opt"]
    found += ["--perms", "0755", "--dir", "/opt/nightshift", "--perms", "0755", "--dir", TOOLS]
    found += ["--symlink", target, f"{TOOLS}/python3", "--symlink", target, f"{TOOLS}/python"]
    if not base.is_relative_to("/usr"):
        # Where it was installed too: its library's path, and the Python of a toolchain's environment, are absolute.
        for parent in reversed(base.parents[:-1]):
            found += ["--perms", "0755", "--dir", str(parent)]
        found += ["--ro-bind", str(base), str(base)]
    return found


def _readable(job: SandboxJob) -> list[str]:
    """Bind the host's folders at their own places; what lies in a folder that is bound already is there."""
    base, _ = find_python()
    shown = [Path("/usr"), base]
    found: list[str] = []
    for folder in sorted(job.readable):
        if not any(folder.is_relative_to(each) for each in shown):
            for parent in reversed(folder.parents[:-1]):
                found += ["--perms", "0755", "--dir", str(parent)]
            found += ["--ro-bind", str(folder), str(folder)]
            shown.append(folder)
    return found


def _build_command(job: SandboxJob, report: Pipe, user: int) -> list[str]:
    """Return what bubblewrap starts: give up all rights, set the limits, then the launcher."""
    limits = job.limits
    command: list[str] = []
    if os.geteuid() == 0:
        command += ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--no-new-privs"]
        command += ["--bounding-set", "-all", "--inh-caps", "-all"]
    # RLIMIT_DATA and not RLIMIT_AS: Node, Go and Java reserve far more addresses than they use.
    command += ["prlimit", f"--nproc={limits.processes}", f"--data={limits.memory}", f"--fsize={limits.tree}"]
    command += ["--core=0", "--nofile=1024", "--memlock=65536", "--"]
    _, program = find_python()
    return [*command, f"{PYTHON_HOME}/{program}", "-I", "-S", "-B", "-c", LAUNCHER, str(report.write_end)]
