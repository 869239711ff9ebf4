"""Walks one incident through the real bot, whatever happens to its processes on the way.

The walk is a sender that repeats until it gets its 2xx and a person who presses what the page offers; the bot is
`python -m bot run`, started again whenever it is dead.
"""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from bot.demo.browser import Browser, PageError
from bot.domain.service import LogPlace, Service
from tests.e2e.nursery import Child, start_run
from tests.playbooks.world import BAD, GOOD, Repository, Step, export, history, serve_and_fail, write_repository

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "alert-token-of-the-walk"
LOOK = 0.15
HANGS = 600.0
"""Seconds after which a walk is said to hang. It claims nothing about speed: a busy machine takes its time."""
PEOPLE = ("ana", "ben")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A repository with a regression in it, and the log of its failing. Made once, copied for each walk."""

    repository: Repository
    log: Path


def make_ground(folder: Path, culprit: Step) -> Ground:
    later = Step(subject="Tidy", files={"README.md": "# The shop\n"})
    repository = write_repository(folder / "shop.git", history(culprit, later), until=datetime.now(UTC))
    tree = export(repository, "main", folder / "deployed")
    assert serve_and_fail(tree, folder / "app.log", (GOOD, BAD, GOOD, BAD)) == [200, 500, 200, 500]
    return Ground(repository=repository, log=folder / "app.log")


def shop_service(folder: Path) -> Service:
    """Return the service of a ground that was copied to `folder`."""
    return Service(
        name="shop",
        repository=(folder / "shop.git").as_uri(),
        logs=(LogPlace(kind="file", path=str(folder / "app.log")),),
        run=("python", "-S", "server.py", "{port}"),
        checks={"tests": ("python", "-m", "unittest", "-q")},
    )


FROZEN = """
break_glass = ["ana"]
[[approval.freezes]]
reason = "The shop moves"
since = 2020-01-01T00:00:00Z
until = 2900-01-01T00:00:00Z
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(kw_only=True)
class Walk:
    """One walk in its own folder. `expiry_minutes` and `escalate_after` make timers due on the way, `may_approve` holds
    the people back. `also` is what else people do: it says whether there was something. `is_over` says when the
    alert may clear. `starts_cold` loads the code anew at each start."""

    folder: Path
    service: Service
    expiry_minutes: float = 60
    escalate_after: float = 600
    dispatch_seconds: float = 0.5
    sends_junk: bool = False
    refuses_push: bool = False
    reruns_ci: bool = False
    asks_revert: bool = False
    breaks_glass: bool = False
    wish: str = ""
    model_url: str = ""
    model_env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    service_lines: str = ""
    tables: str = ""
    python_path: tuple[str, ...] = ()
    also: Callable[["Person", dict], Awaitable[bool]] | None = None
    is_over: Callable[["Person"], Awaitable[bool]] | None = None
    may_approve: Callable[["Walk"], bool] = lambda _: True
    port: int = field(default_factory=free_port)
    starts: int = 0
    starts_cold: bool = False
    process: "subprocess.Popen[bytes] | Child | None" = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def admin_token(self) -> str:
        return (self.state / "admin.token").read_text()

    @property
    def repository(self) -> Path:
        return Path(self.service.repository.removeprefix("file://"))

    def write_config(self) -> None:
        service = self.service
        checks = "\n".join(f"{name} = {json.dumps(argv)}" for name, argv in service.checks.items())
        env = "\n".join(f"{name} = {json.dumps(value)}" for name, value in service.env.items())
        (self.folder / "nightshift.toml").write_text(f"""
[server]
port = {self.port}
state_dir = {json.dumps(str(self.state))}
[limits]
poll_seconds = 0.3
sweep_seconds = 0.2
ci_idle_seconds = 0.5
ci_poll_seconds = 1
dispatch_seconds = {self.dispatch_seconds}
[people.ana]
name = "Ana"
role = "admin"
accounts = {{ web = "ana", console = "ana" }}
[people.ben]
name = "Ben"
role = "approver"
accounts = {{ web = "ben" }}
[services.{service.name}]
repository = {json.dumps(service.repository)}
run = {json.dumps(service.run)}
logs = [{{ path = {json.dumps(service.logs[0].path)} }}]
setup = {json.dumps(service.setup)}
paths = {json.dumps(service.paths)}
{self.service_lines}
[services.{service.name}.checks]
{checks}
[services.{service.name}.env]
{env}
[[routes]]
match = {{ service = "{service.name}" }}
service = "{service.name}"
[escalations.default]
steps = [{{ people = ["ana"] }}, {{ people = ["ben"], after = {self.escalate_after} }}]
[channels.console]
kind = "console"
person = "ana"
[channels.web]
kind = "web"
[approval]
approvers = ["ana", "ben"]
expiry_minutes = {self.expiry_minutes}
{FROZEN if self.breaks_glass else ""}
{self.tables}
""")

    def start(self, fault: str = "") -> None:
        path = os.pathsep.join([str(ROOT), *self.python_path])
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "NIGHTSHIFT_ALERT_TOKEN": TOKEN, "LANG": "C.UTF-8"}
        if self.model_url:
            env |= {"NIGHTSHIFT_MODEL_URL": self.model_url, **self.model_env}
        if fault:
            env |= {"NIGHTSHIFT_FAULT_POINT": fault, "NIGHTSHIFT_ALLOW_FAULTS": "1"}
        self.process = self._launch(env)
        self.starts += 1

    def _launch(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes] | Child":
        console = self.folder / "console.txt"
        if not self.starts_cold:
            return start_run(self.folder, env, console)
        argv = [sys.executable, "-m", "bot", "run", "-c", "nightshift.toml"]
        with console.open("ab") as out:
            return subprocess.Popen(argv, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    async def wait_ready(self, session: aiohttp.ClientSession, seconds: float = HANGS) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                async with session.get(f"{self.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            assert time.monotonic() < deadline, self.tail()
            await asyncio.sleep(LOOK)

    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End the bot, its worker and the CI runner of this walk."""
        self.kill()
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)

    def children(self, words: str = "") -> list[int]:
        """Return the processes that hold this walk's folder in their command line or as their working folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\x00", b" ").decode(errors="replace")
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if (str(self.folder) in line or where == str(self.folder)) and words in line:
                found.append(int(entry.name))
        return [pid for pid in found if pid != os.getpid()]

    def body(self, status: str) -> bytes:
        ends = datetime.now(UTC).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z"
        labels = {"alertname": "HighErrorRate", "service": self.service.name, "severity": "critical"}
        labels |= self.labels
        alert = {
            "status": status,
            "labels": labels,
            "annotations": {"summary": f"{self.service.name} is failing"},
            "startsAt": self.began,
            "endsAt": ends,
        }
        return json.dumps({"version": "4", "groupKey": "g", "truncatedAlerts": 0, "alerts": [alert]}).encode()

    async def run(self, *faults: str, child: str = "", seconds: float = HANGS) -> Sequence[str]:
        """Walk to the end, and return the faults that did not come about.

        The first start dies at the first of `faults`, the next one at the second, and so on; with `child` a child does.
        """
        left = list(faults)
        self.began = datetime.now(UTC).isoformat()
        self.write_config()
        if self.refuses_push:
            hook = self.repository / "hooks" / "pre-receive"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text("#!/bin/sh\nexit 1\n")
            hook.chmod(0o755)
        self.start(left[0] if left else "")
        deadline = time.monotonic() + seconds
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(new_session()) for _ in PEOPLE]
            person = Person(self, sessions)
            seen_child: set[int] = set()
            while not await person.step():
                if time.monotonic() > deadline:
                    raise AssertionError(f"not resolved in {seconds:.0f} s: {person.last}\n{self.tail()}")
                if child and self.starts == 1:
                    now_there = set(self.children(child))
                    if seen_child - now_there:
                        self.kill()
                    seen_child |= now_there
                if self.is_dead():
                    del left[:1]
                    self.start(left[0] if left else "")
                await asyncio.sleep(LOOK)
        return left

    def tail(self) -> str:
        path = self.state / "log" / "nightshift.log"
        logged = path.read_text(errors="replace")[-3000:] if path.exists() else ""
        return logged + (self.folder / "console.txt").read_text(errors="replace")[-1500:]

    def repeated_posts(self, channel: str) -> int:
        """Return how many posts to a channel went out more than once."""
        lines = (self.state / "log" / "nightshift.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        keys = Counter((event["channel"], event["effect"]) for event in events if event.get("event") == "posted")
        keys = Counter({key: count for key, count in keys.items() if key[0] == channel})
        return sum(count - 1 for count in keys.values())

    def query(self, sql: str) -> list[tuple]:
        connection = sqlite3.connect(self.state / "nightshift.db", timeout=10)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


def new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=5))


class Person:
    """The sender and the people, one small step at a time; every step may fail and is tried again."""

    def __init__(self, walk: Walk, sessions: Sequence[aiohttp.ClientSession]) -> None:
        self._walk = walk
        self._session = sessions[0]
        self._sessions = dict(zip(PEOPLE, sessions, strict=True))
        self._signed_in: set[str] = set()
        self._fired = self._junked = self._cleared = False
        self.last: object = None

    async def step(self) -> bool:
        try:
            return await self._step()
        except (aiohttp.ClientError, TimeoutError, PageError, OSError) as error:
            self.last = error
            return False

    async def _step(self) -> bool:
        if not self._fired:
            self._fired = await self._send(self._walk.body("firing"))
            return False
        if self._walk.sends_junk and not self._junked:
            self._junked = await self._send(b'{"alerts": 7}')
            return False
        incident = await self._get("/v1/incidents/INC-1")
        self.last = incident
        if incident is None:
            return False
        return await self._react(incident)

    async def _react(self, incident: dict) -> bool:
        states = [approval["state"] for approval in incident["approvals"]]
        if incident["state"] == "resolved":
            return await self._is_quiet()
        if self._walk.also is not None and await self._walk.also(self, incident):
            return False
        wants_escalation = self._walk.escalate_after < 60 and not await self.happened("paged", 2)
        if incident["state"] == "triggered" and not wants_escalation:
            await self.press("Acknowledge")
        elif self._walk.wish and states == ["pending"] and self._walk.may_approve(self._walk):
            if not await self.happened("changes_asked", 1):
                await self.press("Ask for changes", **{"field.wish": self._walk.wish})
        elif states[-1:] == ["expired"]:
            await self.press("Renew")
        elif (
            states[-1:] == ["pending"]
            and not {"approved", "executed"} & set(states)
            and self._walk.may_approve(self._walk)
            and (self._walk.expiry_minutes > 1 or await self.happened("expired", 1))
        ):
            approved = incident["approvals"][-1]["approved_by"]
            if self._walk.breaks_glass:
                await self.press("Break glass", **{"field.reason": "Nobody else is awake"})
            else:
                await self.press("Approve", "ben" if "ana" in approved else "ana")
        elif await self._is_over(incident) and not self._cleared:
            self._cleared = await self._send(self._walk.body("resolved"))
        return False

    async def _is_over(self, incident: dict) -> bool:
        if self._walk.refuses_push:
            return await self.happened("push_refused", 1)
        if self._walk.is_over is not None:
            return await self._walk.is_over(self)
        if [run["state"] for run in incident["ci"]] != ["passed"]:
            return False
        if self._walk.asks_revert and not await self.happened("revert_ended", 1):
            if not await self.happened("revert_asked", 1):
                await self.press("Send", text="/patch revert")
            return False
        if self._walk.reruns_ci and incident["ci"][0]["attempt"] == 1:
            if not await self.happened("ci_rerun", 1):
                await self.press("Send", text="/ci rerun")
            return False
        return True

    async def happened(self, kind: str, times: int) -> bool:
        timeline = await self._get("/v1/incidents/INC-1/timeline")
        return timeline is not None and [event["kind"] for event in timeline["events"]].count(kind) >= times

    async def _is_quiet(self) -> bool:
        """Everything promised is done: no effect and no delivery waits."""
        open_ones = "SELECT COUNT(*) FROM effect WHERE state = 'intended' AND key NOT LIKE 'summary:%'"
        waiting = self._walk.query(open_ones)[0][0]  # a summary follows some seconds behind
        return waiting == 0

    async def _send(self, body: bytes) -> bool:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._session.post(f"{self._walk.url}/v1/alerts/alertmanager", data=body, headers=headers) as answer:
            return answer.status == 200

    async def _get(self, path: str) -> dict | None:
        headers = {"Authorization": f"Bearer {self._walk.admin_token()}"}
        async with self._session.get(self._walk.url + path, headers=headers) as answer:
            return await answer.json() if answer.status == 200 else None

    async def press(self, label: str, person: str = "ana", **fields: str) -> None:
        browser = Browser(self._sessions[person], self._walk.url)
        if person not in self._signed_in:
            headers = {"Authorization": f"Bearer {self._walk.admin_token()}"}
            url = f"{self._walk.url}/v1/signin-links"
            async with self._session.post(url, json={"person": person}, headers=headers) as answer:
                link = (await answer.json())["url"]
            await browser.sign_in(link)
            self._signed_in.add(person)
        button = await browser.find("/incidents/INC-1", label)
        if button is not None:
            await browser.press(replace(button, fields={**button.fields, **fields}))
