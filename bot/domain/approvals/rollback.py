"""Rollbacks: which release of a service goes back to which, as one document in one canonical form.

What is shown is what is hashed is what is ordered. A rollback changes no file and is never a patch.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.draft import Risk
from bot.domain.patches.names import show
from bot.domain.text.file_names import is_migration
from bot.errors import Reason, Refused

HEADER: Final = ("nightshift-rollback", "v1")
MAX_BYTES: Final = 8 * 1024
MAX_COMMITS: Final = 1000
"""So many commits between two releases are looked at: with more, nobody could say what goes back."""
_NAMED: Final = 5

_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,99}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_INCIDENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,10}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_KEYS: Final = (
    "incident", "request", "service", "repository", "job", "from-tag", "from-commit", "to-tag", "to-commit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tag that names a release, and the commit it stands at."""

    tag: str
    sha: str

    def __str__(self) -> str:
        return f"{self.tag} ({self.sha[:12]})"


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """One rollback. `request` is the number of the timeline's row that asked for it: asked again, it is another one.

    Raises `Refused` for what could not be written on one line each, or would change nothing.
    """

    incident: str
    request: int
    service: str
    repository: str
    job: str
    present: Release
    previous: Release

    def __post_init__(self) -> None:
        for release in (self.present, self.previous):
            if not _TAG.fullmatch(release.tag):
                raise Refused(f"{release.tag[:60]!r} is no plain name of a release", Reason.BAD_INPUT)
            if not _COMMIT.fullmatch(release.sha):
                raise Refused(f"{release.tag} does not stand at a commit", Reason.BAD_INPUT)
        if self.present.sha == self.previous.sha or self.present.tag == self.previous.tag:
            raise Refused(f"{self.present.tag} and {self.previous.tag} are the same release", Reason.CONFLICT)
        if not _INCIDENT.fullmatch(self.incident) or not _NUMBER.fullmatch(str(self.request)):
            raise Refused("it does not name what asked for it", Reason.BAD_INPUT)
        for text in (self.service, self.repository, self.job):
            if not text or not text.isprintable() or text != text.strip() or len(text) > 1000:
                raise Refused(f"{text[:60]!r} does not fit on a line", Reason.BAD_INPUT)

    @property
    def document(self) -> bytes:
        """Return the canonical bytes: one key a line, always in this order."""
        values = (
            self.incident, str(self.request), self.service, self.repository, self.job,
            self.present.tag, self.present.sha, self.previous.tag, self.previous.sha,
        )  # fmt: skip
        lines = (HEADER, *zip(_KEYS, values, strict=True))
        return "".join(f"{key}: {value}\n" for key, value in lines).encode()

    @property
    def digest(self) -> str:
        """Return the sha256 of the document, in hex."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def title(self) -> str:
        return f"{self.service} from {self.present.tag} back to {self.previous.tag}"


def parse_rollback(data: bytes) -> Rollback:
    """Read a document back. Raises `Refused` for anything but the exact bytes that `document` writes."""
    try:
        lines = data[: MAX_BYTES + 1].decode().split("\n")
        values = dict(line.split(": ", 1) for line in lines[:-1])
        read = Rollback(
            incident=values["incident"],
            request=int(values["request"]),
            service=values["service"],
            repository=values["repository"],
            job=values["job"],
            present=Release(tag=values["from-tag"], sha=values["from-commit"]),
            previous=Release(tag=values["to-tag"], sha=values["to-commit"]),
        )
    except (ValueError, KeyError) as error:
        raise Refused("This is not the document of a rollback.", Reason.BAD_INPUT) from error
    if read.document != data:
        raise Refused("The document of the rollback is not in its canonical form.", Reason.BAD_INPUT)
    return read


def is_rollback(data: bytes) -> bool:
    """Say whether bytes are the document of a rollback; no patch begins like one."""
    return data.startswith(": ".join(HEADER).encode())


def judge_rollback(files: Sequence[str]) -> Risk:
    """Return why a rollback needs a second person. It always does: it runs at once, where the users are."""
    migrations = [show(path) for path in files if is_migration(path)]
    named = [f"goes back over a database migration: {path}" for path in migrations[:_NAMED]]
    more = len(migrations) - len(named)
    rest = [f"goes back over a database migration: {more} more of them"] if more else []
    return Risk(reasons=("rolls back what runs, without a check by CI", *named, *rest))
