"""The local CI: its provider in the front process, and its runner, a process of its own. Others: `platforms`."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bot.bootstrap.logs import configure_logs
from bot.bootstrap.places import TOOLCHAINS
from bot.domain.service import Service
from bot.ports import faults
from bot.ports.ci import CIProvider
from bot.settings import Settings
from bot.worker.client import FAULT_VARIABLES
from connectors.ci.local import LocalCI, spawn_detached
from connectors.ci.local_runner import run_spool
from connectors.ci.local_spool import LocalPlan
from connectors.sandboxes.ladder import choose_sandbox
from connectors.sandboxes.toolchain import find_toolchain
from connectors.workspaces.git import Git

KEPT = ("PATH", "HOME", "LANG", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")


def toolchain_folder(state: Path, service: Service) -> Path | None:
    """Return where the worker keeps what a service's setup command made."""
    return (
        find_toolchain(service.setup, state.absolute() / "work" / TOOLCHAINS, service.name) if service.setup else None
    )


def spool_folder(settings: Settings) -> Path:
    """Return where the local CI keeps its runs; it makes the folder when it is first asked for anything."""
    return (settings.server.ci_dir or settings.server.state_dir / "ci").absolute()


def make_local(settings: Settings) -> CIProvider:
    """Return the local CI, with the plans of the services that use it."""
    state = settings.server.state_dir
    plans = {
        service.repository: LocalPlan(
            url=service.repository,
            checks=service.checks,
            deploy=service.deploy,
            toolchain=toolchain_folder(state, service),
            env=service.env,
        )
        for service in settings.service_map().values()
    }
    spool = spool_folder(settings)
    return LocalCI(spool, _starter(spool, settings.limits.ci_idle_seconds), plans=plans)


def _starter(spool: Path, idle_seconds: float) -> Callable[[], None]:
    """The runner is started in a session of its own: it outlives this process, a kill -9 included."""

    argv = [sys.executable, "-m", "bot", "ci-runner", "--spool", str(spool), "--idle-seconds", str(idle_seconds)]

    def start() -> None:
        spawn_detached(argv, env=_environment(), output=spool / "runner.log")

    return start


def _environment() -> Mapping[str, str]:
    """Return the runner's environment: what the operator's deploy command may need, and nothing of our settings."""
    names = [*KEPT, *(FAULT_VARIABLES if faults.PLANNED else ())]
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **kept, "PYTHONPATH": os.pathsep.join(sys.path)}


async def _serve(spool: Path, idle_seconds: float) -> None:
    await run_spool(spool, sandbox=await choose_sandbox(), workspaces=Git(), idle_seconds=idle_seconds)


def run_ci_runner(spool: Path, idle_seconds: float) -> None:
    """Serve a spool until it was idle for `idle_seconds`."""
    configure_logs(None)
    asyncio.run(_serve(spool, idle_seconds))
