"""Who notices that the demo's service fails: a stand-in that posts the alert, or a real Prometheus and Alertmanager."""

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import aiohttp
from aiohttp import web

from bot.demo.alertmanager import Alertmanager, FiringAlert
from bot.demo.folder import DemoError, free_ports
from bot.demo.monitoring import Monitoring, Programs, Rule, find_programs
from bot.demo.processes import Children, Spawn
from bot.demo.service import DemoService
from bot.demo.traffic import Traffic

THRESHOLD: Final = 0.02
_NAME: Final = "CheckoutHigh5xxRate"
_LINKS: Final = {
    "runbook_url": "https://runbooks.shop.example/checkout/high-5xx-rate",
    "dashboard_url": "https://grafana.shop.example/d/checkout",
}
_REPEAT: Final = 20.0
_FIRES_WITHIN: Final = 60.0
_LOOK: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What an alarm needs of the demo. `receiver` and `token` lead to the bot; what is begun ends with `stack`."""

    service: DemoService
    traffic: Traffic
    receiver: str
    token: str
    children: Children
    session: aiohttp.ClientSession
    stack: AsyncExitStack


class Alarm(Protocol):
    """`fire` returns when the alert was on its way to the bot; `clear` says that the service is healthy again.

    `metrics_url` is the address of the Prometheus that watches the service, "" where none does.
    """

    announcement: str
    metrics_url: str

    async def fire(self, ratio: float) -> datetime: ...

    async def clear(self, at: datetime) -> None: ...


def describe_alert(service: DemoService, ratio: float, starts_at: datetime) -> FiringAlert:
    """Return the alert as a Prometheus rule on the share of 5xx would fire it."""
    return FiringAlert(
        labels={
            "alertname": _NAME,
            "service": "checkout",
            "severity": "critical",
            "job": "checkout",
            "instance": service.url.removeprefix("http://"),
        },
        annotations={
            "summary": f"checkout answers {ratio:.1%} of its requests with 5xx (threshold {THRESHOLD:.0%})",
            "description": f"Over the last minute {ratio:.2%} of the requests to checkout failed.",
            **_LINKS,
            "value": f"{ratio:.4f}",
        },
        starts_at=starts_at,
        generator_url="http://prometheus.shop.example:9090/graph?g0.expr=checkout%3Aerror_ratio%3E0.02",
    )


def choose_alarm(scene: Scene, *, real: bool) -> Alarm:
    """Return the stand-in or the real pair. Raises `DemoError` where its programs are missing."""
    if not real:
        return PostedAlarm(scene)
    programs = find_programs()
    if programs is None:
        raise DemoError("--alertmanager needs both programs: sudo apt-get install prometheus prometheus-alertmanager")
    return WatchedAlarm(scene, programs)


class PostedAlarm:
    """Posts the alert itself, again and again, as Alertmanager would."""

    announcement = "The alert is posted as Alertmanager would post it."
    metrics_url = ""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._alertmanager = Alertmanager(scene.session, scene.receiver, scene.token)
        self._alert: FiringAlert | None = None
        self._repeating: asyncio.Task[None] | None = None

    async def fire(self, ratio: float) -> datetime:
        began = datetime.now(UTC)
        self._alert = describe_alert(self._scene.service, ratio, began)
        await self._alertmanager.notify(self._alert)
        self._repeating = in_background(self._scene.stack, self._alertmanager.repeat(self._alert, every=_REPEAT))
        return began

    async def clear(self, at: datetime) -> None:
        if self._alert is None or self._repeating is None:
            raise AssertionError("cleared before it fired")
        self._repeating.cancel()
        await self._alertmanager.notify(self._alert, ends_at=at)


def make_rule() -> Rule:
    """Return the alerting rule on the share of 5xx among what the shoppers saw in the last ten seconds."""
    rate = 'sum by (service, job, instance) (rate(http_requests_total{service="checkout"%s}[10s]))'
    failed, all_ = rate % ', code=~"5.."', rate % ""
    return Rule(
        name=_NAME,
        expr=f"{failed} / {all_} > {THRESHOLD}",
        labels={"severity": "critical"},
        annotations={
            "summary": "checkout answers {{ $value | humanizePercentage }} of its requests with 5xx "
            f"(threshold {THRESHOLD:.0%})",
            "description": "Over the last ten seconds {{ $value | humanizePercentage }} of the requests failed.",
            **_LINKS,
            "value": '{{ $value | printf "%.4f" }}',
        },
    )


class WatchedAlarm:
    """A real pair of Prometheus and Alertmanager: it sees by itself when the service fails and when it is cured."""

    announcement = "A real Prometheus watches the shoppers' requests now; its rule looks at ten seconds of them."

    def __init__(self, scene: Scene, programs: Programs) -> None:
        self._scene = scene
        exporter, prometheus, alertmanager = free_ports(3)
        self._exporter = exporter
        self._monitoring = Monitoring(
            folder=scene.service.state / "monitoring",
            programs=programs,
            ports=(prometheus, alertmanager),
            job="checkout",
            target=f"127.0.0.1:{exporter}",
            rule=make_rule(),
            receiver=scene.receiver,
            token=scene.token,
        )
        self.metrics_url = self._monitoring.prometheus_url

    async def fire(self, ratio: float) -> datetime:  # noqa: ARG002 -- Prometheus measures it itself
        pair, log = self._monitoring, self._scene.service.state / "monitoring.log"
        await self._serve_metrics()
        await asyncio.to_thread(pair.write)
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        for argv in pair.commands():
            await self._scene.children.start(Spawn(argv=argv, env=env, cwd=pair.folder, log=log))
        deadline = time.monotonic() + _FIRES_WITHIN
        while not await self._is_firing():
            if time.monotonic() > deadline:
                raise DemoError(f"Prometheus fired no alert in {_FIRES_WITHIN:.0f} s; {log} says more.")
            await asyncio.sleep(_LOOK)
        return datetime.now(UTC)

    async def clear(self, at: datetime) -> None:
        """Nothing: Prometheus sees it, ten seconds later."""

    async def _serve_metrics(self) -> None:
        """Serve what the shoppers count, as the metrics of the load balancer in front of a service would say it."""

        async def metrics(_request: web.Request) -> web.Response:
            return web.Response(text=self._scene.traffic.exposition("checkout"))

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._scene.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", self._exporter).start()

    async def _is_firing(self) -> bool:
        url = f"{self._monitoring.prometheus_url}/api/v1/alerts"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._scene.session.get(url) as answer:
                alerts = (await answer.json())["data"]["alerts"] if answer.status == 200 else []
                return any(alert["state"] == "firing" for alert in alerts)
        return False


def in_background(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Run something until the stack closes."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await task

    stack.push_async_callback(end)
    return task
