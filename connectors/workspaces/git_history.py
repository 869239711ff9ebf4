"""Reads names and history: refs to SHAs, and commits with their files and bounded diffs."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from bot.domain.approvals.rollback import Release
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.workspace import Commit
from connectors.workspaces.git_commands import Call, Repo, run_git, side_by_side

_REF: Final = re.compile(r"[A-Za-z0-9_@\u0080-\U0010ffff][^\x00-\x20\x7f~^:?*\[\\]*")
_FULL_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHORT_ID: Final = re.compile(r"[0-9a-f]{4,64}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9*?\[\]._+/-]*")
_TAGS: Final = "refs/tags/"
_FIELDS: Final = ("%H", "%P", "%an", "%ae", "%ct", "%s")
_OPTIONS: Final = ("--no-color", "--no-notes", "--no-decorate", "--no-ext-diff", "--no-textconv", "--encoding=UTF-8")
_FIRST_PARENT: Final = "--diff-merges=first-parent"
#: Git's own patterns for what a hunk is in, by language: without them a method's hunk is headed by its class.
_HEADINGS: Final = {"core.attributesFile": str(Path(__file__).with_name("git_headings.attributes"))}


def is_full_id(text: str) -> bool:
    return _FULL_ID.fullmatch(text) is not None


def check_ref(ref: str) -> str:
    """Return a ref name that git cannot take for an option, a range or an expression."""
    if not _REF.fullmatch(ref) or ".." in ref or "@{" in ref or ref == "@" or ref.endswith((".lock", "/", ".")):
        raise Rejected(f"{ref[:80]!r} is no branch, tag or commit", Reason.BAD_INPUT)
    return ref


async def resolve(repo: Repo, ref: str) -> str:
    """Return the full SHA of a commit; a branch goes before a tag, a tag before an abbreviated SHA."""
    check_ref(ref)
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    if is_full_id(ref) or ref.startswith("refs/"):
        names = [ref]
    elif _SHORT_ID.fullmatch(ref):
        names.append(ref)
    for name in names:
        found = await repo.call("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", ok=(0, 1))
        if found.code == 0:
            return found.text.removeprefix("--end-of-options").strip()
    raise Rejected(f"the repository has no branch, tag or commit {ref!r}", Reason.NOT_FOUND)


async def read_log(repo: Repo, head: str, limit: int) -> Sequence[Commit]:
    """Return commits newest first. Two commands, side by side, however many commits there are."""
    start = await resolve(repo, head)
    commits, diffs = await side_by_side(read_commits(repo, (start,), limit), _read_diffs(repo, start, limit))
    return [replace(commit, diff=diffs.get(commit.sha, "")) for commit in commits]


async def read_between(repo: Repo, old: str, new: str, limit: int) -> Sequence[Commit]:
    """Return what `new` has and `old` has not, newest first."""
    old, new = await side_by_side(resolve(repo, old), resolve(repo, new))
    return await read_commits(repo, (new, f"^{old}"), limit)


async def read_releases(repo: Repo, head: str, pattern: str, limit: int) -> Sequence[Release]:
    """Return the tagged commits of a branch, in the history's order: dates of tags and commits can be made up."""
    if not _PATTERN.fullmatch(pattern):
        raise Rejected(f"{pattern[:80]!r} is no pattern of tag names", Reason.BAD_INPUT)
    out = await repo.run(
        "log", "--topo-order", "--simplify-by-decoration", f"--decorate-refs={_TAGS}{pattern}", "--decorate=full",
        "--no-color", "--no-notes", "--format=tformat:%H %D", await resolve(repo, head), "--",
    )  # fmt: skip
    found = []
    for line in out.text.splitlines():
        sha, _, names = line.partition(" ")
        tags = [name.removeprefix(f"tag: {_TAGS}") for name in names.split(", ") if name.startswith(f"tag: {_TAGS}")]
        tags = [tag for tag in tags if fnmatchcase(tag, pattern)]
        if tags:
            found.append(Release(tag=max(tags, key=lambda tag: (len(tag), tag)), sha=sha))
    return found[:limit]


async def read_tip_messages(repo: Repo, prefix: str) -> Sequence[str]:
    """Return the whole message of the newest commit of each branch whose name begins with `prefix`."""
    mark = secrets.token_hex(16)
    folder = f"refs/heads/{check_ref(prefix.rstrip('/'))}/"
    out = await repo.run("for-each-ref", f"--format={mark}%(contents)", folder)
    return out.text.split(mark)[1:]


async def read_commits(repo: Repo, heads: Sequence[str], limit: int, path: str = "") -> list[Commit]:
    """Return commits with all their files; only those that touch `path` where it is not empty."""
    # The mark cannot be guessed, so no author, subject or file name can pretend to be another commit.
    mark = secrets.token_hex(16)
    form = "%x00".join((mark, *_FIELDS))
    out = await repo.run(
        "log", "-z", f"-n{int(limit)}", f"--format=format:{form}", "--name-only", "--no-renames", _FIRST_PARENT,
        "--full-diff", *_OPTIONS, *heads, "--", *([path] if path else []),
    )  # fmt: skip
    return [_read_commit(part.split("\0")) for part in out.out.decode("utf-8", "replace").split(f"{mark}\0")[1:]]


def _read_commit(fields: list[str]) -> Commit:
    sha, parents, author, email, seconds, tail, *files = fields
    subject, _, first = tail.partition("\n")
    return Commit(
        sha=sha,
        parents=tuple(parents.split()),
        author=author,
        email=email,
        committed_at=datetime.fromtimestamp(int(seconds), UTC),
        subject=subject,
        files=tuple(name for name in (first, *files) if name),
    )


class _DiffSink:
    """Splits a stream at a mark and keeps the beginning of each part, so that one huge commit costs no memory."""

    def __init__(self, mark: bytes, keep: int) -> None:
        self._mark = mark
        self._keep = keep
        self._parts: list[bytearray] = []
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        data = self._rest + chunk
        while (at := data.find(self._mark)) >= 0:
            self._add(data[:at])
            self._parts.append(bytearray())
            data = data[at + len(self._mark) :]
        safe = max(0, len(data) - len(self._mark) + 1)
        self._add(data[:safe])
        self._rest = data[safe:]

    def _add(self, data: bytes) -> None:
        if self._parts:
            part = self._parts[-1]
            part += data[: max(0, self._keep - len(part))]

    def diffs(self) -> dict[str, str]:
        self._add(self._rest)
        found = {}
        for part in self._parts:
            sha, _, diff = bytes(part).partition(b"\0")
            text = diff.decode("utf-8", "replace").strip("\n")
            found[sha.decode("ascii", "replace")] = text + "\n" if text else ""
        return found


async def _read_diffs(repo: Repo, head: str, limit: int) -> dict[str, str]:
    mark = secrets.token_hex(16)
    sink = _DiffSink(mark.encode(), repo.settings.commit_diff_bytes)
    args = (
        "log", f"-n{int(limit)}", f"--format=format:{mark}%H%x00", "-p", "-M", "--full-index", "--src-prefix=a/",
        "--dst-prefix=b/", _FIRST_PARENT, *_OPTIONS, head, "--",
    )  # fmt: skip
    try:
        await run_git(
            Call(args=args, folder=repo.folder, config=_HEADINGS, seconds=repo.settings.local_seconds, sink=sink)
        )
    except Unavailable as error:
        if error.reason is not Reason.TIMEOUT:
            raise
        # Too much history for the time there is: the newest commits have their diffs, the rest their files.
    return sink.diffs()
