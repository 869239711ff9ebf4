"""A PostgreSQL server of one's own for tests: in a temporary folder, on loopback, as an unprivileged user.

Debian's package `postgresql` (or any installation with `initdb` and `postgres`) is needed; without it tests skip.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

NOBODY = 65534
PASSWORD = "hide/this@password"
MISSING = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
_OPTIONS = {
    "fsync": "off",  # these tests kill processes, not machines
    "full_page_writes": "off",
    "max_connections": "120",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
}


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class PostgresServer:
    """One server. `restart` ends it as a crash would."""

    programs: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nightshift-pg-")))
    port: int = field(default_factory=_free_port)
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def create(self) -> None:
        self.folder.chmod(0o755)
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path in (self.folder, data):
                os.chown(path, NOBODY, NOBODY)
        argv = [self.programs / "initdb", "-D", data, "-U", "tester", "--no-sync", "-E", "UTF8", "--locale=C"]
        signs_in = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        subprocess.run([*argv, *signs_in], check=True, capture_output=True, cwd="/", **_unprivileged())
        self.start()
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE nightshift LOGIN PASSWORD '{PASSWORD}'".encode())

    def start(self) -> None:
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        argv = [self.programs / "postgres", "-D", self.folder / "data", "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, "-k", self.folder, *options], stdout=log, stderr=log, cwd="/", **_unprivileged()
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once: connections break, what was not committed is gone."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: PostgreSQL's "immediate" shutdown
            self._process.wait(timeout=30)
            self._process = None

    def restart(self, *, outage: float = 0.0) -> None:
        self.stop()
        time.sleep(outage)
        self.start()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Create an empty database and return its address."""
        name = f"walk{next(self._numbers)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER nightshift".encode())
        return f"postgresql+psycopg://nightshift:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"

    def _address(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self.folder}&port={self.port}"


def _unprivileged() -> Mapping[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def serve_postgres() -> Iterator[PostgresServer]:
    """Run a server while a test lasts; skip the test where PostgreSQL is not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip(MISSING)
    server = PostgresServer(programs=programs)
    server.create()
    try:
        yield server
    finally:
        server.remove()
