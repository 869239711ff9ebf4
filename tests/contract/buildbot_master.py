"""A real Buildbot: master and worker in an environment of their own, building from a bare git repository."""

import hashlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).with_name("buildbot_requirements.txt")
CACHE = Path(__file__).resolve().parents[2] / ".venv" / "share"
PATIENCE = 60.0
MASTER = """
import os
from buildbot.plugins import schedulers, steps, util, worker

factory = util.BuildFactory([
    steps.Git(repourl=os.environ["REPOSITORY"], mode="full", method="fresh", name="checkout"),
    steps.ShellCommand(command=["sh", "check.sh"], name="tests", haltOnFailure=True, timeout=None),
])
BuildmasterConfig = c = {}
c["workers"] = [worker.LocalWorker("here")]
c["protocols"] = {"null": {}}
c["builders"] = [util.BuilderConfig(name="checks", workernames=["here"], factory=factory)]
c["schedulers"] = [schedulers.ForceScheduler(
    name="nightshift",
    builderNames=["checks"],
    codebases=[util.CodebaseParameter(codebase="")],
    properties=[util.StringParameter(name="nightshift_key", default="")],
)]
c["buildbotURL"] = "http://127.0.0.1:%s/" % os.environ["PORT"]
c["buildbotNetUsageData"] = None
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["www"] = {"port": "tcp:%s:interface=127.0.0.1" % os.environ["PORT"]}
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "PORT": str(port), "REPOSITORY": repository}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PYTHONWARNINGS": "ignore"}
    master, buildbot = folder / "master", [str(programs / "python"), str(programs / "buildbot")]
    with (folder / "master.log").open("wb") as log:
        subprocess.run([*buildbot, "create-master", "-q", str(master)], env=env, check=True, stdout=log, stderr=log)
        (master / "master.cfg").write_text(MASTER)
        command = [*buildbot, "start", "--nodaemon", str(master)]
        running = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{port}/api/v2/forceschedulers", running, master / "twistd.log")
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


def _wait(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            is_late = time.monotonic() > deadline
            assert running.poll() is None, log.read_text()[-3000:]
            assert not is_late, log.read_text()[-3000:]
            time.sleep(0.1)
