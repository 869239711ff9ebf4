"""Drafts reverts: the whole commit where it still applies, else those of its hunks that do; never conflict markers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from bot.domain.draft import ChangeKind, Patch
from bot.domain.patches.file import FileDiff, Hunk
from bot.domain.patches.names import show
from bot.domain.patches.patch import PatchLimits, check_existing, list_existing, parse_patch, read_patch, render_file
from bot.domain.patches.sight import find_added_hidden
from bot.errors import Refused
from bot.ports.workspace import RevertDraft
from connectors.workspaces.git_binary import show_binaries
from connectors.workspaces.git_commands import EMPTY_TREE, Repo
from connectors.workspaces.git_tree import diff_trees, read_old, temporary_index

_UNMOVED: Final[Mapping[bytes, bytes]] = MappingProxyType({})
_CONTEXTS: Final = ((), ("-C1",))
#: Changes with so many unchanged lines between them may go back one without the other.
_APART: Final = 3
_FILE_START: Final = re.compile(rb"^diff --git ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One file of the reverse diff: git's own text for three-way merging, and its parsed form for single hunks."""

    raw: bytes
    diff: FileDiff


async def draft_revert(
    repo: Repo, culprit: str, base: str, *, limits: PatchLimits, is_finer: bool
) -> RevertDraft | None:
    """Return the change that takes `culprit` (a merge: its first-parent side) back on `base`, None if nothing does.

    `limits` are those of each of its files; with `is_finer` hunks that do not fit are cut apart.
    """
    parents = (await repo.run("rev-list", "--parents", "-n1", culprit)).text.split()[1:]
    reverse = await diff_trees(repo, culprit, parents[0] if parents else EMPTY_TREE)
    reverse = await show_binaries(repo, reverse, limits.bytes)
    renames = await _read_renames(repo, culprit, base)
    pieces, left_out = _split(reverse, limits, renames)
    if not pieces:
        return None
    async with temporary_index(repo, base) as env:
        is_clean = await _apply(repo, env, b"".join(piece.raw for piece in pieces))
        if not is_clean:
            await repo.run("read-tree", base, env=env)
            for piece in pieces:
                left_out += await _apply_piece(repo, env, piece, is_finer=is_finer)
        tree = (await repo.run("write-tree", env=env)).text
    change = await show_binaries(repo, await diff_trees(repo, base, tree), limits.bytes)
    kept, unfit = _split(change, limits)
    existing, unseen = await _find_existing(repo, base, [piece.diff for piece in kept])
    diffs = sorted(existing, key=lambda diff: diff.change.path.encode())
    if not diffs:
        return None
    text = b"".join(map(render_file, diffs))
    patch = Patch(text=text, files=tuple(diff.change for diff in diffs))
    partial = tuple(dict.fromkeys(left_out + unfit + unseen))
    return RevertDraft(diff=text, partial=partial, existing=list_existing(patch), is_clean=is_clean)


async def _find_existing(repo: Repo, base: str, diffs: Sequence[FileDiff]) -> tuple[list[FileDiff], list[str]]:
    """Leave out files whose added lines hide something that the file in `base` does not hold already."""
    hiding = [diff for diff in diffs if any(find_added_hidden(diff))]
    there = await read_old(repo, base, [diff.change.old_path or diff.change.path for diff in hiding]) if hiding else {}
    kept, left_out = [diff for diff in diffs if diff not in hiding], list[str]()
    for diff in hiding:
        known = there.get(diff.change.old_path or diff.change.path)
        try:
            check_existing(diff, known[1] if known else b"")
        except Refused as error:
            left_out.append(_say_left_out(show(diff.change.path), error))
        else:
            kept.append(diff)
    return kept, left_out


def _say_left_out(name: str, refusal: Refused) -> str:
    return f"{name}: {str(refusal).removeprefix('This patch is refused: ')}"


async def _read_renames(repo: Repo, culprit: str, base: str) -> dict[bytes, bytes]:
    """Return where files of the culprit stand at the base under another name."""
    listed = await repo.run("diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status", culprit, base)
    fields = listed.out.split(b"\0")
    return dict(zip(fields[1::3], fields[2::3], strict=False))


def _follow_rename(raw: bytes, renames: Mapping[bytes, bytes]) -> bytes:
    """Return one file's diff under the name that the file has now."""
    head, mark, body = raw.partition(b"\n@@")
    for old, new in renames.items():
        names = (b"diff --git a/%s b/%s" % (old, old), b"--- a/%s" % old, b"+++ b/%s" % old)
        lines = head.split(b"\n")
        if lines[0] == names[0]:
            now = dict(
                zip(names, (b"diff --git a/%s b/%s" % (new, new), b"--- a/%s" % new, b"+++ b/%s" % new), strict=True)
            )
            return b"\n".join(now.get(line, line) for line in lines) + mark + body
    return raw


def _split(
    diff: bytes, limits: PatchLimits, renames: Mapping[bytes, bytes] = _UNMOVED
) -> tuple[list[_Piece], list[str]]:
    """Cut git's diff into files; those that no patch may hold are named instead.

    In git's output only a header begins with "diff --git": every line of content has its sign before it.
    """
    pieces, left_out = list[_Piece](), list[str]()
    starts = [match.start() for match in _FILE_START.finditer(diff)]
    for start, end in zip(starts, [*starts[1:], len(diff)], strict=False):
        raw = _follow_rename(diff[start:end], renames)
        try:
            parsed = parse_patch(raw, limits, allowed_existing=lambda _path, _character: True)
        except Refused as error:
            name = show(raw.partition(b"\n")[0].removeprefix(b"diff --git "))
            left_out.append(_say_left_out(name, error))
            continue
        pieces.append(_Piece(raw=raw, diff=read_patch(parsed)[0]))
    return pieces, left_out


async def _apply_hunk(repo: Repo, env: dict[str, str], single: FileDiff) -> bool:
    """Apply one hunk where its own lines still stand: whole, with fewer lines around it, then change by change."""
    for context in _CONTEXTS:
        if await _apply(repo, env, render_file(single), how=context):
            return True
    before = (await repo.run("write-tree", env=env)).text
    for block in reversed(_split_changes(single.hunks[0])):
        bare = ("-C0",) if any(line.sign == b"-" for line in block.lines) else ("-C1",)
        if not await _apply(repo, env, render_file(replace(single, hunks=(block,))), how=bare):
            await repo.run("read-tree", before, env=env)
            return False
    return True


def _split_changes(hunk: Hunk) -> list[Hunk]:
    """Return a hunk's changes one by one, each with one line around it at most."""
    return _cut(hunk, gap=1, around=1)


def _cut(hunk: Hunk, *, gap: int, around: int) -> list[Hunk]:
    """Cut a hunk where at least `gap` unchanged lines lie between two changes; `around` of them stay with each."""
    lines = hunk.lines
    changed = [number for number, line in enumerate(lines) if line.sign != b" "]
    starts = [each for before, each in pairwise([-gap - 1, *changed]) if each - before > gap]
    ends = [before + 1 for before, each in pairwise([*changed, len(lines) + gap]) if each - before > gap]
    found = []
    for start, end in zip(starts, ends, strict=True):
        first, last = max(0, start - around), min(len(lines), end + around)
        old, new = (sum(line.sign in {b" ", sign} for line in lines[:first]) for sign in (b"-", b"+"))
        found.append(Hunk(old_start=hunk.old_start + old, new_start=hunk.new_start + new, lines=lines[first:last]))
    return found


async def _apply(repo: Repo, env: dict[str, str], patch: bytes, *, how: tuple[str, ...] = ("--3way",)) -> bool:
    """Apply to the index all or nothing; a merge that leaves conflicts counts as nothing."""
    before = (await repo.run("write-tree", env=env)).text
    applied = await repo.call("apply", "--cached", "--whitespace=nowarn", *how, "-", stdin=patch, env=env, ok=(0, 1))
    if applied.code == 0:
        return True
    await repo.run("read-tree", before, env=env)
    return False


async def _apply_piece(repo: Repo, env: dict[str, str], piece: _Piece, *, is_finer: bool) -> list[str]:
    """Apply one file, or those of its hunks that still fit; return what was left out, in words."""
    if await _apply(repo, env, piece.raw):
        return []
    change = piece.diff.change
    if change.kind is not ChangeKind.MODIFIED or change.binary is not None:
        return [f"{change.path}: it was changed again since"]
    hunks, left_out = list(reversed(piece.diff.hunks)), []
    while hunks:
        hunk = hunks.pop()
        if await _apply_hunk(repo, env, _hold_one(piece.diff, hunk)):
            continue
        parts = _cut(hunk, gap=_APART, around=_APART) if is_finer else []
        if len(parts) > 1:
            hunks += reversed(parts)
            continue
        last = hunk.old_start + max(0, hunk.count(b"-") - 1)
        left_out.append(f"{change.path}: lines {hunk.old_start}–{last} were changed again since")
    return left_out


def _hold_one(diff: FileDiff, hunk: Hunk) -> FileDiff:
    return replace(diff, hunks=(hunk,), old_mode="", new_mode="", change=replace(diff.change, mode=""))
