"""Several front processes on one PostgreSQL, and the walk of one incident through them, whatever happens on the way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bot.store.postgres import libpq_url
from tests.e2e.nursery import Child, start_run
from tests.e2e.walk import HANGS, LOOK, PEOPLE, ROOT, TOKEN, Person, Walk, free_port, new_session

LEASE_SECONDS = 5.0
BEAT_SECONDS = 1.0
ADMIN_TOKEN = "admin-token-of-the-fleet"


@dataclass(kw_only=True)
class Front:
    """One front process. Stopped ones (SIGSTOP) live, but answer nobody."""

    name: str
    port: int = field(default_factory=free_port)
    process: Child
    is_stopped: bool = False

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


@dataclass(kw_only=True)
class Fleet(Walk):
    """`size` front processes in one folder, each with its own state folder.

    `walk` starts them all and no dead one again; `run` starts one, and another when it is dead.
    """

    database_url: str
    size: int = 2
    fronts: list[Front] = field(default_factory=list)

    @property
    def url(self) -> str:
        port = next((front.port for front in self.fronts if front.is_alive and not front.is_stopped), self.port)
        return f"http://127.0.0.1:{port}"

    def admin_token(self) -> str:
        return ADMIN_TOKEN

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "NIGHTSHIFT_ALERT_TOKEN": TOKEN,
            "NIGHTSHIFT_ADMIN_TOKEN": ADMIN_TOKEN,
            "NIGHTSHIFT_DATABASE_URL": self.database_url,
            "NIGHTSHIFT_SERVER__CI_DIR": str(self.folder / "ci"),
            "NIGHTSHIFT_LIMITS__LEASE_SECONDS": str(LEASE_SECONDS),
            "NIGHTSHIFT_LIMITS__BEAT_SECONDS": str(BEAT_SECONDS),
            **({"NIGHTSHIFT_MODEL_URL": self.model_url, **self.model_env} if self.model_url else {}),
        }

    def start(self, fault: str = "") -> None:
        """Start one more process."""
        name, port = f"front-{len(self.fronts) + 1}", free_port()
        own = {
            "NIGHTSHIFT_SERVER__PORT": str(port),
            "NIGHTSHIFT_SERVER__STATE_DIR": str(self.folder / name),
        }
        if fault:
            own |= {"NIGHTSHIFT_FAULT_POINT": fault, "NIGHTSHIFT_ALLOW_FAULTS": "1"}
        process = start_run(self.folder, self.environment() | own, self.folder / "console.txt")
        self.fronts.append(Front(name=name, port=port, process=process))
        self.starts += 1

    def is_dead(self) -> bool:
        return not any(front.is_alive for front in self.fronts)

    def kill(self) -> None:
        for front in self.fronts:
            if front.is_alive:
                front.process.send_signal(signal.SIGKILL)
                front.process.wait()

    def owner_of(self, phase: str) -> Front | None:
        """Return the process that works on a phase now: its id is in the executor's name."""
        query = "SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING' AND workflow_uuid LIKE %s"
        pids = {int(str(executor).split("-")[-2]) for (executor,) in self.query(query, f"{phase}:%")}
        return next((front for front in self.fronts if front.process.pid in pids and front.is_alive), None)

    async def start_all(self) -> None:
        self.began = datetime.now(UTC).isoformat()
        self.write_config()
        for _ in range(self.size):
            self.start()
        async with new_session() as session:
            for front in self.fronts:
                await self._wait_ready(front, session)

    async def _wait_ready(self, front: Front, session) -> None:
        deadline = time.monotonic() + HANGS
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{front.port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            assert front.is_alive, self.tail()
            assert time.monotonic() < deadline, self.tail()
            await asyncio.sleep(LOOK)

    async def walk(self, disturb: Callable[["Fleet"], bool] = lambda _: True, *, seconds: float = HANGS) -> None:
        """Walk to the end. `disturb` is called on the way until it says that it has done what it is for."""
        await self.start_all()
        deadline = time.monotonic() + seconds
        is_done = False
        async with AsyncExitStack() as stack:
            person = Person(self, [await stack.enter_async_context(new_session()) for _ in PEOPLE])
            while not await person.step():
                if time.monotonic() > deadline:
                    raise AssertionError(f"not resolved in {seconds:.0f} s: {person.last}\n{self.tail()}")
                is_done = is_done or await asyncio.to_thread(disturb, self)
                await asyncio.sleep(LOOK)
        assert is_done, "nothing was disturbed"

    def tail(self) -> str:
        parts = [(self.folder / "console.txt").read_text(errors="replace")[-2000:]]
        for front in self.fronts:
            path = self._log(front)
            parts.append(f"--- {front.name}\n" + (path.read_text(errors="replace")[-4000:] if path.exists() else ""))
        return "\n".join(parts)

    def _log(self, front: Front) -> Path:
        return self.folder / front.name / "log" / "nightshift.log"

    def log_text(self) -> str:
        return "\n".join(self._log(front).read_text(errors="replace") for front in self.fronts)

    def query(self, sql: str, *values: object) -> list[tuple]:
        try:
            with psycopg.connect(libpq_url(self.database_url), connect_timeout=5, autocommit=True) as connection:
                return connection.execute(sql.encode(), values or None).fetchall()
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from error

    def verify_audit(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "bot", "verify-audit", "-c", "nightshift.toml"],
            cwd=self.folder,
            env=self.environment() | {"NIGHTSHIFT_SERVER__STATE_DIR": str(self.folder / "audit")},
            capture_output=True,
            text=True,
            check=False,
        )
