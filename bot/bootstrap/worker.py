"""The worker process: an investigator with real tools, and no secrets of its own."""

import asyncio
import os
import socket
from contextlib import AbstractAsyncContextManager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.agent.redaction import load_redactor
from bot.bootstrap.logs import configure_logs
from bot.bootstrap.places import TOOLCHAINS, open_file
from bot.domain.service import Service
from bot.ports.model import Errand, ModelClient, ModelPlace, OnTry
from bot.worker.ci_log import CILogs
from bot.worker.drafting import ModelDrafting
from bot.worker.investigate import Investigation
from bot.worker.plots import Plots
from bot.worker.server import Able, serve_worker
from bot.worker.tools import Tools
from connectors.sandboxes.ladder import choose_sandbox
from connectors.sandboxes.toolchain import prepare_toolchain
from connectors.workspaces.git import Git

if TYPE_CHECKING:
    from connectors.models.fleet import Fleet

GENTLE: Final = 10
"""Niceness: where cores are few, an alert's 2xx and a press go before reading logs and running tests."""


@cache
def _fleet() -> "Fleet":
    from connectors.models.fleet import Fleet  # noqa: PLC0415 -- costs a quarter of a second, and most runs need none

    return Fleet()


def open_model(place: ModelPlace, errand: Errand, on_try: OnTry) -> AbstractAsyncContextManager[ModelClient]:
    """Return the client of one conversation. Raises `Rejected` where an address or a CA file cannot be used."""
    return _fleet().open(place, errand, on_try)


async def _prepare(service: Service, folder: Path) -> Path | None:
    return await prepare_toolchain(service.setup, folder / TOOLCHAINS, service.name)


async def make_tools() -> Tools:
    """Return what the worker works with: real tools, and a redactor that knows no secret of this installation."""
    redactor = load_redactor([], os.urandom(32))
    return Tools(
        log_source=open_file,
        workspaces=Git(),
        sandbox=await choose_sandbox(),
        redact=redactor.redact,
        redact_lines=redactor.redact_lines,
        prepare_toolchain=_prepare,
    )


async def _serve(descriptor: int) -> None:
    tools = await make_tools()
    with socket.socket(fileno=descriptor) as channel:
        channel.setblocking(False)
        drafting = ModelDrafting(tools=tools, open_model=open_model)
        able = Able(investigator=Investigation(tools=tools), drafter=drafting, ci_reader=CILogs(tools), plotter=Plots())
        await serve_worker(channel, able)


def _step_back() -> None:
    """Let the front process go first. Linux may weigh whole sessions (sched(7), autogroup): then theirs counts."""
    os.nice(GENTLE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(GENTLE))


def run_worker(descriptor: int) -> None:
    """Serve the front process at the other end of an inherited socket until it is gone."""
    configure_logs(None)
    _step_back()
    asyncio.run(_serve(descriptor))
