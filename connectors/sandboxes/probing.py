"""Tries a sandbox from both sides: escape attempts inside it, and exhaustion that must stay bounded."""

import asyncio
import json
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import Probe, Sandbox, SandboxJob, SandboxLimits, SandboxResult
from connectors.sandboxes.attempts import Facts
from connectors.sandboxes.seccomp import call_numbers

_MIB: Final = 1024 * 1024
_CANARY_VARIABLE: Final = "NIGHTSHIFT_PROBE_CANARY"
_ATTEMPTS: Final = Path(__file__).with_name("attempts.py")
_CALLS: Final = (
    *(
        "ptrace",
        "process_vm_readv",
        "pidfd_getfd",
        "mount",
        "umount2",
        "pivot_root",
        "open_tree",
        "fsopen",
        "move_mount",
    ),
    *("unshare", "setns", "keyctl", "add_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup"),
    *("name_to_handle_at", "open_by_handle_at", "init_module", "finit_module", "clone3"),
)


@dataclass(frozen=True, kw_only=True)
class _Exhaustion:
    """Python that takes all it can of one thing; `wanted` are the ways this may end."""

    name: str
    code: str
    wanted: tuple[str, ...]
    limits: SandboxLimits


_LIMITS: Final = SandboxLimits(seconds=10, memory=192 * _MIB, processes=32, output=256 * 1024, tree=64 * _MIB)
_SHORT: Final = SandboxLimits(seconds=1, memory=192 * _MIB, processes=32, output=256 * 1024, tree=64 * _MIB)
_HOLD: Final = (
    "import os, time, mmap\ndef hold(n):\n m = mmap.mmap(-1, n << 20)\n m.write(b'x' * (n << 20))\n time.sleep(30)\n"
)
_EXHAUSTIONS: Final = (
    _Exhaustion(
        name="fork bomb",
        code="import os, time, sys\nn = 0\ntry:\n while n < 500:\n  if os.fork() == 0: time.sleep(30)\n  n += 1\n"
        "except OSError: pass\nsys.exit(n > 32)",
        wanted=("exit 0", "memory"),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="memory bomb of one process",
        code="x = []\nwhile True: x.append(bytearray(1 << 20))",
        wanted=("exit 1", "memory"),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="memory bomb of many processes",
        code=_HOLD + "for _ in range(12):\n if os.fork() == 0: hold(60)\ntime.sleep(30)",
        wanted=("memory",),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="shared memory bomb",
        code="open('/dev/shm/x', 'wb').write(bytes(100 << 20))",
        wanted=("exit 1", "memory"),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="full disk",
        code="import sys\ntry:\n for n in range(100):\n  with open(str(n), 'wb') as f: f.write(bytes(10 << 20))\n"
        "except OSError: sys.exit(1)",
        wanted=("exit 1", "memory"),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="output flood",
        code="import os\nwhile True: os.write(1, b'x' * 65536)",
        wanted=("output",),
        limits=_LIMITS,
    ),
    _Exhaustion(
        name="endless run that ignores signals",
        code="import signal, time\nfor s in range(1, 32):\n"
        " if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(9)",
        wanted=("time",),
        limits=_SHORT,
    ),
)


async def probe_sandbox(sandbox: Sandbox) -> Sequence[Probe]:
    """Run every attempt. Raises `Unavailable` where the sandbox does not start."""
    with tempfile.TemporaryDirectory(prefix="nightshift-probe-") as name:
        folder = Path(name)
        _open_to_all(folder)
        probes = [*await _try_to_escape(sandbox, folder), _look_for_planted_files(folder)]
    probes += [await _exhaust(sandbox, exhaustion) for exhaustion in _EXHAUSTIONS]
    return [*probes, await _leave_a_process(sandbox)]


def _open_to_all(path: Path) -> None:
    """Let every user in, so that nothing but the sandbox keeps the attempts out."""
    path.chmod(0o777 if path.is_dir() or path.is_socket() else 0o644)


async def _try_to_escape(sandbox: Sandbox, folder: Path) -> list[Probe]:
    async with _targets(folder) as facts:
        job = SandboxJob(
            argv=("python3", "-I", "/nightshift/attempts.py", json.dumps(facts)),
            files={"attempts.py": _ATTEMPTS.read_bytes()},
            limits=SandboxLimits(seconds=30, memory=256 * _MIB, processes=32),
        )
        result = await sandbox.run(job)
    if result.exit_code != 0:
        raise Unavailable(
            f"The probe did not run to its end: {result.output[-500:].decode(errors='replace')}", Reason.UNSAFE
        )
    reached = dict(json.loads(line) for line in result.output.splitlines())
    return [Probe(name=name, held=not detail, detail=detail) for name, detail in reached.items()]


@asynccontextmanager
async def _targets(folder: Path) -> AsyncIterator[Facts]:
    """Put up what the attempts aim at: a secret in a file and in our environment, listeners of three kinds."""
    canary = secrets.token_hex(16)
    secret = folder / "secret"
    secret.write_text(canary)
    _open_to_all(secret)
    abstract = f"nightshift-{secrets.token_hex(8)}"
    servers = [
        await asyncio.start_server(_hang_up, "127.0.0.1", 0),
        await asyncio.start_unix_server(_hang_up, folder / "socket"),
        await asyncio.start_unix_server(_hang_up, "\0" + abstract),
    ]
    _open_to_all(folder / "socket")
    with _canary_in_environment(canary):
        try:
            yield Facts(
                canary=canary,
                folder=str(folder / "host"),
                secret_files=[str(secret), *_private_files()],
                tcp=[("127.0.0.1", servers[0].sockets[0].getsockname()[1]), *_own_addresses()],
                unix=str(folder / "socket"),
                abstract=abstract,
                pid=os.getpid(),
                pid_namespace=_own_pid_namespace(),
                calls={name: number for name, number in call_numbers().items() if name in _CALLS},
            )
        finally:
            for server in servers:
                server.close()


def _own_pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@contextmanager
def _canary_in_environment(canary: str) -> Iterator[None]:
    os.environ[_CANARY_VARIABLE] = canary
    try:
        yield
    finally:
        del os.environ[_CANARY_VARIABLE]


def _private_files() -> list[str]:
    home = Path.home()
    own = [home / ".ssh/id_rsa", home / ".ssh/id_ed25519", home / ".ssh/authorized_keys", home / ".bashrc"]
    own += [Path.cwd() / ".env", Path.cwd() / "nightshift.toml", Path.cwd() / "inbox.db"]
    return [str(path) for path in [*own, *map(Path, ("/etc/shadow", "/etc/machine-id", "/etc/ssh/ssh_config"))]]


def _own_addresses() -> list[tuple[str, int]]:
    """Return this machine's address on its network, with the port that is open on most of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [(sock.getsockname()[0], 22)]


def _look_for_planted_files(folder: Path) -> Probe:
    planted = (folder / "host").exists()
    return Probe(name="planted files on the host", held=not planted, detail="found them" if planted else "")


async def _exhaust(sandbox: Sandbox, exhaustion: _Exhaustion) -> Probe:
    job = SandboxJob(argv=("python3", "-I", "-S", "-c", exhaustion.code), limits=exhaustion.limits)
    result = await sandbox.run(job)
    ended = result.ended_by or f"exit {result.exit_code}"
    held = ended in exhaustion.wanted and result.seconds < exhaustion.limits.seconds + 5
    return Probe(name=exhaustion.name, held=held, detail=f"ended by {ended} after {result.seconds:.1f} s")


async def _leave_a_process(sandbox: Sandbox) -> Probe:
    mark = secrets.token_hex(8)
    code = "import os, sys, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)\n"
    result: SandboxResult = await sandbox.run(
        SandboxJob(argv=("python3", "-I", "-S", "-c", code, mark), limits=_LIMITS)
    )
    left = [pid for pid, line in _command_lines() if mark.encode() in line]
    held = result.exit_code == 0 and not left
    return Probe(name="process that outlives the run", held=held, detail=f"left {left}" if left else "")


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / "cmdline").read_bytes()
        except OSError:
            continue
