"""The other processes of the local CI's tests: a runner, and a bot that can be killed.

python ci_local_process.py run SPOOL IDLE SANDBOX
python ci_local_process.py start SPOOL PLANS REQUEST
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from bot.domain.ci import CIRequest
from bot.ports.sandbox import Probe, Sandbox, SandboxJob, SandboxResult
from connectors.ci.local import LocalCI, spawn_detached
from connectors.ci.local_runner import run_spool
from connectors.ci.local_spool import LocalPlan
from connectors.workspaces.git import Git

ROOT = Path(__file__).resolve().parents[2]
PLANS = TypeAdapter(dict[str, LocalPlan])
REQUEST = TypeAdapter(CIRequest)


class PlainSandbox:
    """No sandbox at all: a process in a temporary folder, fast enough for many tests of trusted code."""

    rung = "none"

    async def run(self, job: SandboxJob) -> SandboxResult:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if job.tree is not None:
                subprocess.run(["tar", "-x", "-C", folder], input=job.tree, check=True)
            path = os.environ["PATH"]
            if job.toolchain:
                path = f"{job.toolchain}/bin:{path}"
            process = await asyncio.create_subprocess_exec(
                *job.argv,
                cwd=folder,
                env={"PATH": path, "HOME": "/tmp", **job.env},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(job.limits.seconds):
                    output, _ = await process.communicate()
            except TimeoutError:
                return SandboxResult(exit_code=None, output=b"", seconds=time.monotonic() - started, ended_by="time")
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        return SandboxResult(
            exit_code=process.returncode, output=output[: job.limits.output], seconds=time.monotonic() - started
        )

    async def probe(self) -> Sequence[Probe]:
        return ()


def make_sandbox(name: str) -> Sandbox:
    if name == "plain":
        return PlainSandbox()
    from connectors.sandboxes.bubblewrap import Bubblewrap  # noqa: PLC0415 - only where it is asked for

    return Bubblewrap()


def start_runner(spool: Path, *, idle: float = 3.0, sandbox: str = "plain", fault: str = "") -> None:
    """What bootstrap does: a runner in a session of its own, with a bare environment."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/tmp")}
    if fault:
        env |= {"NIGHTSHIFT_ALLOW_FAULTS": "1", "NIGHTSHIFT_FAULT_POINT": fault}
    argv = [sys.executable, __file__, "run", str(spool), str(idle), sandbox]
    spool.mkdir(parents=True, exist_ok=True)
    spawn_detached(argv, env=env, output=spool / "runner.log")


async def main(verb: str, spool: Path, *rest: str) -> None:
    if verb == "run":
        idle, sandbox = rest
        await run_spool(spool, sandbox=make_sandbox(sandbox), workspaces=Git(), idle_seconds=float(idle))
        return
    plans, request = rest
    ci = LocalCI(spool, lambda: start_runner(spool), plans=PLANS.validate_json(plans))
    run = await ci.start(REQUEST.validate_json(request))
    print(run.id, run.state, flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
