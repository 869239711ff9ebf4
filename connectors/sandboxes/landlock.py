"""Runs repository code under Landlock, seccomp and resource limits, where neither namespaces nor an engine can be had.

Weaker than the rungs above in what it offers, not in what it lets out: there is no loopback (no socket can be made at
all), modes, owners and times cannot be changed by path, `/proc` is closed, and whether a host path exists can be
seen. `/w`, `/nightshift` and `/toolchain` are folders of a temporary folder here: they are put in place of those names
where an argument or a variable starts with one.
"""

import asyncio
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import Probe, SandboxJob, SandboxResult
from connectors.sandboxes.confine import Plan
from connectors.sandboxes.identity import pick_user
from connectors.sandboxes.parcel import LAUNCHER, build_environment, check_job, find_python, open_memory, write_parcel
from connectors.sandboxes.probing import probe_sandbox
from connectors.sandboxes.seccomp import build_filter
from connectors.sandboxes.supervise import Ending, Pipe, Watch, Watched, check_report, run_to_end

_CONFINE: Final = Path(__file__).with_name("confine.py").read_text()
_CREATE_RULESET: Final = 444
_ASK_VERSION: Final = 1
# The first version that keeps signals and abstract sockets inside: kernel 6.12.
_VERSION: Final = 6
_INODES: Final = 50_000
_SCRATCH_BYTES: Final = 256 * 1024 * 1024
_MEASURE_SECONDS: Final = 0.2
_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
)
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Landlock:
    """The third rung. Needs Linux 6.12 with Landlock switched on."""

    @property
    def rung(self) -> str:
        return "landlock"

    async def run(self, job: SandboxJob) -> SandboxResult:
        """Run the job. Raises `Unavailable` on an older kernel, `Rejected` for a hostile tree."""
        check_job(job)
        version = _landlock_version()
        if version < _VERSION:
            raise Unavailable(
                f"Landlock version {_VERSION} (Linux 6.12) is needed, this kernel has {max(version, 0)}.",
                Reason.NOT_FOUND,
            )
        return await run_to_end(lambda ended: _run(job, ended))

    async def probe(self) -> Sequence[Probe]:
        """Try to escape, and report."""
        return await probe_sandbox(self)


def _landlock_version() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The temporary folder of one run. `user` is 0 where the job keeps the user that Nightshift runs as."""

    root: Path
    user: int
    toolchain: Path | None

    def translate(self, text: str) -> str:
        """Put the real folder where `text`, or a path in a list like PYTHONPATH, starts with the port's name for it."""
        return ":".join(self._translate_path(path) for path in text.split(":"))

    def _translate_path(self, text: str) -> str:
        names = {"/w": self.root / "w", "/nightshift": self.root / "nightshift", "/toolchain": self.toolchain}
        for name, folder in names.items():
            if folder is not None and (text == name or text.startswith(f"{name}/")):
                return str(folder) + text[len(name) :]
        return text

    def environment(self, job: SandboxJob) -> dict[str, str]:
        env = build_environment(job, tools=str(self.root / "bin"))
        if self.toolchain is not None:
            env["PATH"] = f"{self.toolchain}/bin:{env['PATH'].removeprefix('/toolchain/bin:')}"
        scratch = str(self.root / "tmp")
        env |= {name: self.translate(value) for name, value in job.env.items()}
        return {**env, "HOME": job.env.get("HOME", scratch), "TMPDIR": job.env.get("TMPDIR", scratch)}


async def _run(job: SandboxJob, ended: Ending) -> SandboxResult:
    started = time.monotonic()
    async with _make_place(job) as place:
        with ExitStack() as stack:
            parcel = stack.enter_context(open_memory("parcel"))
            argv = [place.translate(text) for text in job.argv]
            await asyncio.to_thread(write_parcel, parcel, job, place.environment(job), argv)
            parcel.seek(0)
            report = Pipe()
            stack.callback(report.close)
            process = await asyncio.create_subprocess_exec(
                *(_python(), "-I", "-S", "-B", "-c", _CONFINE, json.dumps(_make_plan(job, place, report))),
                stdin=parcel.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={},
                cwd="/",
                start_new_session=True,
                pass_fds=(report.write_end,),
            )
            await report.listen()
            watched = Watched(
                process=process,
                limits=job.limits,
                started=started,
                root=process.pid,
                excess=_Usage(place.root, job.limits.tree + min(job.limits.tree, _SCRATCH_BYTES)),
                stop=signal.SIGTERM,
            )
            result = await Watch(watched, ended).result()
            check_report("landlock", await report.text(), result)
            return result


def _python() -> str:
    base, program = find_python()
    return str(base / program)


def _make_plan(job: SandboxJob, place: _Place, report: Pipe) -> Plan:
    readable = [*_SYSTEM, sys.base_prefix, str(place.root / "bin"), str(place.root / "nightshift")]
    if place.toolchain is not None:
        readable.append(str(place.toolchain))
    readable += [str(folder) for folder in job.readable]
    limits = job.limits
    processes = limits.processes if place.user else limits.processes + _count_own_tasks()
    return Plan(
        parent=os.getpid(),
        report=report.write_end,
        user=place.user,
        folder=str(place.root / "w"),
        readable=readable,
        writable=[str(place.root / "w"), str(place.root / "tmp")],
        devices=list(_DEVICES),
        limits={
            "NPROC": processes,
            "DATA": limits.memory,
            "FSIZE": limits.tree,
            "CORE": 0,
            "NOFILE": 1024,
            "MEMLOCK": 65536,
        },
        filter=build_filter(isolated=False).hex(),
        argv=[_python(), "-I", "-S", "-B", "-c", LAUNCHER],
    )


def _count_own_tasks() -> int:
    """Count the threads of this user: outside a namespace of its own, they count against the job's limit too."""
    user, count = os.getuid(), 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == user:
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:
            continue
    return count


@asynccontextmanager
async def _make_place(job: SandboxJob) -> AsyncIterator[_Place]:
    place = await asyncio.to_thread(_create_place, job)
    try:
        yield place
    finally:
        # The job chose names, depths and modes in there: left to programs that follow no link and know no depth.
        for command in (("chmod", "-R", "u+rwX"), ("rm", "-rf", "--one-file-system")):
            process = await asyncio.create_subprocess_exec(
                *command, "--", str(place.root), stderr=asyncio.subprocess.DEVNULL
            )
            await process.wait()


def _create_place(job: SandboxJob) -> _Place:
    root = Path(tempfile.mkdtemp(prefix="nightshift-job-")).resolve()
    user = pick_user() if os.geteuid() == 0 else 0
    root.chmod(0o711)
    for name in ("w", "tmp", "bin", "nightshift"):
        (root / name).mkdir(mode=0o755)
    for name in ("python", "python3"):
        (root / "bin" / name).symlink_to(_python())
    for name, content in job.files.items():
        (root / "nightshift" / name).write_bytes(content)
        (root / "nightshift" / name).chmod(0o444)
    if user:
        shutil.chown(root / "w", user, user)
        shutil.chown(root / "tmp", user, user)
    return _Place(root=root, user=user, toolchain=job.toolchain.resolve() if job.toolchain else None)


class _Usage:
    """Counts what the job wrote, now and then: no file system bounds it here."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._next = 0.0

    async def __call__(self) -> str:
        if time.monotonic() < self._next:
            return ""
        over = await asyncio.to_thread(self._is_over)
        self._next = time.monotonic() + _MEASURE_SECONDS
        return "memory" if over else ""

    def _is_over(self) -> bool:
        used = 0
        for count, entry in enumerate(_walk(self._root)):
            used += 512 * entry.st_blocks
            if used > self._limit or count > _INODES:
                return True
        return False


def _walk(root: Path) -> Iterator[os.stat_result]:
    folders = [os.fspath(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue
