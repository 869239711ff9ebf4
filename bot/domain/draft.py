"""Drafts: one patch in one canonical form. What is shown is what is hashed is what is applied."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.investigation import Verified


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True, kw_only=True)
class BinaryChange:
    """How large a binary file is before and after, and the sha256 of what it is then (deleted: of what it was)."""

    old_size: int
    new_size: int
    sha256: str

    def __str__(self) -> str:
        return f"binary, {self.old_size:,} → {self.new_size:,} bytes, sha256 {self.sha256}"


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One file of a patch. `mode` is "" or "644→755" / "755→644"; `binary` is None for text."""

    path: str
    kind: ChangeKind
    added: int
    removed: int
    old_path: str = ""
    mode: str = ""
    binary: BinaryChange | None = None


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A patch in canonical form: `text` is the exact bytes that are shown, hashed and applied."""

    text: bytes
    files: tuple[FileChange, ...]

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical bytes, in hex."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def added(self) -> int:
        return sum(change.added for change in self.files)

    @property
    def removed(self) -> int:
        return sum(change.removed for change in self.files)


@dataclass(frozen=True, kw_only=True)
class Risk:
    """Why a patch needs a second person; no reason = an ordinary patch."""

    reasons: tuple[str, ...] = ()

    @property
    def is_risky(self) -> bool:
        return bool(self.reasons)


class DraftState(StrEnum):
    PROPOSED = "proposed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A proposed patch on `base`, meant for `branch` of the service's repository.

    `approvers` are the people that the profile of the agent leaves to approve it; () = all of the policy's.
    """

    incident: str
    patch: Patch
    base: str
    branch: str
    title: str
    culprit: str | None
    author: str
    verified: Verified | None
    risk: Risk
    state: DraftState
    created_at: datetime
    notes: tuple[str, ...] = ()
    service: str = ""
    approvers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return self.patch.digest

    @property
    def push_branch(self) -> str:
        """Return the branch that the approved patch is pushed to."""
        return f"nightshift/{self.incident}/{self.digest[:12]}"
