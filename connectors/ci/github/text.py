"""Names as GitHub has them: commits, ids and repositories. Whatever is not as expected becomes nothing."""

import re
from typing import Final
from urllib.parse import urlsplit

from bot.errors import Reason, Rejected
from connectors.ci.http_values import SHA

_NAME: Final = re.compile(r"/?(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,99})/(?P<repo>[A-Za-z0-9._-]{1,100}?)(\.git)?/?")
_SCP: Final = re.compile(r"[^/@:]+@[^/@:]+:(?P<path>[^:]+)")


def is_sha(value: object) -> bool:
    """Say whether this is a whole commit id."""
    return isinstance(value, str) and SHA.fullmatch(value) is not None


def require_sha(sha: str) -> None:
    """Raises `Rejected` for anything that is no whole commit id."""
    if not is_sha(sha):
        raise Rejected(f"{sha[:80]!r} is not a whole commit id.", Reason.BAD_INPUT)


def read_number(value: object) -> int:
    """Return an id that may become part of a path, 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else 0


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
