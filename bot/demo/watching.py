"""A real Prometheus over the demo's shoppers: what they count, served as a load balancer's metrics, and scraped."""

import asyncio
import os
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from bot.demo.monitoring import Monitoring
from bot.demo.processes import Children, Spawn
from bot.demo.traffic import Traffic

_SCRAPES: Final = 6
_PATIENCE: Final = 12.0
_LOOK: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Prometheus, with Alertmanager where `monitoring` has one. Both end with `stack` and `children`."""

    monitoring: Monitoring
    port: int
    traffic: Traffic
    children: Children
    stack: AsyncExitStack

    @property
    def log(self) -> Path:
        return self.monitoring.folder.with_suffix(".log")

    async def begin(self) -> None:
        await self._serve_metrics()
        self.monitoring.write()
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        for argv in self.monitoring.commands():
            await self.children.start(Spawn(argv=argv, env=env, cwd=self.monitoring.folder, log=self.log))

    async def wait_for_scrapes(self, session: aiohttp.ClientSession) -> None:
        """Return when Prometheus has seen enough to plot, or after some seconds: the demo goes on without a plot."""
        query = {"query": f'count_over_time(up{{job="{self.monitoring.job}"}}[1m]) >= {_SCRAPES}'}
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                async with session.get(f"{self.monitoring.prometheus_url}/api/v1/query", params=query) as answer:
                    if (await answer.json())["data"]["result"]:
                        return
            await asyncio.sleep(_LOOK)

    async def _serve_metrics(self) -> None:
        async def metrics(_request: web.Request) -> web.Response:
            return web.Response(text=self.traffic.exposition(self.monitoring.job))

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
