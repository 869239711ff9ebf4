"""The demo's deploy job, run by CI once the checks are green: python -m bot.demo.deploy STATE.

Takes the commit from NIGHTSHIFT_SHA, makes it the current release and waits until it answers; when it does
not, the release before it is made current again and the job fails.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bot.demo.service import load_service, read_current, switch_current, unpack_release, wait_for_release

_SECONDS = 20.0


def deploy(state: Path, env: Mapping[str, str]) -> int:
    """Deploy, say what happened, and return the job's exit status."""
    service = load_service(state)
    sha, repository = env.get("NIGHTSHIFT_SHA", ""), env.get("NIGHTSHIFT_REPOSITORY", "")
    if repository and Path(repository.removeprefix("file://")) != service.repository:
        return _fail(f"this job deploys {service.repository}, not {repository}")
    try:
        unpack_release(service, sha)
    except (ValueError, subprocess.CalledProcessError) as error:
        return _fail(f"cannot check out {sha or 'nothing (NIGHTSHIFT_SHA is not set)'}: {error}")
    before = read_current(service)
    switch_current(service, sha)
    if wait_for_release(service, sha, seconds=_SECONDS):
        _say(f"{service.url} serves {sha[:12]} from branch {env.get('NIGHTSHIFT_BRANCH', '(unnamed)')}")
        return 0
    if before:
        switch_current(service, before)
    return _fail(f"{sha[:12]} did not answer within {_SECONDS:.0f} s; see {service.state / 'service.out'}")


def _say(text: str) -> None:
    sys.stdout.write(f"deploy: {text}\n")


def _fail(text: str) -> int:
    sys.stderr.write(f"deploy: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(deploy(Path(sys.argv[1]), os.environ))
