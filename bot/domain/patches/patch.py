"""The one canonical form of a patch: parsed once, so that what is shown is what is hashed and applied.

`parse_patch` reads a git diff, or a unified diff as models write it, refuses whatever a reader could miss,
and renders bytes that depend on nothing but the change: files sorted, names unquoted and always `a/…` `b/…`,
no index lines but for binary files, no section text behind hunk headers. Parsing the rendered bytes gives the same
bytes again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bot.domain.draft import ChangeKind, FileChange, Patch
from bot.domain.patches.binary import render_binary
from bot.domain.patches.file import FileDiff, Hunk
from bot.domain.patches.names import covers_path, fold_name, list_folders, refuse, show
from bot.domain.patches.reader import PatchReader
from bot.domain.patches.sight import find_added_hidden, list_hidden

NO_NEWLINE: Final = b"\\ No newline at end of file\n"

HasAlready = Callable[[str, str], bool]
"""Says whether the base already holds a hidden character: (path, character) -> bool."""

Existing = tuple[str, int]
"""A hidden character that a file of the base holds: (path, code point)."""


def _nothing(_path: str, _character: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class PatchLimits:
    """The largest patch that is still read by a person: bytes, files, lines added and removed; and the folders, files
    or patterns in which it may hold what nobody can read."""

    bytes: int = 512 * 1024
    files: int = 100
    lines: int = 10_000
    binary_paths: tuple[str, ...] = ()

    def allows_binary(self, path: str) -> bool:
        return any(covers_path(pattern, path) for pattern in self.binary_paths)


def parse_patch(raw: bytes, limits: PatchLimits = PatchLimits(), *, allowed_existing: HasAlready = _nothing) -> Patch:
    """Return the canonical patch, or raise `Refused` (`Reason.HOSTILE_PATCH`) with the reason in plain words.

    Added lines may hold a hidden character where the patch shows that its file has it already, and where
    `allowed_existing` says so.
    """
    if len(raw) > limits.bytes:
        raise refuse(f"it has {len(raw):,} bytes; at most {limits.bytes:,} are allowed")
    reader = PatchReader(raw, room=limits.bytes, allows_binary=limits.allows_binary)
    diffs = sorted(reader.read_files(), key=lambda diff: diff.change.path.encode())
    if not diffs:
        raise refuse("it is empty")
    _check_size(diffs, limits)
    _check_collisions(diffs)
    for diff in diffs:
        _check_added_text(diff, allowed_existing)
    text = b"".join(map(render_file, diffs))
    if len(text) > limits.bytes:
        raise refuse(f"written out it has {len(text):,} bytes; at most {limits.bytes:,} are allowed")
    return Patch(text=text, files=tuple(diff.change for diff in diffs))


def read_patch(patch: Patch) -> tuple[FileDiff, ...]:
    """Return the files of a canonical patch with their hunks."""
    reader = PatchReader(patch.text, room=len(patch.text), allows_binary=lambda _path: True)
    return tuple(reader.read_files())


def render_file(diff: FileDiff) -> bytes:
    """Return one file's canonical text."""
    parts = [*_render_header(diff)]
    for hunk in diff.hunks:
        parts.append(hunk.header)
        parts.extend(_render_lines(hunk))
    return b"".join(parts)


def _render_header(diff: FileDiff) -> Iterator[bytes]:
    change = diff.change
    new, old = change.path.encode(), (change.old_path or change.path).encode()
    yield b"diff --git a/%b b/%b\n" % (old, new)
    if change.kind is ChangeKind.ADDED:
        yield b"new file mode %b\n" % diff.new_mode.encode()
    elif change.kind is ChangeKind.DELETED:
        yield b"deleted file mode %b\n" % diff.old_mode.encode()
    elif change.mode:
        yield b"old mode %b\nnew mode %b\n" % (diff.old_mode.encode(), diff.new_mode.encode())
    if change.kind is ChangeKind.RENAMED:
        yield b"rename from %b\nrename to %b\n" % (old, new)
    if diff.binary is not None:
        yield from render_binary(diff.binary, change.kind)
    if diff.hunks:
        yield b"--- /dev/null\n" if change.kind is ChangeKind.ADDED else b"--- a/%b\n" % old
        yield b"+++ /dev/null\n" if change.kind is ChangeKind.DELETED else b"+++ b/%b\n" % new


def _render_lines(hunk: Hunk) -> Iterator[bytes]:
    for line in hunk.lines:
        if line.text.endswith(b"\n"):
            yield line.sign + line.text
        else:
            yield line.sign + line.text + b"\n" + NO_NEWLINE


def _check_size(diffs: list[FileDiff], limits: PatchLimits) -> None:
    if len(diffs) > limits.files:
        raise refuse(f"it changes {len(diffs):,} files; at most {limits.files:,} are allowed")
    lines = sum(diff.change.added + diff.change.removed for diff in diffs)
    if lines > limits.lines:
        raise refuse(f"it changes {lines:,} lines; at most {limits.lines:,} are allowed")


def _names(change: FileChange) -> tuple[str, ...]:
    return (change.path, change.old_path) if change.old_path else (change.path,)


def _check_collisions(diffs: list[FileDiff]) -> None:
    """No name twice, not even in another spelling: two changes of one file could undo what the reader saw."""
    seen: set[str] = set()
    for diff in diffs:
        for folded, name in {fold_name(name): name for name in _names(diff.change)}.items():
            if folded in seen:
                raise refuse(f"it changes {show(name)} twice")
            seen.add(folded)
    _check_folders([diff.change for diff in diffs if diff.change.kind is not ChangeKind.DELETED])


def _check_folders(left: list[FileChange]) -> None:
    files = {fold_name(change.path) for change in left}
    folders: dict[str, str] = {}
    for change in left:
        is_new = change.kind is not ChangeKind.MODIFIED
        for folder in list_folders(change.path):
            folded = fold_name(folder)
            if folded in files:
                raise refuse(f"it has {show(folder)} as a file and as a folder")
            if is_new and folders.setdefault(folded, folder) != folder:
                raise refuse(f"it has a folder in two spellings: {show(folders[folded])} and {show(folder)}")


def _check_added_text(diff: FileDiff, has_already: HasAlready) -> None:
    """Refuse added lines that nobody can read, and hidden characters in them that the file does not hold already."""
    path = diff.change.path
    for line in diff.added:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise refuse(f"a line added to {show(path)} is not UTF-8 text") from error
    for hidden in find_added_hidden(diff):
        if not has_already(path, hidden.character):
            code = f"U+{ord(hidden.character):04X}"
            raise refuse(f"a line added to {show(path)} holds {hidden.kind} ({code}): {show(hidden.text)}")


def list_existing(patch: Patch) -> tuple[Existing, ...]:
    """Return what the base must hold: (path, code point) of hidden characters that added lines bring and the patch's
    other lines of that file do not show."""
    found = (
        (diff.change.path, ord(hidden.character)) for diff in read_patch(patch) for hidden in find_added_hidden(diff)
    )
    return tuple(dict.fromkeys(found))


def check_existing(diff: FileDiff, old: bytes) -> None:
    """Hold the hidden characters of added lines against the file that the patch is applied to. Raises `Refused`."""
    held = list_hidden(old) if any(find_added_hidden(diff)) else frozenset[str]()
    _check_added_text(diff, lambda _path, character: character in held)


def apply_hunks(diff: FileDiff, old: bytes) -> bytes:
    """Apply one file's hunks at exactly the lines they name, or a binary file to exactly the content it names; raise
    `Refused` where a line or the content differs."""
    if diff.binary is not None:
        if old != diff.binary.old:
            raise refuse(f"{show(diff.change.path)} has other bytes than the patch expects")
        return diff.binary.new
    lines = _split(old)
    result: list[bytes] = []
    position = 0
    for hunk in diff.hunks:
        before, after = hunk.side(b"-"), hunk.side(b"+")
        result += lines[position : hunk.old_index]
        if after and not before and result and not result[-1].endswith(b"\n"):
            raise refuse(f"{show(diff.change.path)} has no line end where the patch adds a line")
        position = hunk.old_index + len(before)
        if lines[hunk.old_index : position] != before:
            raise refuse(f"{show(diff.change.path)} has other text at line {hunk.old_start} than the patch expects")
        result += after
        if after and not after[-1].endswith(b"\n") and position < len(lines):
            raise refuse(f"{show(diff.change.path)} does not end where the patch says it does")
    return b"".join(result + lines[position:])


def _split(text: bytes) -> list[bytes]:
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
