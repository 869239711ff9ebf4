"""What an answer means that is no success: one place decides whether trying again helps, and after how long."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.http_values import as_object, as_text, load_json

MAX_WAIT: Final = 3600.0
WAIT: Final = 60.0
"""Seconds without a call after "too many" from a server that does not say how long."""
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_UNSEEN: Final = ("has no such thing, or the credentials may not see it", Reason.NOT_FOUND)
_FINAL: Final[Mapping[int, tuple[str, Reason]]] = {
    401: ("refuses the credentials", Reason.REVOKED),
    403: ("does not allow that", Reason.NOT_ALLOWED),
    404: _UNSEEN,
    407: ("is not reached: the proxy refuses us", Reason.NOT_ALLOWED),
    410: _UNSEEN,
    **{status: (f"refuses the call ({status})", Reason.CONFLICT) for status in (405, 406, 409, 422)},
}
_REMAINING: Final = ("X-RateLimit-Remaining", "RateLimit-Remaining")
_RESET: Final = ("X-RateLimit-Reset", "RateLimit-Reset")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer that is no success: `said` is what the server says about it, `wait` how long it asks for a pause."""

    status: int
    said: str
    headers: Mapping[str, str]
    wait: float | None

    @property
    def tail(self) -> str:
        return f": {self.said}" if self.said else "."


Explain = Callable[[Refusal], NightshiftError | None]
"""What one service means by its refusals; None where it means what all of them do."""


def read_refusal(status: int, body: bytes, headers: Mapping[str, str], now: datetime) -> Refusal:
    return Refusal(status=status, said=_message(body), headers=headers, wait=_wait(status, headers, now))


def explain_refusal(name: str, refusal: Refusal) -> NightshiftError:
    """Return the error for a refusal, as every server means it."""
    status, tail, wait = refusal.status, refusal.tail, refusal.wait
    if status == 429 or (status == 403 and wait is not None):
        return ask_for_pause(name, refusal)
    if status >= 500 or status in {408, 425}:
        return Unavailable(f"{name} failed ({status}){tail}", Reason.SERVER_ERROR, wait)
    text, reason = _FINAL.get(status, (f"refuses the call ({status})", Reason.BAD_INPUT))
    return Rejected(f"{name} {text}{tail}", reason)


def ask_for_pause(name: str, refusal: Refusal) -> Unavailable:
    wait = WAIT if refusal.wait is None else refusal.wait
    return Unavailable(f"{name} asks for fewer calls{refusal.tail}", Reason.RATE_LIMITED, wait)


def read_remaining(headers: Mapping[str, str]) -> int | None:
    """Return what a server says is left of its rate limit, None where it does not say."""
    return next((count for name in _REMAINING if (count := read_count(headers.get(name, ""))) is not None), None)


def read_count(value: str) -> int | None:
    """Return a number from a header, None for anything else."""
    value = value.strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 12 else None


def _wait(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After (seconds or a date); where a limit is used up, else when that ends (seconds since 1970)."""
    value = headers.get("Retry-After", "").strip()[:40]
    count = read_count(value)
    if count is not None:
        return min(float(count), MAX_WAIT)
    if value:
        try:
            at = parsedate_to_datetime(value)
            return min(max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0), MAX_WAIT)
        except (ValueError, OverflowError):
            return None
    if status != 429 and read_remaining(headers) != 0:
        return None
    ends = [end for name in _RESET if (end := read_count(headers.get(name, ""))) is not None]
    return min(max(ends[0] - now.timestamp(), 1.0), MAX_WAIT) if ends else WAIT


def _message(body: bytes) -> str:
    """Return what a server says about its refusal ("message" or "error", a text or the first of a list), and the first
    of its details."""
    try:
        value = as_object(load_json(body))
    except ValueError:
        return ""
    said = _first(value.get("message") or value.get("error") or value.get("error_description"))
    errors = value.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    detail = first.get("message") if isinstance(first, dict) else first
    return ": ".join(part for part in (as_text(said), as_text(detail)) if part)


def _first(said: object) -> object:
    while isinstance(said, dict | list) and said:
        said = next(iter(said.values())) if isinstance(said, dict) else said[0]
    return said
