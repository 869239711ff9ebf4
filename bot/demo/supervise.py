"""Keeps the demo service running: python -m bot.demo.supervise STATE.

Serves the release that the state folder's `current` file names, restarts it when it ends or when another is
named, and ends it, and itself, on SIGTERM or when the process that started the supervisor is gone.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bot.demo.leash import on_leash
from bot.demo.service import DemoService, load_service, read_current

_LOOK_SECONDS = 0.05
_RESTART_SECONDS = 0.5
_STOP_SECONDS = 3.0


class Supervisor:
    """One service, one child at a time."""

    def __init__(self, service: DemoService) -> None:
        self._service = service
        self._child: subprocess.Popen[bytes] | None = None
        self._serving: str | None = None
        self._not_before = 0.0
        self._stopped = False

    def stop(self, *_: object) -> None:
        self._stopped = True

    def run(self) -> None:
        parent = os.getppid()
        try:
            while not self._stopped and os.getppid() == parent:
                self._look()
                time.sleep(_LOOK_SECONDS)
        finally:
            self._end_child()

    def _look(self) -> None:
        wanted = read_current(self._service)
        died = self._child is not None and self._child.poll() is not None
        if wanted is None or (wanted == self._serving and not died):
            return
        if died and wanted == self._serving and time.monotonic() < self._not_before:
            return
        self._end_child()
        self._start_child(wanted)

    def _start_child(self, sha: str) -> None:
        with (self._service.state / "service.out").open("ab") as output:
            self._child = subprocess.Popen(
                on_leash(self._service.argv()),
                cwd=self._service.releases / sha,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "CHECKOUT_RELEASE": sha,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "LC_ALL": "C.UTF-8",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._serving = sha
        self._not_before = time.monotonic() + _RESTART_SECONDS

    def _end_child(self) -> None:
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None


def main() -> int:
    supervisor = Supervisor(load_service(Path(sys.argv[1])))
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
