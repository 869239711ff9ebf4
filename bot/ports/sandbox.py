"""A place where repository code may run without harm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """Seconds and bytes. `memory` bounds all processes together, `output` what comes back, `tree` the work tree."""

    seconds: float = 120.0
    memory: int = 1024 * 1024 * 1024
    processes: int = 64
    output: int = 1024 * 1024
    tree: int = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class SandboxJob:
    """What to run: an argument list, never a shell string.

    `tree` is a tar archive unpacked to a fresh tmpfs that is the working directory `/w`. `files` are added
    read-only under `/nightshift/<name>`. `toolchain` is a host folder bound read-only at `/toolchain`, its `bin`
    first on PATH; the folders in `readable` are bound read-only where they are on the host. A Python of the running
    version is always there as `python3` and `python`. No network but an own loopback; an empty environment but PATH,
    HOME=/tmp, LANG and `env`.
    """

    argv: Sequence[str]
    tree: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    toolchain: Path | None = None
    readable: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: SandboxLimits = SandboxLimits()


@dataclass(frozen=True, kw_only=True)
class SandboxResult:
    """`output` is stdout and stderr interleaved, bounded. `exit_code` is None when a limit ended the run;
    `ended_by` then names it: "time", "memory" or "output"."""

    exit_code: int | None
    output: bytes
    seconds: float
    ended_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One attempt to get out of the sandbox, and whether it was stopped."""

    name: str
    held: bool
    detail: str = ""


class Sandbox(Protocol):
    """One rung of the ladder. Nothing it runs outlives the call, cancellation included."""

    @property
    def rung(self) -> str:
        """Return "bubblewrap", "container", "landlock" or "none"."""
        ...

    async def run(self, job: SandboxJob) -> SandboxResult:
        """Run the job to its end or its limits. Raises `Unavailable` where the sandbox itself cannot start."""
        ...

    async def probe(self) -> Sequence[Probe]:
        """Try to escape, and report."""
        ...
