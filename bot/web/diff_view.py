"""A patch laid out for reading: files, hunks and lines with both sides' numbers, colours, and what changed in a line.

It shows what `read_patch` reads from the canonical bytes and nothing else. A huge patch is shown in part, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from bot.domain.draft import ChangeKind, FileChange, Patch
from bot.domain.patches.file import DiffLine, FileDiff, Hunk
from bot.domain.patches.patch import read_patch
from bot.web.syntax import MOST_TOKENS, Token, colour_lines
from bot.web.views import reveal, reveal_html
from bot.web.word_diff import Budget, Span, find_changes

_MAX_LINES: Final = 3_000
_MAX_CHARACTERS: Final = 300_000
_FEW_LINES: Final = 600
_MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a line: its text, its colour's class, and whether it is what changed."""

    text: str
    colour: str
    changed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of one side. `old` and `new` are its line numbers, None on the side that lacks it."""

    sign: str
    old: int | None
    new: int | None
    pieces: tuple[Piece, ...]
    ends: bool = True

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Lines that stand side by side: removed ones with added ones, or context with itself (`new` is then empty)."""

    old: tuple[Line, ...]
    new: tuple[Line, ...]
    is_context: bool


@dataclass(frozen=True, kw_only=True)
class HunkView:
    header: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class FileView:
    """One file. `left_out` counts the lines of it that are not shown."""

    change: FileChange
    about: tuple[str, ...]
    hunks: tuple[HunkView, ...]
    left_out: int = 0

    @property
    def digits(self) -> int:
        """Return how many digits its longest line number has, at least 3."""
        ends = [
            max(line.old or 0, line.new or 0)
            for hunk in self.hunks
            for run in hunk.runs
            for line in (*run.old, *run.new)
        ]
        return max(3, len(str(max(ends, default=0))))

    @property
    def has_both_sides(self) -> bool:
        """Return whether there is anything to put side by side."""
        return self.change.kind not in {ChangeKind.ADDED, ChangeKind.DELETED}


@dataclass(frozen=True, kw_only=True)
class PatchView:
    files: tuple[FileView, ...]

    @property
    def left_out(self) -> int:
        return sum(file.left_out for file in self.files)

    @property
    def is_short(self) -> bool:
        """Return whether every file is shown unfolded."""
        lines = sum(len(run.old) + len(run.new) for file in self.files for hunk in file.hunks for run in hunk.runs)
        return lines <= _FEW_LINES


def view_patch(patch: Patch) -> PatchView:
    """Lay out a canonical patch. Raises `Refused` where its bytes are not one."""
    room = _Room()
    return PatchView(files=tuple(_view_file(diff, room) for diff in read_patch(patch)))


def show_line(line: Line) -> Markup:
    """Return a line's text as HTML: every piece escaped, then coloured."""
    changed = Markup("<ins>{}</ins>") if line.sign == "+" else Markup("<del>{}</del>")
    shown = Markup()
    for piece in line.pieces:
        text = reveal_html(piece.text)
        text = Markup('<span class="s-{}">{}</span>').format(piece.colour, text) if piece.colour else text
        shown += changed.format(text) if piece.changed else text
    return shown


class _Room:
    """How much may still be shown. Once a line did not fit, no later one is taken: a gap would mislead."""

    def __init__(self) -> None:
        self._lines = _MAX_LINES
        self._characters = _MAX_CHARACTERS
        self._tokens = MOST_TOKENS
        self.words = Budget()

    def colour(self, path: str, lines: Sequence[DiffLine]) -> Iterator[tuple[Token, ...]]:
        """Return the lines of one side as coloured tokens, as far as there is room for colours."""
        coloured = colour_lines(path, [_decode(line) for line in lines], self._tokens)
        self._tokens = max(0, self._tokens - sum(map(len, coloured)))
        return iter(coloured)

    def take(self, lines: Sequence[DiffLine]) -> Sequence[DiffLine]:
        """Return as many of the lines as fit, from the first."""
        for count, line in enumerate(lines):
            self._lines -= 1
            self._characters -= len(reveal(_decode(line)))
            if self._lines < 0 or self._characters < 0:
                self._lines = 0
                return lines[:count]
        return lines


def _view_file(diff: FileDiff, room: _Room) -> FileView:
    hunks: list[HunkView] = []
    left_out = 0
    for hunk in diff.hunks:
        shown = room.take(hunk.lines)
        left_out += len(hunk.lines) - len(shown)
        if shown:
            header = hunk.header.decode().rstrip("\n")
            runs = tuple(_view_runs(diff.change.path, hunk, shown, room))
            hunks.append(HunkView(header=header, runs=runs))
    about = tuple(_say_about(diff.change))
    return FileView(change=diff.change, about=about, hunks=tuple(hunks), left_out=left_out)


def _say_about(change: FileChange) -> Iterator[str]:
    words = {ChangeKind.ADDED: "new file", ChangeKind.DELETED: "deleted", ChangeKind.RENAMED: f"was {change.old_path}"}
    if change.kind in words:
        yield words[change.kind]
    if change.mode:
        yield f"mode {change.mode}"
    if change.binary is not None:
        yield str(change.binary)


def _view_runs(path: str, hunk: Hunk, shown: Sequence[DiffLine], room: _Room) -> Iterator[Run]:
    """Yield the runs in the order of the bytes: an added line before a removed one ends a run."""
    old_tokens = room.colour(path, [line for line in shown if line.sign != b"+"])
    new_tokens = room.colour(path, [line for line in shown if line.sign != b"-"])
    old_at, new_at = hunk.old_index + 1, hunk.new_index + 1
    for part in _split(shown):
        old: list[_Draft] = []
        new: list[_Draft] = []
        for line in part:
            if line.sign == b" ":
                next(old_tokens)
                old.append(_Draft(line, next(new_tokens), old_at, new_at))
            elif line.sign == b"-":
                old.append(_Draft(line, next(old_tokens), old_at, None))
            else:
                new.append(_Draft(line, next(new_tokens), None, new_at))
            old_at += line.sign != b"+"
            new_at += line.sign != b"-"
        yield _finish(old, new, room.words)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A line before it is known what changed in it."""

    line: DiffLine
    tokens: tuple[Token, ...]
    old: int | None
    new: int | None

    def finish(self, changed: Sequence[Span]) -> Line:
        signs = {b" ": " ", b"-": _MINUS, b"+": "+"}
        return Line(
            sign=signs[self.line.sign],
            old=self.old,
            new=self.new,
            pieces=tuple(_cut(self.tokens, changed)),
            ends=self.line.text.endswith(b"\n"),
        )


def _split(lines: Sequence[DiffLine]) -> Iterator[list[DiffLine]]:
    """Yield context, and removed lines with the added ones that follow them."""
    part: list[DiffLine] = []
    for line in lines:
        if part and part[-1].sign != line.sign and (part[-1].sign, line.sign) != (b"-", b"+"):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _finish(old: list[_Draft], new: list[_Draft], words: Budget) -> Run:
    marks = [
        find_changes(_decode(before.line), _decode(after.line), words) for before, after in zip(old, new, strict=False)
    ]
    none: tuple[Span, ...] = ()
    return Run(
        old=tuple(draft.finish(marks[at][0] if at < len(marks) else none) for at, draft in enumerate(old)),
        new=tuple(draft.finish(marks[at][1] if at < len(marks) else none) for at, draft in enumerate(new)),
        is_context=bool(old) and old[0].new is not None,
    )


def _cut(tokens: Sequence[Token], changed: Sequence[Span]) -> Iterator[Piece]:
    """Cut coloured tokens at the borders of what changed."""
    borders = sorted({border for span in changed for border in span})
    start = 0
    for token in tokens:
        end = start + len(token.text)
        inside = [start, *(border for border in borders if start < border < end), end]
        for left, right in pairwise(inside):
            if left < right:
                is_changed = any(first <= left < last for first, last in changed)
                yield Piece(token.text[left - start : right - start], token.colour.value, is_changed)
        start = end


def _decode(line: DiffLine) -> str:
    """Return a line's text without its end; bytes that are no UTF-8 are shown as escapes, like other hidden ones."""
    return line.text.removesuffix(b"\n").decode("utf-8", "surrogateescape")
