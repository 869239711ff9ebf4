"""Who Nightshift is on GitHub: the holder of a token, or a GitHub App whose tokens last an hour."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bot.errors import ConfigError, Problem, Reason, Unavailable
from connectors.ci.github.settings import Settings
from connectors.ci.github.transport import Request, Transport, read_json
from connectors.ci.http_values import as_time

CLOCK_SKEW: Final = 60
JWT_SECONDS: Final = 540
"""GitHub takes at most ten minutes; one is left for clocks that differ."""
RENEW_SECONDS: Final = 300.0


class Identity(Protocol):
    """Gives the bearer of a call. Raises `Unavailable` or `Rejected`."""

    @property
    def renews(self) -> bool:
        """Whether another token can be had in place of one that GitHub refuses."""
        ...

    async def token(self) -> str: ...

    def forget(self) -> None:
        """GitHub refused the token: the next call asks for another."""
        ...


class TokenIdentity:
    """A token from the configuration."""

    renews = False

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    def forget(self) -> None:
        """There is no other."""


class AppIdentity:
    """A GitHub App: signs a short statement with its key and gets a token for its installation, kept until it ages."""

    renews = True

    def __init__(self, settings: Settings, transport: Transport, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._key = read_key(settings.app_private_key_file)
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def token(self) -> str:
        async with self._lock:
            if not self._token or self._clock() >= self._good_until:
                await self._renew()
            return self._token

    def forget(self) -> None:
        self._token = ""

    async def _renew(self) -> None:
        url = f"{self._settings.url}/app/installations/{self._settings.installation_id}/access_tokens"
        statement = sign_statement(self._key, self._settings.app_id, int(self._clock()))
        async with self._transport.ask(Request(method="POST", url=url, token=statement)) as answer:
            if answer.status != 201:
                raise await self._transport.refusal(answer)
            value = await read_json(answer)
        token = value.get("token") if isinstance(value, dict) else None
        ends = as_time(value.get("expires_at")) if isinstance(value, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or ends is None:
            raise Unavailable("GitHub answered without a token for the app.", Reason.SERVER_ERROR)
        self._token = token
        self._good_until = (ends - datetime.fromtimestamp(0, UTC)).total_seconds() - RENEW_SECONDS


def make_identity(settings: Settings, transport: Transport) -> Identity:
    """Raises `ConfigError` where the key cannot be used."""
    if settings.token is not None:
        return TokenIdentity(settings.token.get_secret_value())
    return AppIdentity(settings, transport)


def read_key(path: str) -> RSAPrivateKey:
    """Return an App's key from the file GitHub gave. Raises `ConfigError`; nothing of the key is in the text."""
    where = "connections.github.app_private_key_file"
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise ConfigError([Problem(where=where, what=f"cannot be read: {error.strerror or 'an error'}")]) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "is no private key without a password; download one at the App's page on GitHub"
        raise ConfigError([Problem(where=where, what=what)]) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError([Problem(where=where, what="is no RSA key, and GitHub knows no other for Apps")])
    return key


def sign_statement(key: RSAPrivateKey, app: str, now: int) -> str:
    """Return the JSON Web Token with which an App says who it is (RS256, RFC 7519)."""
    head = _encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    claims = _encode(json.dumps({"iat": now - CLOCK_SKEW, "exp": now + JWT_SECONDS, "iss": app}).encode())
    signature = key.sign(f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    return f"{head}.{claims}.{_encode(signature)}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
