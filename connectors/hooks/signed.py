"""Tells an address by POST, signed so that the receiver knows who speaks and that nobody repeats it.

The signature is that of our own callbacks: HMAC-SHA256 over the time, a dot, and the body's bytes.
"""

import hashlib
import hmac
import ssl
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.clock import Clock, SystemClock

ID: Final = "X-Nightshift-Delivery"
STAMP: Final = "X-Nightshift-Timestamp"
SIGNATURE: Final = "X-Nightshift-Signature"
MAX_WAIT: Final = 3600.0
_AGAIN: Final = frozenset({408, 425, 429})


class Settings(BaseModel):
    """Where to, and with which key. A redirect is not followed: the signature is meant for one address."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    secret: SecretStr = Field(min_length=16)
    proxy: str = ""
    ca_file: str = ""
    answer_seconds: float = Field(default=10.0, gt=0, le=60)

    @field_validator("url")
    @classmethod
    def _require_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
            raise ValueError("write an address such as https://tools.example.com/nightshift")
        if parts.username is not None or not url.isprintable() or " " in url:
            raise ValueError("no user and no hidden characters in the address; the secret has a setting of its own")
        return url


class Connector:
    """`bot.ports.hooks.Hook` over HTTP."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None
        self._ssl = ssl.create_default_context(cafile=settings.ca_file or None)

    async def tell(self, event: str, body: bytes) -> None:
        stamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "nightshift",
            ID: event,
            STAMP: stamp,
            SIGNATURE: sign(self._settings.secret.get_secret_value().encode(), stamp, body),
        }
        try:
            async with self._open().post(
                self._settings.url,
                data=body,
                headers=headers,
                proxy=self._settings.proxy or None,
                ssl=self._ssl,
                allow_redirects=False,
            ) as response:
                failed = _judge(response.status, response.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = f"The hook's address cannot be reached ({type(error).__name__})"
            raise Unavailable(text, Reason.UNREACHABLE) from error
        if failed is not None:
            raise failed

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.answer_seconds)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session


def sign(key: bytes, stamp: str, body: bytes) -> str:
    """Return what stands in the signature's header."""
    return "v1=" + hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _judge(status: int, retry_after: str) -> NightshiftError | None:
    if 200 <= status < 300:
        return None
    if status >= 500 or status in _AGAIN:
        wait = min(float(retry_after), MAX_WAIT) if retry_after.isascii() and retry_after.isdecimal() else None
        return Unavailable(f"The hook's address answered {status}", Reason.SERVER_ERROR, retry_after=wait)
    return Rejected(f"The hook's address answered {status}", Reason.BAD_INPUT)
