"""The desk where a GitHub App shows its signed statement and gets a token for an hour."""

import base64
import json
from dataclasses import dataclass, field

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.forge.clock import Clock, write_time

MAX_LIFE = 600


@dataclass(kw_only=True)
class AppDesk:
    """Knows one App with one installation. `given` holds its tokens with their ends."""

    app_id: str
    installation_id: int
    key: RSAPublicKey
    clock: Clock
    lifetime: float = 3600.0
    given: dict[str, float] = field(default_factory=dict)

    def knows(self, request: web.Request, shown: str) -> bool:
        token = shown.removeprefix("Bearer ")
        if request.path.endswith("/access_tokens"):
            return self._believes(token)
        return self.given.get(token, 0.0) > self.clock.now()

    async def give_token(self, request: web.Request) -> web.Response:
        if int(request.match_info["number"]) != self.installation_id:
            return web.json_response({"message": "Not Found"}, status=404)
        token = f"ghs_{len(self.given):036d}"
        self.given[token] = self.clock.now() + self.lifetime
        return web.json_response({"token": token, "expires_at": write_time(self.given[token])}, status=201)

    def revoke(self) -> None:
        self.given = dict.fromkeys(self.given, 0.0)

    def _believes(self, statement: str) -> bool:
        """Whether a JSON Web Token is the App's own, and of now."""
        head, _, rest = statement.partition(".")
        claims, _, signature = rest.partition(".")
        try:
            self.key.verify(_decode(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
            said = json.loads(_decode(claims))
        except (InvalidSignature, ValueError):
            return False
        now = self.clock.now()
        is_own = json.loads(_decode(head)) == {"alg": "RS256", "typ": "JWT"} and said["iss"] == self.app_id
        return is_own and said["iat"] <= now < said["exp"] and said["exp"] - now <= MAX_LIFE


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
