"""Says what a failed git command means: trying again may help, or it never will."""

import re
from collections.abc import Iterable
from typing import Final

from bot.errors import NightshiftError, Reason, Rejected, Unavailable

_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOISE: Final = re.compile(
    r"^(remote: )?(hint:|Enumerating|Counting|Compressing|Writing|Total|Delta|warning:).*$", re.MULTILINE
)
_MAX_TEXT: Final = 400

# First match decides, the final ones first; git speaks English here (LC_ALL=C).
_UNSAFE: Final = r"fsck error|error in \w+: |bad(Tree|Filemode|Name)|hasDot"
_AUTH: Final = (
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|HTTP 40[13]"
    r"|returned error: 40[13]|Permission denied|Invalid username or (password|token)|access denied"
)
_GUARDED: Final = (
    r"protected branch|hook declined|GH006|not allowed to push|deny updating|refusing to (update|create)|prohibited by"
)
_MISSING: Final = (
    r"Repository not found|returned error: 404|does not appear to be a git repository|not a git repository"
    r"|repository '.*' (does not exist|not found)|couldn't find remote ref|No such (file|remote)"
)
_SILENT: Final = (
    r"Could not resolve|Connection (refused|timed out|reset|closed)|Operation (timed out|too slow)|timed out"
    r"|unable to access|early EOF|hung up|unexpected disconnect|RPC failed|Network is unreachable|Empty reply"
)
_NO: Final = (
    (_UNSAFE, Reason.UNSAFE, "the repository holds unsafe objects"),
    (_AUTH, Reason.NOT_ALLOWED, "the remote refused our credentials"),
    (_GUARDED, Reason.NOT_ALLOWED, "the remote does not accept this branch"),
    (_MISSING, Reason.NOT_FOUND, "there is no such repository or branch"),
    (r"transport '.*' not allowed|is not a git command", Reason.NOT_ALLOWED, "this kind of address is not allowed"),
    (r"dubious ownership|unsafe repository", Reason.NOT_ALLOWED, "the repository belongs to another user"),
    (r"non-fast-forward|stale info|fetch first|\[rejected\]", Reason.CONFLICT, "the branch is already there"),
)
_LATER: Final = (
    (r"returned error: 429|rate limit", Reason.RATE_LIMITED, "the remote asks for fewer calls"),
    (r"returned error: 5\d\d|HTTP 5\d\d|internal server error", Reason.SERVER_ERROR, "the remote has a fault"),
    (_SILENT, Reason.UNREACHABLE, "the remote did not answer"),
    (r"cannot lock ref|Unable to create '.*\.lock'|failed to lock", Reason.CONFLICT, "the repository is locked"),
    (r"No space left|Disk quota|Cannot allocate memory|out of memory", Reason.OVERLOADED, "the machine has no room"),
)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Return text fit for a person and a log: no credentials, no control characters, bounded."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _CONTROL.sub("", _USERINFO.sub("***@", text).replace("\r", "\n"))
    lines = [line.strip() for line in _NOISE.sub("", text).splitlines() if line.strip()]
    return " · ".join(lines)[-_MAX_TEXT:]


def explain(command: str, stderr: str, *, is_remote: bool, secrets: Iterable[str] = ()) -> NightshiftError:
    """Return the error to raise. An unknown failure of a remote may pass; a local one is final."""
    detail = mask(stderr, secrets) or "it gave no reason"
    for pattern, reason, what in _NO:
        if re.search(pattern, stderr, re.IGNORECASE):
            return Rejected(f"git {command}: {what} ({detail})", reason)
    for pattern, reason, what in _LATER:
        if re.search(pattern, stderr, re.IGNORECASE):
            return Unavailable(f"git {command}: {what} ({detail})", reason)
    if is_remote:
        return Unavailable(f"git {command} failed: {detail}", Reason.UNREACHABLE)
    return Rejected(f"git {command} failed: {detail}", Reason.BAD_INPUT)
