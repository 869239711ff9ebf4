"""Plain git: fresh bare clones of untrusted repositories, exact commits, and pushes that can be repeated.

Works with every server that speaks git over file, http, https or ssh. Configuration name: "git".
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.domain.approvals.rollback import Release
from bot.domain.patches.patch import PatchLimits
from bot.errors import Reason, Rejected, Unavailable
from bot.ports import faults
from bot.ports.workspace import BlamedLine, Checkout, Commit, CommitPlan, RevertDraft
from connectors.workspaces.git_annotate import read_blame, read_diff, read_history
from connectors.workspaces.git_binary import show_binaries
from connectors.workspaces.git_clone import open_clone
from connectors.workspaces.git_commands import Repo, Settings, side_by_side
from connectors.workspaces.git_history import (
    check_ref,
    is_full_id,
    read_between,
    read_log,
    read_releases,
    read_tip_messages,
    resolve,
)
from connectors.workspaces.git_remote import Remote, check_remote
from connectors.workspaces.git_revert import draft_revert
from connectors.workspaces.git_tree import diff_trees, read_archive, read_file, write_patched_tree

__all__ = ["Connector", "Git", "GitCheckout", "Settings"]

_PUSH_BRANCH: Final = re.compile(r"nightshift(?:/[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*)+")
_PERSON: Final = re.compile(r"[^\x00-\x1f\x7f<>]*")
_MAX_COMMITS: Final = 10_000


class GitCheckout:
    """One bare clone; see `bot.ports.workspace.Checkout`."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self._repo = Repo(folder, settings)

    async def resolve(self, ref: str) -> str:
        return await resolve(self._repo, ref)

    async def log(self, head: str, limit: int) -> Sequence[Commit]:
        return await read_log(self._repo, head, min(limit, _MAX_COMMITS))

    async def releases(self, head: str, pattern: str, limit: int) -> Sequence[Release]:
        return await read_releases(self._repo, head, pattern, limit)

    async def between(self, old: str, new: str, limit: int) -> Sequence[Commit]:
        return await read_between(self._repo, old, new, min(limit, _MAX_COMMITS))

    async def history(self, head: str, path: str, limit: int) -> Sequence[Commit]:
        return await read_history(self._repo, head, path, min(limit, _MAX_COMMITS))

    async def compare(self, old: str, new: str, path: str) -> str:
        return await read_diff(self._repo, old, new, path)

    async def blame(self, commit: str, path: str, first: int, last: int) -> Sequence[BlamedLine]:
        return await read_blame(self._repo, commit, path, range(first, last + 1))

    async def messages(self, prefix: str) -> Sequence[str]:
        """Return the messages at the tips of the branches under `prefix` ("nightshift/")."""
        return await read_tip_messages(self._repo, prefix)

    async def archive(self, tree: str) -> bytes:
        return await read_archive(self._repo, await self._object(tree))

    async def read(self, commit: str, path: str) -> bytes | None:
        return await read_file(self._repo, await self._object(commit), path)

    async def revert(
        self, culprit: str, base: str, *, binary_paths: Sequence[str] = (), is_finer: bool = False
    ) -> RevertDraft | None:
        commits = await side_by_side(self.resolve(culprit), self.resolve(base))
        limits = PatchLimits(
            bytes=self._repo.settings.patch_bytes, files=1, lines=1_000_000, binary_paths=tuple(binary_paths)
        )
        return await draft_revert(self._repo, *commits, limits=limits, is_finer=is_finer)

    async def patched_tree(self, base: str, patch: bytes) -> str:
        return await write_patched_tree(self._repo, await self.resolve(base), patch)

    async def diff(self, old: str, new: str) -> bytes:
        """Return the git diff between two commits or trees, ready for `parse_patch`."""
        diff = await diff_trees(self._repo, await self._object(old), await self._object(new))
        return await show_binaries(self._repo, diff, self._repo.settings.patch_bytes)

    async def write_commit(self, plan: CommitPlan) -> str:
        """Write the planned commit; everything that decides its SHA comes from the plan."""
        if not is_full_id(plan.base):
            raise Rejected(f"the base {plan.base[:80]!r} is not a full SHA", Reason.BAD_INPUT)
        if not _PERSON.fullmatch(plan.author + plan.email) or not plan.author.strip() or "\0" in plan.message:
            raise Rejected("the author or the message of the commit holds a control character", Reason.BAD_INPUT)
        tree = await write_patched_tree(self._repo, plan.base, plan.patch)
        when = f"@{int(plan.at.timestamp())} +0000"
        env = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", plan.author), ("EMAIL", plan.email), ("DATE", when))
        }
        message = plan.message.rstrip("\n") + "\n"
        out = await self._repo.run("commit-tree", tree, "-p", plan.base, "-F", "-", stdin=message.encode(), env=env)
        return out.text

    async def _object(self, name: str) -> str:
        return name if is_full_id(name) else await self.resolve(name)


class Git:
    """Clones and pushes with the git program; see `bot.ports.workspace.Workspaces`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()

    async def open(self, url: str, folder: Path) -> GitCheckout:
        place = _absolute(folder)
        await open_clone(check_remote(url, self._settings), place, self._settings)
        return GitCheckout(place, self._settings)

    async def commit(self, checkout: Checkout, plan: CommitPlan) -> str:
        return await _ours(checkout).write_commit(plan)

    async def remote_sha(self, url: str, branch: str) -> str | None:
        check_ref(branch)
        refs, _ = await self._read_refs(check_remote(url, self._settings), branch)
        return refs.get(f"refs/heads/{branch}")

    async def push(self, checkout: Checkout, url: str, sha: str, branch: str) -> None:
        """See the port. Only branches below `nightshift/` are ever written, and only where there was none."""
        remote = check_remote(url, self._settings)
        if not _PUSH_BRANCH.fullmatch(branch) or branch.endswith(".lock") or ".lock/" in branch:
            raise Rejected(f"only branches below nightshift/ are pushed, not {branch[:80]!r}", Reason.NOT_ALLOWED)
        if not is_full_id(sha):
            raise Rejected(f"{sha[:80]!r} is not a full SHA", Reason.BAD_INPUT)
        if await self._is_there(remote, sha, branch):
            return
        faults.reach("push.before")
        try:
            await self._push_new(_ours(checkout), remote, sha, branch)
        except (Rejected, Unavailable) as error:
            # Another try of ours may have come first, or hold the lock: only the remote knows.
            if error.reason is not Reason.CONFLICT or not await self._is_there(remote, sha, branch):
                raise
        faults.reach("push.after")

    async def _push_new(self, checkout: GitCheckout, remote: Remote, sha: str, branch: str) -> None:
        ref = f"refs/heads/{branch}"
        await remote.run(
            self._settings,
            "push",
            "--porcelain",
            "--quiet",
            "--no-verify",
            "--no-follow-tags",
            "--no-recurse-submodules",
            "--no-signed",
            # An empty expectation makes the remote refuse to move a branch that appeared since we looked.
            f"--force-with-lease={ref}:",
            "--end-of-options",
            "{url}",
            f"{sha}:{ref}",
            folder=checkout.folder,
        )

    async def _is_there(self, remote: Remote, sha: str, branch: str) -> bool:
        refs, default = await self._read_refs(remote, branch)
        if default == f"refs/heads/{branch}":
            raise Rejected(f"{branch} is the default branch; nothing is pushed to it", Reason.NOT_ALLOWED)
        there = refs.get(f"refs/heads/{branch}")
        if there is not None and there != sha:
            raise Rejected(f"{branch} is already there and stands at {there[:12]}, not {sha[:12]}", Reason.CONFLICT)
        return there == sha

    async def _read_refs(self, remote: Remote, branch: str) -> tuple[dict[str, str], str]:
        """Return the refs of that exact name, and what the remote's HEAD points to."""
        ref = f"refs/heads/{branch}"
        out = await remote.run(
            self._settings, "ls-remote", "--quiet", "--symref", "--end-of-options", "{url}", "HEAD", ref
        )
        refs, default = dict[str, str](), ""
        for line in out.out.decode("utf-8", "replace").splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: ") and name == "HEAD":
                default = value.removeprefix("ref: ")
            elif is_full_id(value):
                refs[name] = value
        return refs, default


def _absolute(folder: Path) -> Path:
    return folder.resolve()


def _ours(checkout: Checkout) -> GitCheckout:
    if not isinstance(checkout, GitCheckout):
        raise TypeError("this checkout was opened by another connector")
    return checkout


Connector = Git
