"""Uses a rung from a process of its own, and prints what came of it as JSON.

`python sandbox_driver.py <module>:<class> report` runs the probe, a small tree and twenty empty jobs;
`… hang <mark>` starts a job that never ends. Standard library only: it must run under any Python and any user.
"""

import asyncio
import importlib
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from bot.ports.sandbox import Sandbox, SandboxJob  # noqa: E402 - the path has to be set first


def _make_tree() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("folder/main.py")
        member.size = 14
        archive.addfile(member, io.BytesIO(b"print('works')"))
    return target.getvalue()


async def _report(sandbox: Sandbox) -> dict[str, object]:
    probes = await sandbox.probe()
    tree = await sandbox.run(SandboxJob(argv=("python3", "folder/main.py"), tree=_make_tree()))
    seconds = []
    for _ in range(20):
        started = time.monotonic()
        await sandbox.run(SandboxJob(argv=("/bin/true",)))
        seconds.append(time.monotonic() - started)
    return {
        "user": os.getuid(),
        "probes": len(probes),
        "open": [f"{probe.name}: {probe.detail}" for probe in probes if not probe.held],
        "tree": [tree.exit_code, tree.output.decode()],
        "seconds": seconds,
    }


async def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    sandbox = getattr(importlib.import_module(module), name)()
    if sys.argv[2] == "report":
        print(json.dumps(await _report(sandbox)))
    else:
        await sandbox.run(SandboxJob(argv=("python3", "-c", "import time; time.sleep(60)", sys.argv[3])))


if __name__ == "__main__":
    asyncio.run(main())
