"""Starts `nightshift run` from a process that has loaded it already.

A walk that is killed at thirty points starts thirty-one times, and loading the code is most of what a start costs.
What is started here is a process of its own, with its own environment and folder; only its modules were loaded before.
tests/e2e/test_operations.py and the bench start the command itself.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import alembic.command
import alembic.context  # noqa: F401 -- loaded here once, for every process that is started
import sqlalchemy.dialects.sqlite  # noqa: F401 -- likewise

import bot.bootstrap.front  # noqa: F401 -- likewise
import connectors.chat.console  # noqa: F401 -- likewise
from bot import cli
from bot.agent.redaction import RULES
from bot.agent.redaction_rules import load_rules
from bot.ports import faults

load_rules(RULES)  # a quarter of what is left of a start's CPU
gc.freeze()  # a start collects its own garbage alone
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


class Child:
    """A process from the nursery, as far as `subprocess.Popen` is needed for it."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("nightshift run", timeout or 0)
        return self._process.exitcode


def start_run(folder: Path, env: Mapping[str, str], out: Path) -> Child:
    """Run `nightshift run -c nightshift.toml` in `folder`; what it prints is appended to `out`."""
    process = _context.Process(target=_run, args=(str(folder), dict(env), str(out)), daemon=True)
    process.start()
    return Child(process)


def _run(folder: str, env: dict[str, str], out: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, out, os.O_WRONLY)):
        opened = os.open(path, flags | (os.O_APPEND | os.O_CREAT if flags else 0))
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 -- it lives as long as the process
    sys.path[:0] = env["PYTHONPATH"].split(os.pathsep)
    sys.modules.pop("sitecustomize", None)
    site.execsitecustomize()
    sys.argv = ["nightshift", "run", "-c", "nightshift.toml"]
    importlib.reload(faults)  # it reads its plan from the environment
    cli.main()
