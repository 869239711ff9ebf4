"""Whether a request is Slack's own, and fresh."""

import hashlib
import hmac
from typing import Final

from bot.ports.http import WebRequest

_AGE: Final = 300


def is_signed(request: WebRequest, secret: str, now: float) -> bool:
    """Return whether Slack signed this body, within the last five minutes."""
    stamp = request.headers.get("x-slack-request-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now - int(stamp)) > _AGE:
        return False
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + request.body, hashlib.sha256).hexdigest()
    given = request.headers.get("x-slack-signature", "")
    return hmac.compare_digest(f"v0={mac}".encode(), given.encode(errors="replace"))
