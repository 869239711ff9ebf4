"""A stand-in for Prometheus and Alertmanager: posts exactly what Alertmanager's webhook would.

Payload: version "4" of prometheus/alertmanager's webhook_config; fingerprint: prometheus/common's label hash.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

_GROUP_BY = ("alertname", "service")
_NEVER = "0001-01-01T00:00:00Z"
_FNV_OFFSET, _FNV_PRIME, _SEPARATOR = 0xCBF29CE484222325, 0x100000001B3, 0xFF
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, kw_only=True)
class FiringAlert:
    """One alert as Prometheus hands it over."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    generator_url: str


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the label fingerprint that Alertmanager shows: FNV-1a over the sorted labels."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in (*name.encode(), _SEPARATOR, *labels[name].encode(), _SEPARATOR):
            value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def build_payload(alert: FiringAlert, *, ends_at: datetime | None = None) -> bytes:
    """Return the body of one notification: resolved with `ends_at`, firing without."""
    status = "resolved" if ends_at else "firing"
    group = {name: alert.labels[name] for name in _GROUP_BY if name in alert.labels}
    key = ", ".join(f"{name}={json.dumps(value)}" for name, value in group.items())
    body = {
        "receiver": "nightshift",
        "status": status,
        "alerts": [
            {
                "status": status,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "startsAt": _rfc3339(alert.starts_at),
                "endsAt": _rfc3339(ends_at) if ends_at else _NEVER,
                "generatorURL": alert.generator_url,
                "fingerprint": fingerprint(alert.labels),
            }
        ],
        "groupLabels": group,
        "commonLabels": dict(alert.labels),
        "commonAnnotations": dict(alert.annotations),
        "externalURL": "http://alertmanager.shop.example:9093",
        "version": "4",
        "groupKey": f"{{}}:{{{key}}}",
        "truncatedAlerts": 0,
    }
    return json.dumps(body).encode() + b"\n"


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Alertmanager:
    """Sends one alert to one receiver and, like the original, tries again after no answer or a 5xx only."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": "Alertmanager/0.28.1",
        }

    async def notify(self, alert: FiringAlert, *, ends_at: datetime | None = None, attempts: int = 8) -> None:
        """Post one notification. Raises `ConnectionError` when it was refused or never taken."""
        body, problem = build_payload(alert, ends_at=ends_at), "no answer"
        for attempt in range(attempts):
            try:
                async with self._session.post(
                    self._url, data=body, headers=self._headers, timeout=_TIMEOUT
                ) as response:
                    if response.status < 300:
                        return
                    problem = f"status {response.status}: {(await response.text())[:200]}"
                    if response.status < 500:
                        break
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            await asyncio.sleep(min(2.0, 0.1 * 2**attempt))
        raise ConnectionError(f"{self._url} did not take the alert ({problem})")

    async def repeat(self, alert: FiringAlert, *, every: float) -> None:
        """Send the firing alert again and again, as `repeat_interval` does, until cancelled."""
        while True:
            await asyncio.sleep(every)
            with suppress(ConnectionError):
                await self.notify(alert)
