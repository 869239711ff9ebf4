"""Which file names and which characters a patch may hold, and why not.

A patch is read by people before it is applied: whatever they cannot see, or would read as something else,
is refused here with the reason in plain words.
"""

import re
import unicodedata
from fnmatch import fnmatchcase
from typing import Final

from bot.errors import Reason, Refused

_ESCAPES: Final = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)

# Names that begin like git's own and that git itself never reads.
_GIT_LOOKALIKES: Final = re.compile(
    r"\.github|\.gitlab|\.gitea|\.forgejo|\.gitignore|\.gitkeep|\.gitlab-ci[\w.-]*\.ya?ml"
)
_GIT_SHORT_NAME: Final = re.compile(r"gi[a-z0-9]{0,4}~[0-9]+.*")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_STREAM: Final = re.compile(r":\$[A-Za-z_]+$")

_PLAIN_LINE: Final = re.compile(r"[\t\x20-\x7e]*")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ZERO_WIDTH: Final = frozenset(
    "\u00ad\u034f\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff"
)
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_EMOJI_STYLE: Final = "\ufe0f"


def refuse(why: str) -> Refused:
    """Return the refusal of a patch, worded for the person who reads it."""
    return Refused(f"This patch is refused: {why}.", Reason.HOSTILE_PATCH)


def show(raw: bytes | str, limit: int = 80) -> str:
    """Return hostile text in a form that can be printed: escaped and shortened."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    shown = ascii(text[:limit])[1:-1]
    return shown if len(text) <= limit else f"{shown}…"


def name_hidden(character: str) -> str:
    """Return what kind of hidden character this is, "" for one that people can see."""
    code = ord(character)
    if character == "\x1b":
        return "an ANSI escape"
    if character in _BIDI:
        return "a bidirectional control"
    if 0xE0000 <= code <= 0xE0FFF:
        return "a tag character" if code < 0xE0080 else "a hidden variation selector"
    if character in _ZERO_WIDTH or character in _BLANK_LETTERS or 0xFE00 <= code <= 0xFE0F:
        return "a zero-width or blank character"
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp", "Cs"} and character != "\t":
        return "a control character"
    return {"Cf": "an invisible format character", "Cn": "an unassigned character"}.get(category, "")


def find_hidden(text: str) -> tuple[str, str] | None:
    """Return the first hidden character of a line and its kind, None where all of it can be seen.

    A carriage return at the very end is a line end; the emoji style mark counts as seen after a symbol.
    """
    text = text.removesuffix("\r")
    if _PLAIN_LINE.fullmatch(text):
        return None
    before = ""
    for character in text:
        is_emoji_mark = character == _EMOJI_STYLE and unicodedata.category(before or " ") == "So"
        kind = "" if is_emoji_mark else name_hidden(character)
        if kind:
            return character, kind
        before = character
    return None


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if len(code) == 3:
        return bytes([int(code, 8)])
    value = _ESCAPES.get(code.decode("latin-1"))
    if value is None:
        raise refuse(f"a quoted file name holds the unknown escape \\{show(code)}")
    return bytes([value])


def take_name(text: bytes) -> tuple[bytes, bytes]:
    """Split one name off a header line; git quotes odd names like C strings. Returns (name, rest)."""
    if not text.startswith(b'"'):
        name, tab, rest = text.partition(b"\t")
        return name, tab + rest
    match = _QUOTED.match(text)
    if match is None:
        raise refuse(f"a quoted file name does not end: {show(text)}")
    return _ESCAPE.sub(_unescape, match[1]), text[match.end() :]


def check_path(raw: bytes) -> str:
    """Return a file name that is safe to show and to write, or raise `Refused`."""
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(f"the file name {show(raw)} is not UTF-8") from error
    why = _fault_of_path(path) or next((w for w in map(_fault_of_part, path.split("/")) if w), "")
    if why:
        raise refuse(f"the file name '{show(path)}' {why}")
    return path


def _fault_of_path(path: str) -> str:
    if not path:
        return "is empty"
    hidden = [name_hidden(c) or "a tab" for c in path if c == "\t" or name_hidden(c)]
    if hidden:
        return f"holds {hidden[0]}"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    if "\\" in path or '"' in path:
        return "holds a backslash or a quotation mark"
    if any(unicodedata.category(c) == "Zs" and c != " " for c in path):
        return "holds a space that looks like another one"
    return "is too long" if len(path.encode()) > 1024 else ""


def _fault_of_part(part: str) -> str:
    if part in {"", ".", ".."}:
        return "leaves the repository or has an empty part"
    if part != part.strip(" ") or part.endswith("."):
        return "has a part that begins or ends with a space, or ends with a dot"
    if part.startswith("-"):
        return "has a part that begins with '-', which programs take for an option"
    if len(part.encode()) > 255:
        return "has a part that is too long"
    folded = unicodedata.normalize("NFKC", part).casefold()
    is_git = folded.startswith(".git") and not _GIT_LOOKALIKES.fullmatch(part)
    if is_git or _GIT_SHORT_NAME.fullmatch(folded):
        return "belongs to git itself"
    return "names a stream of a file, not a file" if _STREAM.search(part) else ""


def covers_path(pattern: str, path: str) -> bool:
    """A folder covers what is below it; a pattern is matched against the whole path."""
    plain = pattern.strip().removeprefix("./").strip("/")
    if plain in {"", "."}:
        return True
    return path == plain or path.startswith(f"{plain}/") or fnmatchcase(path, plain)


def fold_name(path: str) -> str:
    """Return what two names share that some file system, or a reader, takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def list_folders(path: str) -> tuple[str, ...]:
    """Return every folder that a file lies in, from the outermost."""
    parts = path.split("/")
    return tuple("/".join(parts[:end]) for end in range(1, len(parts)))
