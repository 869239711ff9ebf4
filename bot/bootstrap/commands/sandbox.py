"""`sandbox-run`: the sandbox by hand."""

import asyncio
import io
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bot.errors import Reason, Refused
from bot.ports.sandbox import SandboxJob, SandboxLimits
from connectors.sandboxes.ladder import choose_sandbox

TIMED_OUT = 124


def run_in_sandbox(command: Sequence[str], *, tree: Path | None, seconds: float) -> int:
    """Run a command and return its exit code (124 when a limit ended it)."""
    return asyncio.run(_run(command, tree, seconds))


async def _run(command: Sequence[str], tree: Path | None, seconds: float) -> int:
    sandbox = await choose_sandbox()
    archive = await asyncio.to_thread(_pack, tree) if tree else None
    job = SandboxJob(argv=tuple(command), tree=archive, limits=SandboxLimits(seconds=seconds))
    result = await sandbox.run(job)
    sys.stdout.buffer.write(result.output)
    sys.stdout.flush()
    if result.exit_code is None:
        print(f"nightshift: ended by the {result.ended_by} limit ({sandbox.rung})", file=sys.stderr)  # noqa: T201 -- the command's output
        return TIMED_OUT
    return result.exit_code


def _pack(tree: Path) -> bytes:
    if not tree.is_dir():
        raise Refused(f"{tree} is not a folder.", Reason.NOT_FOUND)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(tree, arcname=".")
    return buffer.getvalue()


def probe_sandbox() -> int:
    """Try to get out, print each attempt, and return 0 when all were stopped."""
    return asyncio.run(_probe())


async def _probe() -> int:
    sandbox = await choose_sandbox()
    probes = await sandbox.probe()
    for probe in probes:
        print(f"{'held' if probe.held else 'OPEN'}  {probe.name}  {probe.detail}".rstrip())  # noqa: T201 -- the command's output
    held = sum(probe.held for probe in probes)
    print(f"{sandbox.rung}: {held} of {len(probes)} attempts were stopped")  # noqa: T201 -- the command's output
    return 0 if held == len(probes) and probes else 1
