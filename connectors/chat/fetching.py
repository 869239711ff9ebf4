"""Fetching what people posted: from the service's own addresses, without following anybody elsewhere, bounded."""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from bot.domain.runs.image import MAX_BYTES, Attachment
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected, Unavailable


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a service's files are reached: `origins` ("https://files.example.com") and no others."""

    service: str
    origins: Collection[str]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = None
    ca_file: str = ""
    seconds: float = 10.0


def describe(name: object, media_type: object, size: object, ref: object) -> Attachment:
    """Return what a service says of a file, whatever it sent."""
    return Attachment(
        name=make_harmless(str(name or "file")).replace("\n", " ")[:80],
        media_type=str(media_type or "").partition(";")[0].strip().lower()[:80],
        size=size if isinstance(size, int) else 0,
        ref=str(ref or "")[:1_000],
    )


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address; "" where it is none, or names a user."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}"


async def fetch(url: str, way: Way) -> bytes:
    """Return what lies there, at most one byte more than an image may have. Raises `Unavailable` or `Rejected`."""
    if not url.isprintable() or "\\" in url or origin_of(url) not in way.origins:
        raise Rejected(f"{way.service} names a file that lies elsewhere; it is not fetched.", Reason.NOT_ALLOWED)
    try:
        async with asyncio.timeout(way.seconds), aiohttp.ClientSession(trust_env=True) as session:
            return await _get(session, _rebuild(url), way)
    except TimeoutError as error:
        raise Unavailable(f"{way.service} did not send the file in time.", Reason.TIMEOUT) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        text = f"{way.service}'s file cannot be fetched: {type(error).__name__}."
        raise Unavailable(text, Reason.UNREACHABLE) from error


def _trust(ca_file: str) -> ssl.SSLContext | bool:
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else True
    except (OSError, ssl.SSLError) as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error


def _rebuild(url: str) -> str:
    """Return the address anew from its parts, so that nobody reads another host in it than was looked at."""
    parts = urlsplit(url)
    return f"{origin_of(url)}{parts.path}" + (f"?{parts.query}" if parts.query else "")


async def _get(session: aiohttp.ClientSession, url: str, way: Way) -> bytes:
    asked = session.get(
        url,
        headers=way.headers,
        proxy=way.proxy,
        ssl=_trust(way.ca_file),
        allow_redirects=False,
    )
    async with asked as answer:
        if answer.status >= 500 or answer.status in {408, 429}:
            raise Unavailable(f"{way.service} answered {answer.status} for the file.", Reason.SERVER_ERROR)
        if answer.status != 200:
            raise Rejected(f"{way.service} answered {answer.status} for the file.", Reason.NOT_FOUND)
        data = bytearray()
        async for part in answer.content.iter_any():
            data += part
            if len(data) > MAX_BYTES:
                return bytes(data[: MAX_BYTES + 1])
        return bytes(data)
