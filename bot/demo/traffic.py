"""Shoppers: real requests against the demo service, and what came back."""

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bot.demo.repository import FAILING_ORDER

_SKUS: Final = ("BK-1001", "BK-1002", "BK-1003", "MU-2001", "MU-2002", "MU-2003", "GA-3001")
_COUNTRIES: Final = ("DE", "DE", "DE", "AT", "NL", "FR", "BE")
_COUPONS: Final = (None, None, None, "WELCOME5", "READ10", "COFFEE15", "GREEN20", "READ99")
_UNREACHED: Final = 599
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of a shopper; `body` is JSON or empty."""

    method: str
    path: str
    body: str = ""


def plan_calls(seed: int) -> Iterator[Call]:
    """Yield what shoppers do, for ever: the same seed, the same calls."""
    chance = random.Random(seed)  # noqa: S311 (shoppers, not secrets)
    while True:
        roll = chance.random()
        items = [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in chance.sample(_SKUS, chance.randint(1, 3))]
        cart = f"/v1/cart/c-{chance.randint(1, 400)}"
        if roll < 0.55:
            order = {"items": items, "coupon": chance.choice(_COUPONS), "country": chance.choice(_COUNTRIES)}
            yield Call(method="POST", path="/v1/checkout", body=json.dumps(order))
        elif roll < 0.70:
            yield Call(method="PUT", path=cart, body=json.dumps({"items": items}))
        elif roll < 0.85:
            yield Call(method="GET", path=cart)
        elif roll < 0.95:
            yield Call(method="GET", path="/v1/products")
        else:
            yield Call(method="GET", path="/v1/coupons/READ10")


class Traffic:
    """Keeps calling the service and remembers the status of each call."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, seed: int = 7) -> None:
        self._session = session
        self._url = url
        self._calls = plan_calls(seed)
        self._seen: deque[tuple[float, int]] = deque(maxlen=20_000)
        self._counts: Counter[int] = Counter()

    async def send(self, call: Call) -> int:
        """Send one call and return its status; 599 where the service did not answer."""
        headers = {"Content-Type": "application/json"} if call.body else {}
        try:
            async with self._session.request(
                call.method, self._url + call.path, data=call.body or None, headers=headers, timeout=_TIMEOUT
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return _UNREACHED

    async def burst(self, count: int, *, at_once: int = 8) -> None:
        """Send `count` planned calls, `at_once` at a time."""
        left = iter(range(count))

        async def shop() -> None:
            for _ in left:
                status = await self.send(next(self._calls))
                self._seen.append((time.monotonic(), status))
                self._counts[status] += 1

        await asyncio.gather(*(shop() for _ in range(at_once)))

    async def fill_log(self, log: Path, *, lines: int, seconds: float) -> int:
        """Send bursts until the log holds `lines` lines or the time is over; return how many it holds."""
        deadline = time.monotonic() + seconds
        while (count := await asyncio.to_thread(count_lines, log)) < lines and time.monotonic() < deadline:
            await self.burst(200)
        return count

    async def run(self) -> None:
        """A few calls every quarter of a second, until cancelled."""
        while True:
            await self.burst(4, at_once=2)
            await asyncio.sleep(0.25)

    def error_ratio(self, seconds: float) -> float | None:
        """Return the share of 5xx among the calls of the last `seconds`, None where there were none."""
        since = time.monotonic() - seconds
        recent = [status for at, status in self._seen if at >= since]
        return sum(status >= 500 for status in recent) / len(recent) if recent else None

    def exposition(self, service: str) -> str:
        """Return the number of answered calls by status, in Prometheus's text format."""
        lines = [f'http_requests_total{{service="{service}",code="{s}"}} {n}' for s, n in sorted(self._counts.items())]
        return "\n".join(["# TYPE http_requests_total counter", *lines, ""])

    async def probe(self) -> int:
        """Send the very order that fails in the regression and return its status."""
        return await self.send(Call(method="POST", path="/v1/checkout", body=json.dumps(FAILING_ORDER)))


def count_lines(path: Path) -> int:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return 0
