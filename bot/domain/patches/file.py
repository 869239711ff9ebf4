"""One file of a patch with its hunks."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from bot.domain.draft import BinaryChange, FileChange


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line: its sign (b" ", b"-" or b"+") and its text with the line end, if it has one."""

    sign: bytes
    text: bytes


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One hunk. Starts are line numbers as written; an empty side names the line before it."""

    old_start: int
    new_start: int
    lines: tuple[DiffLine, ...]

    def side(self, sign: bytes) -> list[bytes]:
        """Return the lines before (`-`) or after (`+`) the change."""
        return [line.text for line in self.lines if line.sign in {b" ", sign}]

    def count(self, sign: bytes) -> int:
        return sum(1 for line in self.lines if line.sign in {b" ", sign})

    @property
    def old_index(self) -> int:
        """Return where the hunk begins in the old file, counted from 0."""
        return self.old_start - 1 if self.count(b"-") else self.old_start

    @property
    def new_index(self) -> int:
        return self.new_start - 1 if self.count(b"+") else self.new_start

    @property
    def header(self) -> bytes:
        old, new = _range(self.old_start, self.count(b"-")), _range(self.new_start, self.count(b"+"))
        return f"@@ -{old} +{new} @@\n".encode()


def _range(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start},{count}"


@dataclass(frozen=True, kw_only=True)
class BinaryDiff:
    """Both whole sides of a binary file; b"" where there is no file. Its object ids have `id_length` digits."""

    old: bytes
    new: bytes
    id_length: int

    def describe(self) -> BinaryChange:
        content = self.new or self.old
        sha256 = hashlib.sha256(content).hexdigest()
        return BinaryChange(old_size=len(self.old), new_size=len(self.new), sha256=sha256)


@dataclass(frozen=True, kw_only=True)
class FileDiff:
    """One file's change, in hunks or whole. Modes are git's six digits, "" where the patch names none."""

    change: FileChange
    hunks: tuple[Hunk, ...] = ()
    old_mode: str = ""
    new_mode: str = ""
    binary: BinaryDiff | None = None

    @property
    def added(self) -> Iterator[bytes]:
        """Yield the added lines as they are, with their ends."""
        return (line.text for hunk in self.hunks for line in hunk.lines if line.sign == b"+")

    def texts(self, sign: bytes) -> list[str]:
        """Return the text of all lines of one sign, decoded for reading."""
        return [
            line.text.decode("utf-8", "replace").rstrip("\r\n")
            for hunk in self.hunks
            for line in hunk.lines
            if line.sign == sign
        ]
