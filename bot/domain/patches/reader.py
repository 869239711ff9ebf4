"""Reads git diffs and plain unified diffs, strictly: every byte is accounted for or the patch is refused."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from bot.domain.draft import ChangeKind, FileChange
from bot.domain.patches.binary import GIT_BINARY, check_binary, read_half
from bot.domain.patches.file import BinaryDiff, DiffLine, FileDiff, Hunk
from bot.domain.patches.names import check_path, refuse, show, take_name

_HUNK: Final = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?", re.DOTALL)
_INDEX: Final = re.compile(rb"[0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: ([0-7]{6}))?")
_PERCENT: Final = re.compile(rb"\d{1,3}%")
_NO_NEWLINE: Final = b"\\ No newline at end of file"
_DEV_NULL: Final = b"/dev/null"
_MODES: Final = {b"100644": "100644", b"100755": "100755"}
_ODD_MODES: Final = {
    b"120000": "a symbolic link",
    b"160000": "a submodule",
    b"040000": "a folder as a file",
}
_HEADERS: Final = (
    b"old mode ",
    b"new mode ",
    b"new file mode ",
    b"deleted file mode ",
    b"rename from ",
    b"rename to ",
    b"similarity index ",
    b"dissimilarity index ",
    b"index ",
    b"copy from ",
    b"copy to ",
)
_NO_BYTES: Final = b"Binary files "


@dataclass
class _Header:
    """What the lines above the first hunk say."""

    git_line: bytes | None = None
    fields: dict[bytes, bytes] = field(default_factory=dict)
    old_line: bytes | None = None
    new_line: bytes | None = None


class PatchReader:
    """Reads one patch from its first byte to its last: at most `room` bytes of binary files, and only in paths that
    `allows_binary`."""

    def __init__(self, raw: bytes, *, room: int, allows_binary: Callable[[str], bool]) -> None:
        if b"\x00" in raw:
            raise refuse("it holds a NUL byte")
        self._lines = raw.split(b"\n")
        if not self._lines[-1]:
            self._lines.pop()
        self._end = max((number for number, line in enumerate(self._lines, 1) if line), default=0)
        self._at = 0
        self._room = room
        self._allows_binary = allows_binary

    def read_files(self) -> Iterator[FileDiff]:
        """Yield each file in the order of the text."""
        is_git: bool | None = None
        while self._at < self._end:
            line = self._lines[self._at]
            starts_git = line.startswith(b"diff --git ")
            if not starts_git and not line.startswith(b"--- "):
                raise refuse(f"line {self._at + 1} belongs to no file: {show(line)}")
            if is_git is not None and starts_git != is_git:
                raise refuse(f"line {self._at + 1} begins a second file inside another: {show(line)}")
            is_git = starts_git
            header = self._read_header()
            if header.git_line is not None and self._peek() == GIT_BINARY:
                yield self._read_binary(header)
            else:
                yield _build(header, tuple(self._read_hunks()))

    def _peek(self) -> bytes | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _read_header(self) -> _Header:
        header = _Header()
        if self._lines[self._at].startswith(b"diff --git "):
            header.git_line = self._lines[self._at].removeprefix(b"diff --git ")
            self._at += 1
            self._read_fields(header)
        line = self._peek()
        if line is not None and line.startswith(b"--- "):
            header.old_line = line[4:]
            self._at += 1
            line = self._peek()
            if line is None or not line.startswith(b"+++ "):
                raise refuse(f"line {self._at + 1}: '---' without '+++'")
            header.new_line = line[4:]
            self._at += 1
        return header

    def _read_fields(self, header: _Header) -> None:
        while (line := self._peek()) is not None:
            if line.startswith(_NO_BYTES):
                raise refuse(f"it changes a binary file without its bytes: {show(header.git_line or b'')}")
            name = next((name for name in _HEADERS if line.startswith(name)), None)
            if name is None:
                return
            if name.startswith(b"copy"):
                raise refuse(f"it copies a file: {show(line)}")
            if name in header.fields:
                raise refuse(f"a header line stands twice: {show(line)}")
            header.fields[name] = line[len(name) :]
            self._at += 1

    def _read_binary(self, header: _Header) -> FileDiff:
        old_name, new_name, kind = _read_names(header)
        path = new_name or old_name or ""
        if header.old_line is not None:
            raise refuse(f"{show(path)} is a binary file with '---' and '+++'")
        for name in {old_name, new_name}:
            if name is not None and not self._allows_binary(name):
                raise refuse(
                    f"it changes a binary file: {show(name)}; nobody can read it, and binary_paths of the service "
                    "does not name it"
                )
        self._at += 1
        new, old = self._read_half(), self._read_half()
        binary = check_binary(path, kind, header.fields.get(b"index ", b""), old=old, new=new)
        return _build(header, (), binary)

    def _read_half(self) -> bytes:
        content, self._at = read_half(self._lines, self._at, self._room)
        self._room -= len(content)
        return content

    def _read_hunks(self) -> Iterator[Hunk]:
        while (line := self._peek()) is not None and line.startswith(b"@@"):
            match = _HUNK.fullmatch(line)
            if match is None:
                raise refuse(f"line {self._at + 1} is no hunk header: {show(line)}")
            self._at += 1
            old, new = int(match[2] or 1), int(match[4] or 1)
            yield self._read_hunk(int(match[1]), int(match[3]), old, new)

    def _read_hunk(self, old_start: int, new_start: int, old: int, new: int) -> Hunk:
        first, lines = self._at, list[DiffLine]()
        while old > 0 or new > 0:
            line = self._peek()
            # An empty context line often loses its one space on the way through an editor.
            sign, text = (line[:1], line[1:]) if line else (b" ", b"")
            if line is None or sign not in {b" ", b"-", b"+"}:
                raise refuse(f"line {self._at + 1}: the hunk has fewer lines than its header says")
            old -= sign != b"+"
            new -= sign != b"-"
            if old < 0 or new < 0:
                raise refuse(f"line {self._at + 1}: the hunk has other lines than its header says")
            self._at += 1
            lines.append(DiffLine(sign, text + self._line_end(sign, old, new)))
        if not any(line.sign != b" " for line in lines):
            raise refuse(f"line {first + 1}: a hunk changes nothing")
        following = self._peek()
        if following is not None and following[:1] in {b" ", b"+"}:
            raise refuse(f"line {self._at + 1}: the hunk has more lines than its header says")
        return Hunk(old_start=old_start, new_start=new_start, lines=tuple(lines))

    def _line_end(self, sign: bytes, old: int, new: int) -> bytes:
        """A missing line end may only stand behind the last line of its side: elsewhere it would join two lines."""
        if self._peek() != _NO_NEWLINE:
            return b"\n"
        if (sign != b"+" and old) or (sign != b"-" and new):
            raise refuse(f"line {self._at + 1}: 'No newline at end of file' stands before the end")
        self._at += 1
        return b""


def _build(header: _Header, hunks: tuple[Hunk, ...], binary: BinaryDiff | None = None) -> FileDiff:
    old, new, kind = _read_names(header)
    old_mode, new_mode = _read_modes(header, kind)
    path = new or old
    assert path is not None
    if hunks and header.old_line is None:
        raise refuse(f"{show(path)} has hunks without '---' and '+++'")
    _check_hunks(path, kind, hunks)
    mode = f"{old_mode[3:]}→{new_mode[3:]}" if kind in {ChangeKind.MODIFIED, ChangeKind.RENAMED} and old_mode else ""
    if kind is ChangeKind.MODIFIED and not hunks and not mode and binary is None:
        raise refuse(f"it names {show(path)} but changes nothing in it")
    signs = [line.sign for hunk in hunks for line in hunk.lines]
    change = FileChange(
        path=path,
        kind=kind,
        added=signs.count(b"+"),
        removed=signs.count(b"-"),
        old_path=(old or "") if kind is ChangeKind.RENAMED else "",
        mode=mode,
        binary=binary.describe() if binary else None,
    )
    return FileDiff(change=change, hunks=hunks, old_mode=old_mode, new_mode=new_mode, binary=binary)


def _read_names(header: _Header) -> tuple[str | None, str | None, ChangeKind]:
    """Return (old, new, kind); all places that name the file must agree."""
    if header.git_line is None:
        return _plain_names(header.old_line or b"", header.new_line or b"")
    fields = header.fields
    if b"rename from " in fields or b"rename to " in fields:
        old, new = _renamed(fields)
        kind = ChangeKind.RENAMED
    else:
        old = new = _same_name(header.git_line)
        kind = ChangeKind.MODIFIED
        if b"new file mode " in fields:
            kind = ChangeKind.ADDED
        elif b"deleted file mode " in fields:
            kind = ChangeKind.DELETED
    if not _agrees(header.git_line, b"a/" + old, b"b/" + new):
        raise refuse(f"the header names disagree: {show(header.git_line)}")
    if header.old_line is not None:
        wanted_old = _DEV_NULL if kind is ChangeKind.ADDED else b"a/" + old
        wanted_new = _DEV_NULL if kind is ChangeKind.DELETED else b"b/" + new
        if _file_name(header.old_line) != wanted_old or _file_name(header.new_line or b"") != wanted_new:
            raise refuse(f"the header names disagree with '---' and '+++': {show(header.git_line)}")
    return check_path(old), check_path(new), kind


def _renamed(fields: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    if b"rename from " not in fields or b"rename to " not in fields:
        raise refuse("a rename names only one file")
    if b"new file mode " in fields or b"deleted file mode " in fields:
        raise refuse("a file is renamed and added or deleted at once")
    old, new = _whole_name(fields[b"rename from "]), _whole_name(fields[b"rename to "])
    if old == new:
        raise refuse(f"{show(old)} is renamed to itself")
    return old, new


def _whole_name(text: bytes) -> bytes:
    name, rest = take_name(text)
    if rest:
        raise refuse(f"text behind a file name: {show(text)}")
    return name


def _same_name(git_line: bytes) -> bytes:
    """Return the name in `a/NAME b/NAME`; NAME may hold spaces, so its length decides."""
    if git_line.startswith(b'"'):
        old, _ = take_name(git_line)
        return old[2:]
    return git_line[2 : 2 + max(0, (len(git_line) - 5) // 2)]


def _agrees(git_line: bytes, old: bytes, new: bytes) -> bool:
    if git_line == old + b" " + new:
        return True
    if b'"' not in git_line:
        return False
    if git_line.startswith(b'"'):
        first, rest = take_name(git_line)
    else:
        first, rest = old, git_line.removeprefix(old)
    second = rest.removeprefix(b" ")
    return first == old and rest.startswith(b" ") and _whole_name(second) == new


def _file_name(text: bytes) -> bytes:
    """Return the name of a '---' or '+++' line; what follows a tab is a time and is dropped."""
    return take_name(text)[0]


def _plain_names(old_line: bytes, new_line: bytes) -> tuple[str | None, str | None, ChangeKind]:
    old, new = _file_name(old_line), _file_name(new_line)
    if old == _DEV_NULL and new == _DEV_NULL:
        raise refuse("it names no file")
    if old == _DEV_NULL:
        return None, check_path(new.removeprefix(b"b/")), ChangeKind.ADDED
    if new == _DEV_NULL:
        return check_path(old.removeprefix(b"a/")), None, ChangeKind.DELETED
    if old.startswith(b"a/") and new.startswith(b"b/"):
        old, new = old[2:], new[2:]
    elif old.startswith((b"a/", b"b/")):
        raise refuse(f"'---' and '+++' must begin with a/ and b/: {show(old)}")
    if old != new:
        raise refuse(f"'---' and '+++' name different files: {show(old)} and {show(new)}")
    return check_path(old), check_path(new), ChangeKind.MODIFIED


def _read_mode(text: bytes) -> str:
    mode = _MODES.get(text)
    if mode is None:
        raise refuse(f"it makes {_ODD_MODES.get(text, 'a file of mode ' + show(text))}; only 644 and 755 are allowed")
    return mode


def _read_modes(header: _Header, kind: ChangeKind) -> tuple[str, str]:
    fields = header.fields
    _check_noise(fields)
    added, deleted = fields.get(b"new file mode "), fields.get(b"deleted file mode ")
    old, new = fields.get(b"old mode "), fields.get(b"new mode ")
    if added is not None and deleted is not None:
        raise refuse("a file is added and deleted at once")
    if (old is None) != (new is None) or (old is not None and (added is not None or deleted is not None)):
        raise refuse("the mode lines disagree")
    if kind is ChangeKind.ADDED:
        return "", _read_mode(b"100644" if added is None else added)
    if kind is ChangeKind.DELETED:
        return _read_mode(b"100644" if deleted is None else deleted), ""
    if old is None or new is None:
        return "", ""
    modes = _read_mode(old), _read_mode(new)
    if modes[0] == modes[1]:
        raise refuse("a mode change changes nothing")
    return modes


def _check_noise(fields: dict[bytes, bytes]) -> None:
    """Lines that the canonical form leaves out must still be what they seem to be."""
    for name in (b"similarity index ", b"dissimilarity index "):
        if name in fields and not _PERCENT.fullmatch(fields[name]):
            raise refuse(f"stray text in a header: {show(name + fields[name])}")
    if b"index " in fields:
        match = _INDEX.fullmatch(fields[b"index "])
        if match is None:
            raise refuse(f"stray text in a header: {show(fields[b'index '])}")
        if match[1] is not None:
            _read_mode(match[1])


def _check_hunks(path: str, kind: ChangeKind, hunks: tuple[Hunk, ...]) -> None:
    end = shift = 0
    for number, hunk in enumerate(hunks):
        if hunk.old_index < end or hunk.old_index < 0:
            raise refuse(f"the hunks of {show(path)} overlap or are out of order")
        if hunk.new_index != hunk.old_index + shift:
            raise refuse(f"the line numbers of {show(path)} do not add up at line {hunk.old_start}")
        is_last = number == len(hunks) - 1
        if not is_last and any(not line.text.endswith(b"\n") for line in hunk.lines):
            raise refuse(f"{show(path)}: 'No newline at end of file' stands before the end")
        end = hunk.old_index + hunk.count(b"-")
        shift += hunk.count(b"+") - hunk.count(b"-")
    if kind in {ChangeKind.ADDED, ChangeKind.DELETED}:
        _check_whole(path, kind, hunks)


def _check_whole(path: str, kind: ChangeKind, hunks: tuple[Hunk, ...]) -> None:
    """A file that is added or deleted has one hunk that is all of it, or none when it is empty."""
    sign = b"-" if kind is ChangeKind.ADDED else b"+"
    if len(hunks) > 1 or any(hunk.count(sign) or hunk.old_index for hunk in hunks):
        raise refuse(f"{show(path)} is {kind.value}, but its hunks show another text")
