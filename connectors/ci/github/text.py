"""What GitHub says, made safe to read: names, times, addresses, logs. Whatever is not as expected becomes nothing."""

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from bot.errors import Reason, Rejected

MAX_TEXT: Final = 200
MAX_URL: Final = 500

_UNSEEN: Final = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NAME: Final = re.compile(r"/?(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,99})/(?P<repo>[A-Za-z0-9._-]{1,100}?)(\.git)?/?")
_SCP: Final = re.compile(r"[^/@:]+@[^/@:]+:(?P<path>[^:]+)")


def clean_text(text: object, limit: int = MAX_TEXT) -> str:
    """Return a name or message from outside as one line that hides and reorders nothing; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return " ".join(_UNSEEN.sub(" ", text[: limit * 10]).split())[:limit]


def clean_lines(text: str) -> str:
    """Return text of several lines without what a terminal would obey or a reader would not see."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def clean_log(raw: bytes) -> str:
    return clean_lines(raw.decode("utf-8", "replace"))


def is_sha(value: object) -> bool:
    """Say whether this is a whole commit id."""
    return isinstance(value, str) and _SHA.fullmatch(value) is not None


def require_sha(sha: str) -> None:
    """Raises `Rejected` for anything that is no whole commit id."""
    if not is_sha(sha):
        raise Rejected(f"{sha[:80]!r} is not a whole commit id.", Reason.BAD_INPUT)


def read_number(value: object) -> int:
    """Return an id that may become part of a path, 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else 0


def read_url(value: object) -> str:
    """Return an address people may be shown, or ""."""
    if not isinstance(value, str) or len(value) > MAX_URL or not value.isprintable() or " " in value:
        return ""
    return value if value.startswith(("https://", "http://")) else ""


def read_time(value: object) -> datetime | None:
    """Return a time in UTC, None for anything without a zone or out of range."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def read_repository_name(address: str) -> str:
    """Return "owner/name" from https://HOST/owner/name.git, ssh://git@HOST/owner/name or git@HOST:owner/name.git.

    Raises `Rejected` for an address of any other form.
    """
    scp = _SCP.fullmatch(address)
    try:
        parts = urlsplit(address)
        path = scp["path"] if scp else parts.path if parts.scheme in {"https", "http", "ssh"} else ""
    except ValueError:
        path = ""
    found = _NAME.fullmatch(path)
    if found is None or found["repo"] in {".", ".."}:
        text = "is no repository on GitHub: https://HOST/owner/name, ssh://git@HOST/owner/name or git@HOST:owner/name"
        raise Rejected(f"{address[:200]!r} {text}.", Reason.BAD_INPUT)
    return f"{found['owner']}/{found['repo']}"
