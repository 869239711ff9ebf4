"""Following a line back through the diffs of a history. Diffs are read leniently: for ranking, never for applying."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


# Not `#include` and the like, nor a shebang.
_COMMENT = re.compile(r"\s*(#(\s|$)|//|/\*|\*\s|\*/|--\s|;;)")


# A comment behind code, by the end of a file's name. Not both marks for all: in Python `//` divides.
_BEHIND = (
    (re.compile(r"\.(?:py|rb|sh|toml|ya?ml|pl)$"), re.compile(r"\s#(?=\s)")),
    (re.compile(r"\.(?:c|cc|cpp|cs|go|h|java|m?js|jsx|kt|php|rs|scala|swift|tsx?)$"), re.compile(r"\s//(?=\s)")),
)


class Touch(IntEnum):
    """How close a change comes to a line: not at all, as its neighbour, on the line itself."""

    NONE = 0
    NEAR = 1
    CHANGED = 2


@dataclass(frozen=True, kw_only=True)
class LooseHunk:
    """One hunk. `lines` keep their leading " ", "+" or "-"; `heading` is what git prints after the second @@."""

    path: str
    old_path: str
    old_start: int
    new_start: int
    heading: str
    lines: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        return tuple(line[1:] for line in self.lines if line.startswith("+"))

    @property
    def removed(self) -> tuple[str, ...]:
        return tuple(line[1:] for line in self.lines if line.startswith("-"))

    @cached_property
    def is_cosmetic(self) -> bool:
        """Only white space and comments differ."""
        behind = next((mark for name, mark in _BEHIND if name.search(self.path)), None)
        return _squeeze(self.added, behind) == _squeeze(self.removed, behind)


def is_comment(text: str) -> bool:
    """Say whether a whole line is a comment."""
    return _COMMENT.match(text) is not None


def _squeeze(lines: Sequence[str], behind: re.Pattern[str] | None) -> str:
    return "".join("".join(_cut(line, behind).split()) for line in lines if not is_comment(line))


def _cut(line: str, behind: re.Pattern[str] | None) -> str:
    """Return a line without the comment behind its code; a mark inside of a text is none."""
    for found in behind.finditer(line) if behind else ():
        code = line[: found.start()]
        if not any(code.count(quote) % 2 for quote in "\"'`"):
            return code
    return line


def _path(text: str) -> str:
    name = text.split("\t", 1)[0].strip().strip('"')
    return "" if name == "/dev/null" else name.removeprefix("a/").removeprefix("b/")


def read_hunks(diff: str) -> tuple[LooseHunk, ...]:
    """Return the hunks of a diff in order. A cut tail or text that is no diff costs hunks, never an error."""
    hunks: list[LooseHunk] = []
    old_path = new_path = ""
    lines = iter(diff.split("\n"))
    for line in lines:
        if line.startswith("--- "):
            old_path = _path(line[4:])
        elif line.startswith("+++ "):
            new_path = _path(line[4:])
        elif match := _HEADER.match(line):
            old_start, old_length, new_start, new_length, heading = match.groups()
            body = tuple(_take_body(lines, int(old_length or 1), int(new_length or 1)))
            hunks.append(
                LooseHunk(
                    path=new_path or old_path,
                    old_path=old_path or new_path,
                    old_start=int(old_start),
                    new_start=int(new_start),
                    heading=heading,
                    lines=body,
                )
            )
    return tuple(hunks)


def read_renames(diff: str) -> tuple[tuple[str, str], ...]:
    """Return the files that a diff renames, (old, new), whether or not their content changed too."""
    found: list[tuple[str, str]] = []
    old = ""
    for line in diff.split("\n"):
        if line.startswith("rename from "):
            old = line.removeprefix("rename from ").strip('"')
        elif line.startswith("rename to ") and old:
            found.append((old, line.removeprefix("rename to ").strip('"')))
            old = ""
    return tuple(found)


def _take_body(lines: Iterator[str], old: int, new: int) -> Iterator[str]:
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            return
        if line.startswith("\\"):
            continue
        sign = line[:1] or " "
        old -= sign in " -"
        new -= sign in " +"
        yield line or " "


def trace_line(hunks: Sequence[LooseHunk], line: int) -> tuple[Touch, int]:
    """Follow a line of the new file back through one file's hunks: how it was touched, and its old number."""
    shift = 0
    for hunk in hunks:
        length = sum(not text.startswith("-") for text in hunk.lines)
        start = hunk.new_start if length else hunk.new_start + 1
        if line < start:
            break
        if line >= start + length:
            shift += sum(text.startswith("-") for text in hunk.lines) - sum(t.startswith("+") for t in hunk.lines)
            continue
        return _trace_inside(hunk, line)
    return Touch.NONE, line + shift


def _trace_inside(hunk: LooseHunk, line: int) -> tuple[Touch, int]:
    old, new = hunk.old_start, hunk.new_start
    for text in hunk.lines:
        if text.startswith("-"):
            old += 1
            continue
        if new == line:
            if hunk.is_cosmetic:
                return Touch.NONE, hunk.old_start + (line - hunk.new_start)
            return (Touch.CHANGED if text.startswith("+") else Touch.NEAR), old
        new += 1
        old += not text.startswith("+")
    return Touch.NONE, old
