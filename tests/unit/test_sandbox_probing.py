"""The probe itself: in a place that holds nothing it must find nearly everything open."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bot.ports.sandbox import SandboxJob, SandboxResult
from connectors.sandboxes.probing import probe_sandbox
from tests.contract.sandbox_users import PLAIN_USER, find_python

MUST_BE_FOUND = {
    "reach the host over tcp",
    "connect to a unix socket",
    "connect to an abstract socket",
    "read host files",
    "find the canary in an environment",
    "planted files on the host",
    "keep rights",
    "raise a limit",
    "take over a process without a filter",
}


class NoSandbox:
    """Runs a job as a child process with everything in reach, as a plain user."""

    rung = "open"

    async def run(self, job: SandboxJob) -> SandboxResult:
        if job.files:
            return await self._run(job)
        # Exhaustion is not tried without a sandbox: each such job is reported as one that went on for ever.
        return SandboxResult(exit_code=0, output=b"", seconds=job.limits.seconds + 9)

    async def _run(self, job: SandboxJob) -> SandboxResult:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o777)
            for file, content in job.files.items():
                (folder / file).write_bytes(content)
            argv = [text.replace("/nightshift/", f"{name}/") for text in job.argv]
            if os.geteuid() == 0:
                argv = [*PLAIN_USER, find_python(), *argv[1:]]
            process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, cwd=name)
            output, _ = await process.communicate()
        return SandboxResult(exit_code=process.returncode, output=output, seconds=time.monotonic() - started)


async def test_probe_finds_what_is_open():
    probes = await probe_sandbox(NoSandbox())
    found = {probe.name for probe in probes if not probe.held}
    assert found >= MUST_BE_FOUND
    assert all(probe.detail for probe in probes if not probe.held)
    calls = {name for name in found if name.startswith("call ")}
    assert len(calls) >= 8
