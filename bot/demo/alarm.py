"""Who notices that the demo's service fails: a stand-in that posts the alert, or a real Prometheus and Alertmanager."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import urlencode

import aiohttp

from bot.demo.alertmanager import Alertmanager, FiringAlert
from bot.demo.folder import DemoError, free_ports
from bot.demo.monitoring import Monitoring, Programs, Rule, find_programs, find_prometheus
from bot.demo.processes import Children
from bot.demo.service import DemoService
from bot.demo.traffic import Traffic
from bot.demo.watching import Watching

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

    `watch` is told before the first request of a shopper. `metrics_url` is the address of the Prometheus that watches
    the service, "" where none does.
    """

    announcement: str
    metrics_url: str

    async def watch(self) -> None: ...

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
        generator_url=f"http://prometheus.shop.example:9090/graph?{urlencode({'g0.expr': make_rule().expr})}",
    )


def choose_alarm(scene: Scene, *, real: bool) -> Alarm:
    """Return the stand-in or the real pair. Raises `DemoError` where its programs are missing."""
    if not real:
        return PostedAlarm(scene)
    programs = find_programs()
    if programs is None:
        raise DemoError("--alertmanager needs both programs: sudo apt-get install prometheus prometheus-alertmanager")
    return WatchedAlarm(scene, programs)


def _watch(scene: Scene, programs: Programs) -> Watching:
    exporter, prometheus, alertmanager = free_ports(3)
    monitoring = Monitoring(
        folder=scene.service.state / "monitoring",
        programs=programs,
        ports=(prometheus, alertmanager),
        job="checkout",
        target=f"127.0.0.1:{exporter}",
        rule=make_rule(),
        receiver=scene.receiver,
        token=scene.token,
    )
    return Watching(
        monitoring=monitoring, port=exporter, traffic=scene.traffic, children=scene.children, stack=scene.stack
    )


class PostedAlarm:
    """Posts the alert itself, again and again, as Alertmanager would. Where there is a Prometheus, it may be asked."""

    announcement = "The alert is posted as Alertmanager would post it."

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        programs = find_prometheus()
        self._watching = _watch(scene, programs) if programs else None
        self.metrics_url = self._watching.monitoring.prometheus_url if self._watching else ""
        self._alertmanager = Alertmanager(scene.session, scene.receiver, scene.token)
        self._alert: FiringAlert | None = None
        self._repeating: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        if self._watching is not None:
            await self._watching.begin()

    async def fire(self, ratio: float) -> datetime:
        if self._watching is not None:
            await self._watching.wait_for_scrapes(self._scene.session)
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
        self._watching = _watch(scene, programs)
        self.metrics_url = self._watching.monitoring.prometheus_url

    async def watch(self) -> None:
        """Nothing: the rule would fire before there is somebody to tell."""

    async def fire(self, ratio: float) -> datetime:  # noqa: ARG002 -- Prometheus measures it itself
        await self._watching.begin()
        deadline = time.monotonic() + _FIRES_WITHIN
        while not await self._is_firing():
            if time.monotonic() > deadline:
                raise DemoError(f"Prometheus fired no alert in {_FIRES_WITHIN:.0f} s; {self._watching.log} says more.")
            await asyncio.sleep(_LOOK)
        return datetime.now(UTC)

    async def clear(self, at: datetime) -> None:
        """Nothing: Prometheus sees it, ten seconds later."""

    async def _is_firing(self) -> bool:
        url = f"{self.metrics_url}/api/v1/alerts"
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
