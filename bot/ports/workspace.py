"""Fresh clones of untrusted repositories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bot.domain.approvals.rollback import Release


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit. `files` are the paths it touches, `diff` its unified diff against its first parent, bounded."""

    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    committed_at: datetime
    subject: str
    files: tuple[str, ...] = ()
    diff: str = ""


@dataclass(frozen=True, kw_only=True)
class BlamedLine:
    """Which commit last wrote a line, and when its author did."""

    number: int
    sha: str
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True, kw_only=True)
class CommitPlan:
    """Everything that decides a commit's SHA, frozen before the push: same plan, same SHA, on every retry."""

    base: str
    patch: bytes
    message: str
    author: str
    email: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class RevertDraft:
    """A revert of `culprit` on top of `base`, as a git diff. `partial` lists hunks left out because they conflict;
    `existing` hidden characters in added lines that the file holds in `base` already: (path, code point). `is_clean`
    says whether git merged the whole of it, so that nothing had to be fitted in hunk by hunk."""

    diff: bytes
    partial: tuple[str, ...] = ()
    existing: tuple[tuple[str, int], ...] = ()
    is_clean: bool = True


class Checkout(Protocol):
    """One bare clone of one repository, used for reading. Raises `Unavailable` or `Rejected`."""

    async def resolve(self, ref: str) -> str:
        """Return the full SHA of a branch, tag or abbreviated SHA."""
        ...

    async def log(self, head: str, limit: int) -> Sequence[Commit]:
        """Return up to `limit` commits, newest first, with their files and bounded diffs."""
        ...

    async def releases(self, head: str, pattern: str, limit: int) -> Sequence[Release]:
        """Return up to `limit` releases that `head` holds, newest first: commits with a tag that matches `pattern`.

        Of several tags at a commit the longest names it ("v1.4.2", not "v1").
        """
        ...

    async def between(self, old: str, new: str, limit: int) -> Sequence[Commit]:
        """Return up to `limit` commits that `new` has and `old` has not, newest first, with files, without diffs."""
        ...

    async def history(self, head: str, path: str, limit: int) -> Sequence[Commit]:
        """Return up to `limit` commits, newest first, with all their files, without diffs.

        Only those that touch a file or folder where `path` is not empty.
        """
        ...

    async def compare(self, old: str, new: str, path: str) -> str:
        """Return the diff from one commit to another, each file's count of lines first; bounded, and says so where cut.

        An `old` that is empty stands for nothing at all. Only of a file or folder where `path` is not empty.
        """
        ...

    async def blame(self, commit: str, path: str, first: int, last: int) -> Sequence[BlamedLine]:
        """Return who wrote the lines from `first` to `last`, both included, of a file as it is at a commit."""
        ...

    async def archive(self, tree: str) -> bytes:
        """Return a tar archive of a commit or tree, without `.git`."""
        ...

    async def read(self, commit: str, path: str) -> bytes | None:
        """Return one file's bytes at a commit, None where there is none. Never follows symbolic links."""
        ...

    async def revert(
        self, culprit: str, base: str, *, binary_paths: Sequence[str] = (), is_finer: bool = False
    ) -> RevertDraft | None:
        """Draft a revert of `culprit` on `base`; hunk by hunk where the whole no longer applies; None: nothing does.

        Binary files are left out, but for those that `binary_paths` cover. With `is_finer` a hunk that does not fit
        is cut where some lines between its changes stayed the same: what of it goes back may not make sense alone.
        """
        ...

    async def patched_tree(self, base: str, patch: bytes) -> str:
        """Apply canonical patch bytes to `base` with exact context and return the tree's id. Raises `Rejected`."""
        ...


class Workspaces(Protocol):
    """Clones and pushes; credentials stay in the front process."""

    async def open(self, url: str, folder: Path) -> Checkout:
        """Clone or refresh a bare copy of `url` in `folder`."""
        ...

    async def commit(self, checkout: Checkout, plan: CommitPlan) -> str:
        """Write the planned commit and return its SHA; the same plan always gives the same SHA."""
        ...

    async def remote_sha(self, url: str, branch: str) -> str | None:
        """Return where `branch` stands on the remote, None where it does not exist."""
        ...

    async def push(self, checkout: Checkout, url: str, sha: str, branch: str) -> None:
        """Create `branch` at `sha` on the remote. Repeating it is harmless. Never forces, never a default branch."""
        ...
