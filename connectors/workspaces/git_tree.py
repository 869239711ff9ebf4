"""Reads and writes trees: archives without git's attribute tricks, single files, and patches applied exactly."""

import asyncio
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.domain.draft import ChangeKind
from bot.domain.patches.binary import blob_id
from bot.domain.patches.file import FileDiff
from bot.domain.patches.names import fold_name, list_folders
from bot.domain.patches.patch import PatchLimits, apply_hunks, check_existing, parse_patch, read_patch
from bot.errors import Reason, Refused, Rejected
from connectors.workspaces.git_commands import Call, Repo, run_git

_FILE_MODES: Final = {"100644": 0o644, "100664": 0o644, "100755": 0o755}
_LEAVES: Final = frozenset({ChangeKind.DELETED, ChangeKind.RENAMED})
_SYMLINK: Final = "120000"
_MAX_LINK: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a tree, its path as bytes: git allows any but NUL."""

    mode: str
    kind: str
    id: str
    size: int
    path: bytes


def _read_entries(out: bytes) -> Iterator[Entry]:
    for record in out.split(b"\0")[:-1]:
        meta, _, path = record.partition(b"\t")
        mode, kind, oid, size = meta.decode("ascii").split()
        yield Entry(mode=mode, kind=kind, id=oid, size=int(size) if size.isdigit() else 0, path=path)


def _is_safe(path: bytes) -> bool:
    return all(part not in {b"", b".", b".."} and part.lower() != b".git" for part in path.split(b"/"))


def _points_inside(link: bytes, target: bytes) -> bool:
    """Only `../…/name/name`: a '..' behind a name could climb out through another link."""
    if not target or target.startswith(b"/") or b"\0" in target or len(target) > _MAX_LINK:
        return False
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    ups = 0
    while ups < len(parts) and parts[ups] == b"..":
        ups += 1
    depth = link.count(b"/")
    return ups <= depth and b".." not in parts[ups:] and not any(part.lower() == b".git" for part in parts)


async def read_archive(repo: Repo, tree: str) -> bytes:
    """Return a tar of regular files and of links that stay inside; the same tree always gives the same bytes."""
    listing = await repo.run("ls-tree", "-r", "-z", "-l", "--full-tree", tree)
    entries = [e for e in _read_entries(listing.out) if e.kind == "blob" and _is_safe(e.path)]
    size = sum(entry.size for entry in entries)
    if size > repo.settings.tree_bytes:
        raise Rejected(f"the tree has {size:,} bytes; at most {repo.settings.tree_bytes:,} fit", Reason.TOO_LARGE)
    return await asyncio.to_thread(_build_tar, entries, await read_blobs(repo, entries))


def _split_batch(out: bytes, ids: Iterable[str]) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    view, at = memoryview(out), 0
    for oid in ids:
        end = out.index(b"\n", at)
        size = int(out[at:end].rsplit(b" ", 1)[1])
        found[oid] = view[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def _build_tar(entries: list[Entry], blobs: dict[str, memoryview]) -> bytes:
    buffer = io.BytesIO()
    links = {entry.path for entry in entries if entry.mode == _SYMLINK}
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for entry in entries:
            if links and _is_under(entry.path, links):
                continue
            content = blobs[entry.id]
            info = tarfile.TarInfo(entry.path.decode("utf-8", "surrogateescape"))
            if entry.mode == _SYMLINK:
                if not _points_inside(entry.path, bytes(content[: _MAX_LINK + 1])):
                    continue
                info.type, info.linkname = tarfile.SYMTYPE, bytes(content).decode("utf-8", "surrogateescape")
                tar.addfile(info)
            elif entry.mode in _FILE_MODES:
                info.mode, info.size = _FILE_MODES[entry.mode], len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _is_under(path: bytes, links: set[bytes]) -> bool:
    parts = path.split(b"/")
    return any(b"/".join(parts[:end]) in links for end in range(1, len(parts)))


async def read_file(repo: Repo, commit: str, path: str) -> bytes | None:
    """Return a regular file's bytes, None where there is none."""
    raw = path.encode("utf-8", "surrogateescape")
    if b"\0" in raw or not _is_safe(raw):
        return None
    listing = await repo.run("ls-tree", "-z", "-l", "--full-tree", commit, "--", path)
    entry = next((e for e in _read_entries(listing.out) if e.path == raw), None)
    if entry is None or entry.mode not in _FILE_MODES:
        return None
    if entry.size > repo.settings.file_bytes:
        raise Rejected(f"{path} has {entry.size:,} bytes; at most {repo.settings.file_bytes:,} fit", Reason.TOO_LARGE)
    return (await repo.run("cat-file", "blob", entry.id)).out


@asynccontextmanager
async def temporary_index(repo: Repo, base: str) -> AsyncIterator[dict[str, str]]:
    """Yield the environment of an own index that holds `base`, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="nightshift-index-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        await repo.run("read-tree", base, env=env)
        yield env


async def diff_trees(repo: Repo, old: str, new: str) -> bytes:
    """Return the git diff between two trees or commits."""
    out = await repo.run(
        "diff-tree", "-r", "-p", "-M", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv",
        "--src-prefix=a/", "--dst-prefix=b/", "-U3", old, new, "--",
    )  # fmt: skip
    return out.out


async def write_patched_tree(repo: Repo, base: str, patch: bytes) -> str:
    """Write the tree of `base` with the patch. git applies it, and our own exact reading must agree with the result."""
    diffs = _read_canonical(repo, patch)
    await _check_spellings(repo, base, diffs)
    async with temporary_index(repo, base) as env:
        await repo.run("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=env)
        tree = (await repo.run("write-tree", env=env)).text
    expected = await _expect(repo, base, diffs)
    changed = await _changed(repo, base, tree)
    if changed != expected:
        odd = sorted(path for path in changed.keys() | expected.keys() if changed.get(path) != expected.get(path))
        raise Rejected(f"git applied the patch to {odd[0]!r} other than it reads", Reason.HOSTILE_PATCH)
    return tree


def _read_canonical(repo: Repo, patch: bytes) -> tuple[FileDiff, ...]:
    limits = PatchLimits(bytes=repo.settings.patch_bytes, files=10_000, lines=1_000_000, binary_paths=(".",))
    try:
        parsed = parse_patch(patch, limits, allowed_existing=lambda _path, _character: True)
    except Refused as error:
        raise Rejected(str(error), error.reason) from error
    if parsed.text != patch:
        raise Rejected("the patch is not in canonical form", Reason.HOSTILE_PATCH)
    return read_patch(parsed)


async def read_old(repo: Repo, base: str, paths: Iterable[str]) -> dict[str, tuple[Entry, bytes]]:
    """Return entry and content of those paths that are in `base`; two commands for all of them."""
    wanted = {path.encode(): path for path in paths}
    listing = await repo.run("ls-tree", "-z", "-l", "--full-tree", base, "--", *wanted.values())
    entries = {wanted[e.path]: e for e in _read_entries(listing.out) if e.path in wanted}
    for path, entry in entries.items():
        if entry.mode not in _FILE_MODES:
            raise Rejected(f"{path} is a link, a folder or a submodule in {base[:12]}", Reason.HOSTILE_PATCH)
    blobs = await read_blobs(repo, list(entries.values()))
    return {path: (entry, bytes(blobs[entry.id])) for path, entry in entries.items()}


async def read_blobs(repo: Repo, entries: list[Entry]) -> dict[str, memoryview]:
    ids = list(dict.fromkeys(entry.id for entry in entries))
    if not ids:
        return {}
    call = Call(
        args=("cat-file", "--batch"),
        folder=repo.folder,
        stdin="".join(f"{oid}\n" for oid in ids).encode(),
        seconds=repo.settings.local_seconds,
        max_bytes=sum(entry.size for entry in entries) + 200 * len(ids) + 1,
    )
    return _split_batch((await run_git(call)).out, ids)


async def _expect(repo: Repo, base: str, diffs: Sequence[FileDiff]) -> dict[str, tuple[str, str]]:
    """Return mode and blob id of each path that the patch, read literally, leaves changed ("" = gone)."""
    expected: dict[str, tuple[str, str]] = {}
    before = await read_old(repo, base, [diff.change.old_path or diff.change.path for diff in diffs])
    for diff in diffs:
        change = diff.change
        old_path = change.old_path or change.path
        entry, old = before.get(old_path, (None, b""))
        if (entry is None) != (change.kind is ChangeKind.ADDED):
            raise Rejected(f"{old_path} {'is missing' if entry is None else 'is already there'}", Reason.CONFLICT)
        if entry is not None and diff.old_mode and _FILE_MODES[entry.mode] != _FILE_MODES[diff.old_mode]:
            has = f"{_FILE_MODES[entry.mode]:o}"
            raise Rejected(f"{old_path} has mode {has}, not the one that the patch names", Reason.CONFLICT)
        if change.kind in _LEAVES:
            expected[old_path] = ("", "")
        _check_existing(diff, old)
        new = _apply(diff, old)
        if change.kind is not ChangeKind.DELETED:
            mode = diff.new_mode or (entry.mode if entry is not None else "")
            expected[change.path] = (mode, blob_id(new, len(base)))
    return expected


async def _check_spellings(repo: Repo, base: str, diffs: Sequence[FileDiff]) -> None:
    """A new name that differs from one in `base` only in capitals or accents would be the same file elsewhere."""
    new = [diff.change.path for diff in diffs if diff.change.kind in {ChangeKind.ADDED, ChangeKind.RENAMED}]
    if not new:
        return
    listing = (await repo.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", base)).out
    names = {raw.decode("utf-8", "surrogateescape") for raw in listing.split(b"\0")[:-1]}
    gone = {diff.change.old_path or diff.change.path for diff in diffs if diff.change.kind in _LEAVES}
    known = {place for name in names - gone for place in (*list_folders(name), name)}
    spelled = {fold_name(place): place for place in known}
    for path in new:
        for place in (*list_folders(path), path):
            there = spelled.get(fold_name(place))
            if there is not None and place not in known:
                raise Rejected(f"{place} is there already, spelled {there}", Reason.HOSTILE_PATCH)


def _check_existing(diff: FileDiff, old: bytes) -> None:
    """Whoever drafted the patch said that the file holds these hidden characters: here is the file."""
    try:
        check_existing(diff, old)
    except Refused as error:
        raise Rejected(str(error), error.reason) from error


def _apply(diff: FileDiff, old: bytes) -> bytes:
    try:
        new = apply_hunks(diff, old)
    except Refused as error:
        raise Rejected(str(error), Reason.CONFLICT) from error
    if diff.change.kind is ChangeKind.DELETED and new:
        raise Rejected(f"{diff.change.path} is deleted, but the patch shows only a part of it", Reason.HOSTILE_PATCH)
    return new


async def _changed(repo: Repo, base: str, tree: str) -> dict[str, tuple[str, str]]:
    out = (await repo.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", base, tree)).out
    fields = out.split(b"\0")[:-1]
    changed: dict[str, tuple[str, str]] = {}
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, status = meta.decode("ascii").split()
        changed[path.decode("utf-8", "surrogateescape")] = ("", "") if status == "D" else (mode, oid)
    return changed
