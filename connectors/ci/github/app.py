"""Who Nightshift is on GitHub: the holder of a token, or a GitHub App whose tokens last an hour."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bot.errors import ConfigError, NightshiftError, Problem, Reason, Unavailable
from connectors.ci.github.refusals import NAME, explain
from connectors.ci.github.settings import Settings
from connectors.ci.http_client import HttpClient
from connectors.ci.http_refusals import Refusal
from connectors.ci.http_transport import Sent, Transport
from connectors.ci.http_values import as_object, as_time

API_VERSION: Final = "2022-11-28"
CLOCK_SKEW: Final = 60
JWT_SECONDS: Final = 540
"""GitHub takes at most ten minutes; one is left for clocks that differ."""
RENEW_SECONDS: Final = 300.0


class TokenIdentity:
    """A token from the configuration; there is no other."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def sign_in(self) -> Mapping[str, str]:
        return bear(self._token)

    def explain(self, refusal: Refusal) -> NightshiftError | None:
        return explain(refusal)

    async def close(self) -> None:
        """Nothing is held."""


class AppIdentity:
    """A GitHub App: signs a short statement with its key and gets a token for its installation, kept until it ages."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._client = HttpClient(Transport(NAME, settings, {}, explain=explain))
        self._clock = clock
        self._key = read_key(settings.app_private_key_file)
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def sign_in(self) -> Mapping[str, str]:
        async with self._lock:
            if not self._token or self._clock() >= self._good_until:
                await self._renew()
            return bear(self._token)

    def explain(self, refusal: Refusal) -> NightshiftError | None:
        """A token that GitHub took back is replaced with the next call."""
        if refusal.status != 401:
            return explain(refusal)
        self._token = ""
        return Unavailable("GitHub refused the App's token; it is asked for a new one.", Reason.REVOKED, 1.0)

    async def close(self) -> None:
        await self._client.close()

    async def _renew(self) -> None:
        path = f"/app/installations/{self._settings.installation_id}/access_tokens"
        statement = sign_statement(self._key, self._settings.app_id, int(self._clock()))
        value = as_object((await self._client.order("POST", path, Sent(headers=bear(statement)))).value)
        token, ends = value.get("token"), as_time(value.get("expires_at"))
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or ends is None:
            raise Unavailable("GitHub answered without a token for the app.", Reason.SERVER_ERROR)
        self._token = token
        self._good_until = (ends - datetime.fromtimestamp(0, UTC)).total_seconds() - RENEW_SECONDS


def make_identity(settings: Settings) -> TokenIdentity | AppIdentity:
    """Raises `ConfigError` where the key cannot be used."""
    if settings.token is not None:
        return TokenIdentity(settings.token.get_secret_value())
    return AppIdentity(settings)


def bear(token: str) -> Mapping[str, str]:
    """Return the headers of a call in a token's name."""
    return {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": API_VERSION,
    }


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
