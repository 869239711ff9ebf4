"""The bot as a process for benchmarks: the settings a newcomer would have, several services, and what it uses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bot.demo.api import BotApi
from bot.demo.browser import Browser
from bot.domain.service import LogPlace, Service
from tests.e2e.walk import ROOT, TOKEN, Walk

TICKS = os.sysconf("SC_CLK_TCK")
HEAD = """
[server]
port = {port}
state_dir = {state}
[people.ana]
name = "Ana"
role = "admin"
accounts = {{ web = "ana", console = "ana" }}
[people.ben]
name = "Ben"
role = "approver"
accounts = {{ web = "ben" }}
[escalations.default]
steps = [{{ people = ["ana"] }}, {{ people = ["ben"], after = 600 }}]
[channels.console]
kind = "console"
person = "ana"
[channels.web]
kind = "web"
[approval]
approvers = ["ana", "ben"]
"""
SERVICE = """
[services.{name}]
repository = {repository}
run = {run}
logs = [{logs}]
paths = {paths}
[services.{name}.checks]
{checks}
[[routes]]
match = {{ service = "{name}" }}
service = "{name}"
"""


@dataclass(frozen=True, kw_only=True)
class Use:
    """What processes used: seconds of CPU, and megabytes now and at most."""

    cpu: float
    memory: float
    peak: float


@dataclass(kw_only=True)
class Bot(Walk):
    """`python -m bot run` in a folder of its own, with every limit at its default."""

    services: Sequence[Service]
    database_url: str = ""
    starts_cold: bool = True
    more_config: str = ""

    def write_config(self) -> None:
        parts = [HEAD.format(port=self.port, state=json.dumps(str(self.state)))]
        for service in self.services:
            checks = "\n".join(f"{name} = {json.dumps(argv)}" for name, argv in service.checks.items())
            parts.append(
                SERVICE.format(
                    name=service.name,
                    repository=json.dumps(service.repository),
                    run=json.dumps(service.run),
                    logs=", ".join(_write_place(place) for place in service.logs),
                    paths=json.dumps(service.paths),
                    checks=checks,
                )
            )
        (self.folder / "nightshift.toml").write_text("".join([*parts, self.more_config]))

    def start(self, fault: str = "") -> None:
        if not self.database_url:
            super().start(fault)
            return
        own = {"NIGHTSHIFT_ALERT_TOKEN": TOKEN, "NIGHTSHIFT_DATABASE_URL": self.database_url, "LANG": "C.UTF-8"}
        argv = [sys.executable, "-m", "bot", "run", "-c", "nightshift.toml"]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | own
        with (self.folder / "console.txt").open("ab") as out:
            self.process = subprocess.Popen(
                argv, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    async def start_ready(self, session: aiohttp.ClientSession) -> float:
        """Start, and return the seconds until it was ready."""
        began = time.monotonic()
        self.start()
        while True:
            try:
                async with session.get(f"{self.url}/readyz") as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except aiohttp.ClientError:
                assert time.monotonic() - began < 60, self.tail()
                assert not self.is_dead(), self.tail()
            time.sleep(0.005)

    def end(self) -> None:
        """Stop it as an operator would, and whatever stays behind by force."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)
        self.stop()

    def api(self, session: aiohttp.ClientSession) -> BotApi:
        return BotApi(session, self.url, self.state / "admin.token")

    async def people(self, stack: AsyncExitStack) -> dict[str, Browser]:
        """Sign Ana and Ben in at the web pages."""
        headers = {"Authorization": f"Bearer {(self.state / 'admin.token').read_text()}"}
        found = {}
        for name in ("ana", "ben"):
            session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)))
            async with session.post(f"{self.url}/v1/signin-links", json={"person": name}, headers=headers) as answer:
                link = (await answer.json())["url"]
            found[name] = Browser(session, self.url)
            await found[name].sign_in(link)
        return found

    def front_use(self) -> Use:
        assert self.process is not None
        return read_use(self.process.pid)

    def worker_use(self) -> Use:
        """Return what the worker and everything below the front process used; nothing where there is none."""
        uses = [read_use(pid) for pid in self.children("-m bot worker")]
        return Use(
            cpu=sum(use.cpu for use in uses),
            memory=sum(use.memory for use in uses),
            peak=sum(use.peak for use in uses),
        )


def _write_place(place: LogPlace) -> str:
    values = {"kind": place.kind, "path": place.path, "query": place.query}
    return f"{{ {', '.join(f'{name} = {json.dumps(value)}' for name, value in values.items() if value)} }}"


def read_use(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Use(
        cpu=(int(fields[11]) + int(fields[12])) / TICKS,
        memory=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        peak=int(status["VmHWM"].split()[0]) * 1024 / 1e6,
    )


def make_body(service: str, name: str, *, began: datetime, instance: str = "1", ended: datetime | None = None) -> bytes:
    """Return a delivery of one alert as Alertmanager writes it."""
    status = "resolved" if ended else "firing"
    alert: dict[str, Any] = {
        "status": status,
        "labels": {"alertname": name, "service": service, "severity": "critical", "instance": instance},
        "annotations": {"summary": f"{service} is failing", "runbook_url": "https://runbooks.example/errors"},
        "startsAt": began.astimezone(UTC).isoformat(),
        "endsAt": ended.isoformat() if ended else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=errors",
    }
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}", service="{service}"}}',
        "status": status,
        "receiver": "nightshift",
        "externalURL": "http://alertmanager.example:9093",
        "truncatedAlerts": 0,
        "alerts": [alert],
    }
    return json.dumps(body).encode()


async def send(session: aiohttp.ClientSession, bot: Bot, body: bytes) -> float:
    """Deliver, and return the seconds until the 2xx. Anything else is a fault of the bot."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    began = time.perf_counter()
    async with session.post(f"{bot.url}/v1/alerts/alertmanager", data=body, headers=headers) as answer:
        await answer.read()
        assert answer.status == 200, answer.status
    return time.perf_counter() - began
