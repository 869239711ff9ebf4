"""Reads what two commits have between them, which touched a path, and who wrote a file's lines."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bot.errors import Reason, Rejected
from bot.ports.workspace import BlamedLine, Commit
from connectors.workspaces.git_commands import Call, Repo, run_git, side_by_side
from connectors.workspaces.git_history import read_commits, resolve

MAX_DIFF: Final = 512 * 1024
CUT: Final = "… cut here: the diff is larger than this; ask for one path of it\n"


class _Beginning:
    """Keeps the beginning of a stream."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.is_cut = False

    def __call__(self, chunk: bytes) -> None:
        room = MAX_DIFF - len(self.kept)
        self.kept += chunk[: max(0, room)]
        self.is_cut |= len(chunk) > room


async def read_diff(repo: Repo, old: str, new: str, path: str) -> str:
    """Return the diff between two commits, of one path or of all; an empty `old` stands for nothing at all."""
    _check_path(path)
    ends: tuple[str, ...]
    if old:
        ends = await side_by_side(resolve(repo, old), resolve(repo, new))
    else:
        ends = ("--root", "--no-commit-id", await resolve(repo, new))
    sink = _Beginning()
    args = (
        "diff-tree", "-r", "--numstat", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv",
        "--src-prefix=a/", "--dst-prefix=b/", *ends, "--", *([path] if path else []),
    )  # fmt: skip
    await run_git(Call(args=args, folder=repo.folder, seconds=repo.settings.local_seconds, sink=sink))
    text = bytes(sink.kept).decode("utf-8", "replace")
    return text.rpartition("\n")[0] + f"\n{CUT}" if sink.is_cut else text


async def read_history(repo: Repo, head: str, path: str, limit: int) -> Sequence[Commit]:
    """Return commits without diffs, newest first; only those that touch `path` where it is not empty."""
    _check_path(path)
    return await read_commits(repo, (await resolve(repo, head),), limit, path)


async def read_blame(repo: Repo, commit: str, path: str, lines: range) -> Sequence[BlamedLine]:
    """Return who wrote some lines. Raises `Rejected` where the commit has no such file, or it has no such lines."""
    _check_path(path)
    sha = await resolve(repo, commit)
    if not path or not lines:
        raise Rejected(f"there are no lines {lines.start} to {lines.stop - 1} of {path[:120]!r}", Reason.BAD_INPUT)
    out = await repo.run(
        "blame", "--line-porcelain", "--no-progress", "--encoding=UTF-8", f"-L{lines.start},{lines.stop - 1}", sha,
        "--", path,
    )  # fmt: skip
    found: list[BlamedLine] = []
    said: dict[str, str] = {}
    for line in out.out.decode("utf-8", "replace").split("\n"):
        if line.startswith("\t"):
            found.append(_read_line(said))
            said = {}
        elif not said:
            said["line"] = line
        else:
            name, _, value = line.partition(" ")
            said[name] = value
    return found


def _check_path(path: str) -> None:
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise Rejected(f"{path[:120]!r} is no path in the repository", Reason.BAD_INPUT)


def _read_line(said: dict[str, str]) -> BlamedLine:
    sha, _, number = said["line"].split(" ")[:3]
    return BlamedLine(
        number=int(number),
        sha=sha,
        author=said.get("author", ""),
        at=datetime.fromtimestamp(int(said.get("author-time", "0")), UTC),
        subject=said.get("summary", ""),
    )
