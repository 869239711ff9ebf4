"""The local CI: its provider in the front process, and its runner, a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from connectors.sandboxes.ladder import choose_sandbox

from bot.bootstrap.logs import configure_logs
from bot.bootstrap.worker import toolchain_key
from bot.domain.service import Service
from bot.errors import ConfigError, Problem
from bot.ports.ci import CIProvider
from bot.settings import Settings
from connectors.ci.local import LocalCI
from connectors.ci.local_runner import run_spool
from connectors.ci.local_spool import LocalPlan
from connectors.workspaces.git import Git


def toolchain_folder(state: Path, service: Service) -> Path | None:
    """Return where the worker keeps what a service's setup command made."""
    return state.absolute() / "work" / "toolchains" / toolchain_key(service) if service.setup else None


def make_providers(settings: Settings) -> Mapping[str, CIProvider]:
    """Return the CI providers in use, by kind. Raises `ConfigError` for a kind there is no connector for."""
    state = settings.server.state_dir
    services = settings.service_map()
    unknown = [
        Problem(where=f"services.{s.name}.ci", what=f'no CI connector "{s.ci}"; there is: local')
        for s in services.values()
        if s.ci != "local"
    ]
    if unknown:
        raise ConfigError(unknown)
    plans = {
        service.repository: LocalPlan(
            url=service.repository,
            checks=service.checks,
            deploy=service.deploy,
            toolchain=toolchain_folder(state, service),
            env=service.env,
        )
        for service in services.values()
    }
    spool = state.absolute() / "ci"
    return {"local": LocalCI(spool, _starter(spool, settings.limits.ci_idle_seconds), plans=plans)}


def _starter(spool: Path, idle_seconds: float) -> Callable[[], None]:
    """The runner is started in a session of its own: it outlives this process, a kill -9 included."""

    def start() -> None:
        spool.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "bot", "ci-runner", "--spool", str(spool), "--idle-seconds", str(idle_seconds)]
        with (spool / "runner.log").open("ab") as log:
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    return start


async def _serve(spool: Path, idle_seconds: float) -> None:
    await run_spool(spool, sandbox=await choose_sandbox(), workspaces=Git(), idle_seconds=idle_seconds)


def run_ci_runner(spool: Path, idle_seconds: float) -> None:
    """Serve a spool until it was idle for `idle_seconds`."""
    configure_logs(None, str)
    asyncio.run(_serve(spool, idle_seconds))
