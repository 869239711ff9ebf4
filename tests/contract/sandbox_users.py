"""Runs the sandbox driver as the user of the tests, or as a plain user where the tests run as root."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("sandbox_driver.py")
PLAIN_USER = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all")


def find_python() -> str:
    """Return a Python that a plain user can start; root's own may lie in a home that is closed to others."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        if Path(candidate).exists() and _as_plain_user(candidate, "-I", "-c", check).returncode == 0:
            return candidate
    pytest.skip("No Python 3.11 here can be started by user 65534: its folder is closed to other users.")


def _as_plain_user(*command: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        (*PLAIN_USER, *command), capture_output=True, text=True, env=env, cwd="/", timeout=120, check=False
    )


def report_as_plain_user(sandbox: str) -> dict:
    """Return what the driver reports as a user without rights. Skips where no such user can be had."""
    if os.geteuid() != 0:
        pytest.skip("These tests already run as a plain user.")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv of util-linux is needed to become a plain user.")
    python = find_python()
    if _as_plain_user(python, "-I", "-c", f"open({str(DRIVER)!r})").returncode != 0:
        pytest.skip("User 65534 cannot read this checkout.")
    done = _as_plain_user(python, "-I", str(DRIVER), sandbox, "report")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def skip_without_user_namespaces() -> None:
    if os.geteuid() != 0:
        pytest.skip("These tests already run as a plain user.")
    done = _as_plain_user("unshare", "--user", "--map-root-user", "true")
    if done.returncode != 0:
        pytest.skip(f"A plain user cannot make a user namespace here: {done.stderr.strip()}")
