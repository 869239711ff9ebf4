"""What an answer that is no success means: one place decides whether trying again helps."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.http_values import as_text

MAX_WAIT: Final = 3600.0
SECONDARY_WAIT: Final = 60.0

_TOKEN: Final = "GitHub refuses the token; set NIGHTSHIFT_GITHUB_TOKEN to one that works"  # noqa: S105 -- a sentence
_UNSEEN: Final = "GitHub has no such repository, branch or run, or the token may not see it"
_FINAL: Final[Mapping[int, tuple[str, Reason]]] = {
    401: (_TOKEN, Reason.REVOKED),
    404: (_UNSEEN, Reason.NOT_FOUND),
    405: ("GitHub does not allow that", Reason.NOT_ALLOWED),
    407: ("The proxy refuses us", Reason.NOT_ALLOWED),
    409: ("GitHub says that something else came first", Reason.CONFLICT),
    410: (_UNSEEN, Reason.NOT_FOUND),
}


def read_refusal(status: int, body: str, headers: Mapping[str, str], now: datetime) -> NightshiftError:
    """Return the error for an answer that is no success."""
    said = _message(body)
    tail = f": {said}" if said else "."
    wait = _wait(status, said, headers, now)
    if wait is not None:
        return Unavailable(f"GitHub asks for fewer calls{tail}", Reason.RATE_LIMITED, wait)
    if status in _FINAL:
        text, reason = _FINAL[status]
        return Rejected(f"{text}{tail}", reason)
    if status == 403:
        needs = as_text(headers.get("X-Accepted-GitHub-Permissions"))
        hint = f" (it needs {needs})" if needs else ""
        return Rejected(f"The GitHub token may not do that{hint}{tail}", Reason.NOT_ALLOWED)
    if status in {301, 302, 307, 308}:
        return Rejected("GitHub has moved that repository; write its new address into the configuration.", Reason.STALE)
    if status >= 500 or status in {408, 425}:
        return Unavailable(f"GitHub failed ({status}){tail}", Reason.SERVER_ERROR, _seconds(headers, now))
    return Rejected(f"GitHub refuses the call ({status}){tail}", Reason.BAD_INPUT)


def _wait(status: int, said: str, headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long GitHub wants to be left alone, None where it is not about how much is asked."""
    if status not in {403, 429}:
        return None
    asked = _seconds(headers, now)
    if asked is not None:
        return asked
    if headers.get("X-RateLimit-Remaining", "").strip() == "0":
        reset = read_count(headers.get("X-RateLimit-Reset", ""))
        return SECONDARY_WAIT if reset is None else min(max(reset - now.timestamp(), 1.0), MAX_WAIT)
    is_limit = status == 429 or "rate limit" in said.lower() or "abuse" in said.lower()
    return SECONDARY_WAIT if is_limit else None


def read_count(value: str) -> int | None:
    """Return a number from a header, None for anything else."""
    value = value.strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 12 else None


def _seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After: seconds or a date."""
    value = headers.get("Retry-After", "")[:40]
    count = read_count(value)
    if count is not None:
        return min(float(count), MAX_WAIT)
    try:
        at = parsedate_to_datetime(value)
        return min(max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0), MAX_WAIT)
    except (ValueError, OverflowError):
        return None


def _message(body: str) -> str:
    """Return what GitHub says, with the first of its details."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict):
        return ""
    errors = value.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    detail = first.get("message") if isinstance(first, dict) else first if isinstance(first, str) else ""
    return ": ".join(part for part in (as_text(value.get("message")), as_text(detail)) if part)
