"""A real Buildbot: master and worker in an environment of their own, building from a bare git repository."""

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

REQUIREMENTS = Path(__file__).with_name("buildbot_requirements.txt")
CACHE = Path(__file__).resolve().parents[2] / ".venv" / "share"
PATIENCE = 120.0
MEMORY = Path("/dev/shm")
"""Where the master's state lies, if it can: one thread of it writes and answers everybody, and syncs on each write."""
MASTER = """
import os
from buildbot.plugins import schedulers, steps, util, worker

factory = util.BuildFactory([
    steps.Git(repourl=os.environ["REPOSITORY"], mode="full", method="fresh", name="checkout"),
    steps.ShellCommand(command=["sh", "check.sh"], name="tests", haltOnFailure=True, timeout=None),
])
BuildmasterConfig = c = {}
here = worker.LocalWorker("here")
here.quarantine_timeout = here.quarantine_initial_timeout = 0  # else each build with an exception holds up the next
c["workers"] = [here]
c["protocols"] = {"null": {}}
c["builders"] = [util.BuilderConfig(name="checks", workernames=["here"], factory=factory)]
c["schedulers"] = [schedulers.ForceScheduler(
    name="nightshift",
    builderNames=["checks"],
    codebases=[util.CodebaseParameter(codebase="")],
    properties=[util.StringParameter(name="nightshift_key", default="")],
)]
c["buildbotURL"] = "http://127.0.0.1/"
c["buildbotNetUsageData"] = None
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["www"] = {"port": "tcp:0:interface=127.0.0.1"}
"""


def need_buildbot() -> Path:
    """Return the folder of Buildbot's programs, installed once; skip the test where they cannot be had."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = CACHE / f"buildbot-{digest}"
    if (home / "whole").exists():
        return home / "bin"
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        pytest.skip("the pinned Buildbot is for Python 3.11 on x86_64")
    making = home.with_name(f"{home.name}.{os.getpid()}")
    venv.create(making, with_pip=True)
    python = str(making / "bin" / "python")
    command = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(making)
        pytest.skip(f"Buildbot cannot be installed: {done.stderr.strip()[-300:]}")
    (making / "whole").touch()
    if not home.exists():
        making.rename(home)
    return home / "bin"


@contextmanager
def serve(folder: Path, repository: str) -> Iterator[str]:
    """Run a master, and yield its address."""
    programs = need_buildbot()
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "REPOSITORY": repository}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PYTHONWARNINGS": "ignore"}
    master, buildbot = folder / "master", [str(programs / "python"), str(programs / "buildbot")]
    with (
        TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as state,
        (folder / "master.log").open("wb") as log,
    ):
        master.symlink_to(state)
        subprocess.run([*buildbot, "create-master", "-q", str(master)], env=env, check=True, stdout=log, stderr=log)
        (master / "master.cfg").write_text(MASTER)
        command = [*buildbot, "start", "--nodaemon", str(master)]
        running = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            port = _wait(running, master / "twistd.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(running)


def _stop(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGTERM)
    try:
        running.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _wait(running: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that the master listens on, once it is up: it takes a free one itself, so that none is lost to
    another process between the choice and the use."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told = log.read_text(errors="replace") if log.exists() else ""
        found = re.search(r"BuildbotSite starting on (\d+)", told)
        if found and "BuildMaster is running" in told:
            return int(found[1])
        is_late = time.monotonic() > deadline
        assert running.poll() is None, told[-3000:]
        assert not is_late, told[-3000:]
        time.sleep(0.1)
