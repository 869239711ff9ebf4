"""What an OpenAI-compatible server says about itself: `/v1/models`, and sglang's `/server_info` and `/metrics`."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bot.domain.models.status import PREFIX, Readings, Sample
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.model import ModelPlace
from connectors.models.openai import PATH, endpoint, trust
from connectors.models.openai_errors import load_json

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_SAMPLES: Final = 50_000
SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 3.0


async def watch(place: ModelPlace) -> Readings:
    """Ask once. Raises `Unavailable` where nobody answers, `Rejected` where the key or the address is wrong."""
    base = endpoint(place.url).removesuffix(PATH)
    root = base.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {place.api_key}"} if place.api_key else {}
    timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        asker = Asker(session, place)
        models = await asker.fetch(f"{base}/models")
        info, metrics = await asyncio.gather(asker.read_info(), asker.attempt(f"{root}/metrics"))
    samples = tuple(_samples(metrics.decode("utf-8", "replace")))
    return Readings(models=tuple(read_names(models)), version=_version(info), samples=samples)


class Asker:
    """Reads from one server, within limits."""

    def __init__(self, session: aiohttp.ClientSession, place: ModelPlace) -> None:
        self._session, self._place = session, place
        self._ssl = trust(place.ca_file)

    async def fetch(self, url: str) -> bytes:
        """Return what every server has."""
        try:
            status, body = await self._get(url)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            text = f"No model server answers at {self._place.url} ({type(error).__name__}). Does it run there?"
            raise Unavailable(text, Reason.UNREACHABLE) from error
        if status in {401, 403}:
            raise Rejected("The model server refuses the key; set NIGHTSHIFT_MODEL_API_KEY.", Reason.NOT_ALLOWED)
        if status >= 500:
            raise Unavailable(f"The model server answers {status}; it may be loading its weights.", Reason.SERVER_ERROR)
        if status != 200:
            text = f"What answers at {self._place.url} is no OpenAI-compatible server ({status})."
            raise Rejected(text, Reason.NOT_FOUND)
        return body

    async def attempt(self, url: str) -> bytes:
        """Return what only some servers have; nothing where this one has it not."""
        try:
            status, body = await self._get(url)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return b""
        return body if status == 200 else b""

    async def read_info(self) -> bytes:
        """Return what sglang says about itself; a gateway hands on the older of the two addresses alone."""
        root = endpoint(self._place.url).removesuffix(f"/v1{PATH}")
        return await self.attempt(f"{root}/server_info") or await self.attempt(f"{root}/get_server_info")

    async def _get(self, url: str) -> tuple[int, bytes]:
        proxy = self._place.proxy or None
        async with self._session.get(url, proxy=proxy, ssl=self._ssl, allow_redirects=False) as response:
            parts, size = [], 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_BYTES:
                    raise ValueError("an answer without measure")
            return response.status, b"".join(parts)


def read_names(body: bytes) -> Iterator[str]:
    """Yield the models that `/v1/models` lists."""
    listed = read_table(body).get("data")
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            yield _plain(name, 200)


def _version(body: bytes) -> str:
    version = read_table(body).get("version")
    return _plain(version, 40) if isinstance(version, str) else ""


def _plain(text: str, limit: int) -> str:
    """Return text from outside as a terminal may show it."""
    return "".join(sign for sign in text[:limit] if sign.isprintable())


def read_table(body: bytes) -> dict[str, Any]:
    """Return a JSON object from outside, an empty one for whatever else it is."""
    try:
        value = load_json(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _samples(text: str) -> Iterator[Sample]:
    """Yield sglang's own samples, as far as the text can be read."""
    left = MAX_SAMPLES
    try:
        for family in text_string_to_metric_families(text):
            if not family.name.startswith(PREFIX):
                continue
            for sample in family.samples:
                left -= 1
                if left < 0:
                    return
                if math.isfinite(sample.value):
                    yield Sample(name=sample.name, value=sample.value, priority=sample.labels.get("priority"))
    except (ValueError, IndexError, KeyError):
        return
