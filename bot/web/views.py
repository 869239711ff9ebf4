"""What the pages show, computed from domain values: text made safe to see, diffs, ages, messages. Pure."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from bot.domain.chat import SVG, Block, Code, File, Message, Tone
from bot.ports.board import BoardMessage

_UNUSUAL: Final = re.compile(r"[^\n\t\x20-\x7e]")
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
# Letters and symbols by category, yet nothing is seen of them.
_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_HUNK: Final = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_FEW_LINES: Final = 400


def reveal(text: str) -> str:
    """Return text in which every character that cannot be seen, or moves others, is written as its escape."""
    return _UNUSUAL.sub(lambda match: _escape_of(match[0]) if _is_hidden(match[0]) else match[0], text)


def reveal_html(text: str) -> Markup:
    """Return `reveal(text)` as HTML: markup stays text, and each escape stands out."""

    def show(match: re.Match[str]) -> str:
        character = match[0]
        if not _is_hidden(character):
            return character
        name = unicodedata.name(character, "control character")
        code = f"U+{ord(character):04X}"
        return f'<span class="hidden-char" title="{code} {escape(name)}">{_escape_of(character)}</span>'

    # `show` returns a harmless character or a span of fixed shape; everything else was escaped before.
    return Markup(_UNUSUAL.sub(show, str(escape(text))))  # noqa: S704 - escaped on this line


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN_CATEGORIES or character in _BLANKS


def _escape_of(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe_url(url: str) -> str | None:
    """Return a URL that a page may link to (http or https, with a host, in visible ASCII), else None."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def host_of(url: str) -> str:
    """Return the host that a link leads to, which is shown beside its label."""
    return urlsplit(url).hostname or ""


def age(since: datetime, now: datetime) -> str:
    """Return how long ago in the two largest units that matter: "45 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    seconds = max(0, int((now - since).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24} h"


class LineKind(StrEnum):
    """How one line of a diff is shown."""

    ADDED = "added"
    REMOVED = "removed"
    CONTEXT = "context"
    HUNK = "hunk"
    META = "meta"


@dataclass(frozen=True, kw_only=True)
class DiffLine:
    kind: LineKind
    text: str


@dataclass(frozen=True, kw_only=True)
class DiffFile:
    """One file's part of a diff. `path` is "" where the text names no file."""

    path: str
    change: str
    lines: tuple[DiffLine, ...]

    @property
    def added(self) -> int:
        return sum(line.kind is LineKind.ADDED for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind is LineKind.REMOVED for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class DiffView:
    """A diff by files. Together their lines are the whole text: a line is never left out."""

    files: tuple[DiffFile, ...]

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)

    @property
    def is_short(self) -> bool:
        """Return whether it is shown unfolded."""
        return sum(len(file.lines) for file in self.files) <= _FEW_LINES


class _DiffReader:
    """Sorts lines into files and kinds. Inside a hunk its header's counts decide: no line can pose as another kind."""

    def __init__(self) -> None:
        self._files: list[list[DiffLine]] = []
        self._old_left = 0
        self._new_left = 0
        self._in_header = False

    def read(self, text: str) -> DiffView:
        lines = text.split("\n")
        for line in lines[:-1] if not lines[-1] else lines:
            kind = self._in_hunk(line) if self._old_left > 0 or self._new_left > 0 else self._outside(line)
            if not self._files:
                self._files.append([])
            self._files[-1].append(DiffLine(kind=kind, text=line))
        return DiffView(files=tuple(_file_of(tuple(part)) for part in self._files))

    def _in_hunk(self, line: str) -> LineKind:
        kind = _kind_by_sign(line)
        if kind in {LineKind.REMOVED, LineKind.CONTEXT}:
            self._old_left -= 1
        if kind in {LineKind.ADDED, LineKind.CONTEXT}:
            self._new_left -= 1
        return kind

    def _outside(self, line: str) -> LineKind:
        hunk = _HUNK.match(line)
        if hunk is not None:
            self._old_left, self._new_left = int(hunk[1] or "1"), int(hunk[2] or "1")
            self._in_header = False
            return LineKind.HUNK
        starts_file = line.startswith("diff --git ") or (line.startswith("--- ") and not self._in_header)
        if starts_file:
            self._files.append([])
            self._in_header = True
        return LineKind.META if self._in_header else _kind_by_sign(line)


def read_diff(text: str) -> DiffView:
    """Split a unified diff for showing. Anything that is no diff comes back as one nameless file."""
    return _DiffReader().read(text)


def _kind_by_sign(line: str) -> LineKind:
    signs = {"+": LineKind.ADDED, "-": LineKind.REMOVED, "\\": LineKind.META}
    return signs.get(line[:1], LineKind.CONTEXT)


def _file_of(lines: tuple[DiffLine, ...]) -> DiffFile:
    header = [line.text for line in lines if line.kind is LineKind.META]
    path, change = "", "changed"
    for text in header:
        if text.startswith(("--- ", "+++ ")) and text[4:] != "/dev/null":
            path = text[6:] if text[4:6] in {"a/", "b/"} else text[4:]
        for start, word in (("new file", "added"), ("deleted file", "deleted"), ("rename to", "renamed")):
            change = word if text.startswith(start) else change
        if text.startswith("rename to ") and not path:
            path = text.removeprefix("rename to ")
    return DiffFile(path=path or _path_in_git_line(header), change=change, lines=lines)


def _path_in_git_line(header: list[str]) -> str:
    """Return the name that stands twice in a git line; a name may itself hold " b/"."""
    names = header[0].removeprefix("diff --git ") if header and header[0].startswith("diff --git ") else ""
    half = names[2 : 2 + (len(names) - 5) // 2]
    return half if names == f"a/{half} b/{half}" else names.partition(" b/")[2]


TONES: Final = {Tone.BAD: ("▲", "Problem"), Tone.WARN: ("◆", "Attention"), Tone.GOOD: ("✓", "Good")}


@dataclass(frozen=True, kw_only=True)
class MessageView:
    """One message of the thread, as the page shows it. `version` changes exactly when the message does.

    The page has room: where a block holds an excerpt of an attached diff, `blocks` has the whole of it, and
    `files` only what no block shows and what is no picture.
    """

    id: str
    version: str
    message: Message
    blocks: tuple[Block, ...]
    files: tuple[File, ...]
    pictures: tuple[File, ...]
    posted_at: datetime
    edited_at: datetime | None

    @property
    def sign(self) -> str:
        """Return the shape that tells the tone without colour."""
        return TONES.get(self.message.tone, ("", ""))[0]

    @property
    def tone_word(self) -> str:
        return TONES.get(self.message.tone, ("", ""))[1]

    @property
    def asks(self) -> bool:
        """Return whether it rang somebody and waits for a press."""
        return bool(self.message.rings and self.message.buttons and self.message.in_thread)

    @property
    def diffs(self) -> tuple[str, ...]:
        """Return the text of every diff on show."""
        shown = [block.text for block in self.blocks if isinstance(block, Code) and block.language == "diff"]
        return (*shown, *(file.text for file in self.files if is_diff(file)))


def view_message(item: BoardMessage) -> MessageView:
    """Lay out one message of the board."""
    message = item.message
    version = hashlib.sha256(repr((message, item.edited_at)).encode(errors="replace")).hexdigest()[:12]
    blocks: list[Block] = []
    whole: list[File] = []
    for block in message.blocks:
        file = _whole_of(block, message.files)
        blocks.append(Code(text=file.text, language="diff") if file is not None else block)
        whole.extend([file] if file is not None else [])
    return MessageView(
        id=f"m-{hashlib.sha256(item.ref.encode(errors='replace')).hexdigest()[:12]}",
        version=version,
        message=message,
        blocks=tuple(blocks),
        files=tuple(file for file in message.files if file not in whole and file.media_type != SVG),
        pictures=tuple(file for file in message.files if file.media_type == SVG),
        posted_at=item.posted_at,
        edited_at=item.edited_at,
    )


def _whole_of(block: Block, files: tuple[File, ...]) -> File | None:
    """Return the attached diff of which a block shows all changed lines or some, perhaps cut short with "…"."""
    if not isinstance(block, Code) or block.language != "diff":
        return None
    changed = [line for line in block.text.split("\n") if line.startswith(("+", "-"))]
    for file in files:
        if is_diff(file) and changed and _holds(file.text.split("\n"), changed):
            return file
    return None


def _holds(lines: list[str], wanted: list[str]) -> bool:
    exact = frozenset(lines)
    return all(
        line in exact or (line.endswith("…") and any(other.startswith(line[:-1]) for other in lines)) for line in wanted
    )


def kind_of(block: Block) -> str:
    """Return under which name a template shows a block: its class in lower case, or "diff"."""
    if isinstance(block, Code):
        return "diff" if block.language == "diff" else "code"
    return type(block).__name__.lower()


def digest_of(text: str) -> str:
    """Return the sha256 of a shown text, which for a patch is its digest."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def is_diff(file: File) -> bool:
    return "diff" in file.media_type or file.name.endswith((".diff", ".patch"))
