"""A real Prometheus and a real Alertmanager, with the configuration that we recommend, against the running bot."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import aiohttp
import pytest
import yaml
from aiohttp import web

from bot.demo.alertmanager import fingerprint as alertmanager_fingerprint
from bot.demo.folder import free_ports
from bot.demo.leash import on_leash
from bot.demo.monitoring import Monitoring, Rule
from bot.domain.metrics.promql import fill_query
from bot.errors import Rejected
from bot.ports.metrics import MetricQuestion
from connectors.metrics.prometheus import Settings, Source
from tests.e2e.debian import need_programs
from tests.e2e.walk import ROOT, TOKEN, Walk, make_ground, shop_service
from tests.playbooks.world import BROKEN_COUPONS, Step
from tests.unit.test_promql import HOSTILE

RECEIVER = ROOT / "infra" / "alertmanager" / "receiver.yml"
SERIES = 'shop_error_ratio{service="shop"}'
RULE = Rule(
    name="ShopErrors",
    expr=f"{SERIES} > 0.02",
    labels={"severity": "critical", "team": "shop"},
    annotations={
        "summary": 'shop fails: "{{ $value | humanizePercentage }}" of <requests>',
        "runbook_url": "https://runbooks.shop.example/errors",
        "value": "{{ $value }}",
    },
)

PLAYBOOK = """+++
name = "shop-errors"
title = "The shop fails"
evidence = ["metrics"]
history = 2
metrics = [{ title = "Scrapes", query = 'up{job="$job", instance=~"$instance"}', threshold = 1, below = true }]
[when]
alertname = "ShopErrors"
+++
Look at the shop.
"""


class Exporter:
    """A service's /metrics with one value that the test sets."""

    def __init__(self) -> None:
        self.ratio = 0.0
        self.scrapes = 0

    async def metrics(self, _request: web.Request) -> web.Response:
        self.scrapes += 1
        return web.Response(text=f'# TYPE shop_error_ratio gauge\nshop_error_ratio{{service="shop"}} {self.ratio}\n')


@pytest.fixture
async def exporter():
    app, exporter = web.Application(), Exporter()
    app.router.add_get("/metrics", exporter.metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    exporter.target = f"127.0.0.1:{runner.addresses[0][1]}"
    yield exporter
    await runner.cleanup()


@pytest.fixture
def walk(tmp_path):
    ground = make_ground(tmp_path / "ground", Step(subject="Read rates", files={"shop/coupons.py": BROKEN_COUPONS}))
    shutil.copytree(ground.repository.folder, tmp_path / "shop.git")
    shutil.copy(ground.log, tmp_path / "app.log")
    walk = Walk(folder=tmp_path, service=shop_service(tmp_path))
    walk.write_config()
    yield walk
    walk.stop()


@pytest.fixture
def monitoring(exporter, walk, pytestconfig):
    programs = need_programs(Path(pytestconfig.cache.mkdir("monitoring")))
    ports = free_ports(2)
    monitoring = Monitoring(
        folder=walk.folder / "monitoring",
        programs=programs,
        ports=(ports[0], ports[1]),
        job="shop",
        target=exporter.target,
        rule=RULE,
        receiver=f"{walk.url}/v1/alerts/alertmanager",
        token=TOKEN,
    )
    ask_for_metrics(walk, monitoring)
    monitoring.write()
    monitoring.alertmanager_file.write_text(yaml.safe_dump(recommended(monitoring)))
    with (walk.folder / "monitoring.txt").open("ab") as out:
        children = [
            subprocess.Popen(on_leash(argv), stdout=out, stderr=out, env={"PATH": os.environ["PATH"]})
            for argv in monitoring.commands()
        ]
    yield monitoring
    for child in children:
        child.terminate()
    for child in children:
        child.wait(20)


def ask_for_metrics(walk: Walk, monitoring: Monitoring) -> None:
    """Let the bot ask this Prometheus, for the rule and for a query of a playbook that looks at nothing else."""
    walk.tables = f'[connections.prometheus]\nurl = "{monitoring.prometheus_url}"\n'
    walk.write_config()
    (walk.folder / ".env").write_text('NIGHTSHIFT_PLAYBOOK_DIRS=["playbooks"]\n')
    (walk.folder / "playbooks").mkdir()
    (walk.folder / "playbooks" / "shop-errors.md").write_text(PLAYBOOK)


def recommended(monitoring: Monitoring) -> dict:
    """Return the example that we ship, changed in nothing but places and waiting times."""
    config = yaml.safe_load(RECEIVER.read_text())
    (webhook,) = config["receivers"][0]["webhook_configs"]
    webhook["url"] = monitoring.receiver
    webhook["http_config"]["authorization"]["credentials_file"] = str(monitoring.token_file)
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    return config


async def wait_for(what: str, look: Callable[[], Awaitable[dict | None]], walk: Walk, seconds: float = 60) -> dict:
    deadline = time.monotonic() + seconds
    while (found := await look()) is None:
        said = (walk.folder / "monitoring.txt").read_text()[-1500:]
        assert time.monotonic() < deadline, f"no {what} in {seconds:.0f} s\n{said}\n{walk.tail()}"
        await asyncio.sleep(0.1)
    return found


class Looker:
    """Asks the bot's API until it says what is waited for."""

    def __init__(self, walk: Walk, session: aiohttp.ClientSession) -> None:
        self._walk = walk
        self._session = session

    async def get(self, path: str) -> dict:
        headers = {"Authorization": f"Bearer {(self._walk.state / 'admin.token').read_text()}"}
        async with self._session.get(self._walk.url + path, headers=headers) as answer:
            return await answer.json()

    async def incident(self, state: str) -> dict | None:
        found = (await self.get("/v1/incidents"))["incidents"]
        assert len(found) <= 1, "one problem, one incident"
        return found[0] if found and found[0]["state"] == state else None


async def test_a_rule_fires_and_is_cured(exporter, walk, monitoring):
    walk.start()
    async with aiohttp.ClientSession() as session:
        await walk.wait_ready(session)
        looker = Looker(walk, session)

        async def scraped() -> dict | None:
            return {} if exporter.scrapes >= 2 else None

        await wait_for("scrape", scraped, walk)
        assert await looker.incident("triggered") is None, "nothing fires while all is well"
        broke_at, exporter.ratio = datetime.now(UTC), 0.137
        opened = await wait_for("incident", lambda: looker.incident("triggered"), walk)
        check_incident(walk, monitoring, exporter, (broke_at, datetime.now(UTC)))
        await check_metrics(walk, monitoring)
        exporter.ratio = 0.0
        closed = await wait_for("end of the incident", lambda: looker.incident("resolved"), walk)
        deliveries = (await looker.get("/v1/deliveries?after=0"))["deliveries"]
    assert (closed["id"], closed["firing"]) == (opened["id"], 0)
    check_deliveries(walk, deliveries)


async def test_an_alert_that_fires_while_the_bot_is_down_arrives_later(exporter, walk, monitoring):
    exporter.ratio = 0.5
    async with aiohttp.ClientSession() as session:

        async def firing() -> dict | None:
            try:
                async with session.get(f"{monitoring.alertmanager_url}/api/v2/alerts") as answer:
                    alerts = await answer.json()
            except aiohttp.ClientError:
                return None
            return alerts[0] if alerts else None

        told = await wait_for("alert at Alertmanager", firing, walk)
        await asyncio.sleep(2)  # a notification or two that nobody takes
        walk.start()
        await walk.wait_ready(session)
        await wait_for("incident", lambda: Looker(walk, session).incident("triggered"), walk)
    [(fingerprint,)] = walk.query("SELECT fingerprint FROM alert")
    assert fingerprint == told["fingerprint"]


def check_incident(walk: Walk, monitoring: Monitoring, exporter: Exporter, between: tuple[datetime, datetime]) -> None:
    """The incident says what the rule says, down to the characters that need quoting."""
    [(number, body)] = walk.query("SELECT number, body FROM incident")
    told = json.loads(body)
    labels = {"alertname": "ShopErrors", "service": "shop", "job": "shop", "instance": exporter.target}
    assert told["labels"] == labels | RULE.labels
    assert told["title"] == 'shop fails: "13.7%" of <requests>'
    assert told["annotations"] == {
        "summary": 'shop fails: "13.7%" of <requests>',
        "runbook_url": "https://runbooks.shop.example/errors",
        "value": "0.137",
    }
    assert told["severity"] == "critical"
    assert told["source_url"].startswith(f"{monitoring.prometheus_url}/graph?g0.expr=")
    assert RULE.expr in unquote_plus(told["source_url"])
    assert told["dashboard_url"] == monitoring.alertmanager_url
    broke_at, seen_at = between
    assert broke_at - timedelta(seconds=1) < datetime.fromisoformat(told["alert_started_at"]) < seen_at
    [(fingerprint, status)] = walk.query(f"SELECT fingerprint, status FROM alert WHERE incident = 'INC-{number}'")
    assert (fingerprint, status) == (alertmanager_fingerprint(told["labels"]), "firing"), (
        "Alertmanager's own fingerprint"
    )


async def check_metrics(walk: Walk, monitoring: Monitoring) -> None:
    """The rule was plotted with its crossing, the playbook's query with it; what is hostile asks for nothing else."""

    async def found() -> dict | None:
        bodies = [json.loads(body) for (body,) in walk.query("SELECT body FROM board_message")]
        return next((body for body in bodies if body["slot"] == "findings"), None)

    findings = await wait_for("findings", found, walk)
    pictures = {file["name"]: file["text"] for file in findings["files"] if file["media_type"] == "image/svg+xml"}
    assert set(pictures) == {"rule.svg", "shop-errors-1.svg"}
    said = "".join(ET.fromstring(pictures["rule.svg"]).itertext())
    assert "ShopErrors (its rule)" in said
    assert "> 0.02" in said
    assert "alert" in said
    text = json.dumps(findings, ensure_ascii=False)
    assert "ShopErrors (its rule) crossed its threshold (> 0.02) at " in text
    assert "0 before, 0.137 at its peak" in text
    assert "metric rule: " in text
    assert "Scrapes did not change: 1 (median)" in json.dumps(walk.query("SELECT body FROM stage"))

    async def drawn() -> dict | None:
        return {body[:8]: size for body, size in walk.query("SELECT body, size FROM image")} or None

    kept = await wait_for("plots that the worker drew", drawn, walk)
    assert set(kept) == {b"\x89PNG\r\n\x1a\n"}
    await asyncio.to_thread(check_source, monitoring)


def check_source(monitoring: Monitoring) -> None:
    """The connector and a real Prometheus understand each other, and it reads every label as the value that it is."""
    source = Source(Settings(url=monitoring.prometheus_url))
    assert source.check().endswith("answers queries")
    now = datetime.now(UTC)
    ask = MetricQuestion(expr=SERIES, since=now - timedelta(seconds=30), until=now, step=1.0)
    (series,) = source.read(ask).series
    assert (series.labels["service"], max(series.values)) == ("shop", 0.137)
    for value in HOSTILE:
        for query in ('up{job="$v"}', "up{job='$v'}", 'up{job=~"$v"}', 'up{job=~"x|$v"}'):
            assert source.read(replace(ask, expr=fill_query(query, {"v": value}))).series == (), value
    (own,) = source.read(replace(ask, expr=fill_query('up{job=~"^$v$"}', {"v": "shop"}))).series
    assert own.labels["job"] == "shop"
    assert source.read(replace(ask, expr="vector(1) / 0")).notes == ("31 infinite values are left out",)
    assert source.read(replace(ask, expr="vector(0) / 0")).series == ()
    for query, why in (("sum(", "parse error"), ("up[5m]", "range vector|invalid expression type")):
        with pytest.raises(Rejected, match=why):
            source.read(replace(ask, expr=query))
    with pytest.raises(Rejected, match="exceeded maximum resolution"):
        source.read(replace(ask, since=now - timedelta(days=1)))


def check_deliveries(walk: Walk, deliveries: list[dict]) -> None:
    """Both notifications were stored as they came, and neither was a dead letter."""
    told = [json.loads(item["body"]) for item in deliveries]
    assert [one["status"] for one in told] == ["firing", "resolved"]
    assert {one["groupKey"] for one in told} == {'{}:{alertname="ShopErrors", service="shop"}'}
    assert [item["error"] for item in deliveries] == ["", ""]
    [(key,)] = walk.query("SELECT key FROM incident")
    assert json.loads(key) == ["alertmanager", told[0]["groupKey"], "ShopErrors", "shop"]
