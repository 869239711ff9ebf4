"""What a server answers, read as if somebody hostile had written it: each value is of its kind and size, or empty."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

MAX_TEXT: Final = 200
MAX_LINK: Final = 2000
MAX_COUNT: Final = 2**53
TAIL_LINES, TAIL_CHARS = 20, 2000
SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|\x1b.")
_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r"\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def as_object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def as_entries(value: object) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def as_text(value: object, limit: int = MAX_TEXT) -> str:
    """Return a name or a message as one line that hides and reorders nothing."""
    if not isinstance(value, str):
        return ""
    return " ".join(_UNSEEN.sub(" ", _COLOUR.sub(" ", value[: limit * 8])).split())[:limit]


def as_count(value: object) -> int:
    """Return a whole number from 0, and 0 for everything else."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if is_count and isinstance(value, int) else 0


def as_sha(value: object) -> str:
    return value if isinstance(value, str) and SHA.fullmatch(value) else ""


def as_link(value: object) -> str:
    """Return an address that a person may open, else nothing."""
    if not isinstance(value, str) or len(value) > MAX_LINK or not value.isascii() or not value.isprintable():
        return ""
    try:
        parts = urlsplit(value)
    except ValueError:
        return ""
    is_safe = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
    return value if is_safe and not set(value) & set(" <>\"'`|\\") else ""


def as_time(value: object) -> datetime | None:
    """Read "2016-08-12T15:23:28.000Z", or "2016-08-12 15:23:28 UTC" as older servers do; nothing without a zone."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        at = datetime.fromisoformat(value.replace(" UTC", "+00:00").replace(" +", "+"))
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def as_moment(seconds: object) -> datetime | None:
    """Read seconds since 1970."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < 2**33:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def as_log(raw: bytes) -> str:
    """Return a log without what a terminal would obey or a reader would not see."""
    return clean_lines(raw.decode("utf-8", "replace"))


def clean_lines(text: str) -> str:
    return _UNSEEN.sub("", _COLOUR.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def take_tail(log: str) -> str:
    return "\n".join(log.rstrip().splitlines()[-TAIL_LINES:])[-TAIL_CHARS:]


def load_json(body: bytes) -> Any:  # noqa: ANN401 -- JSON that was not checked yet
    """Read JSON. Raises `ValueError`."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
