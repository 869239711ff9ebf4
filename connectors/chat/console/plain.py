"""Text made harmless for a terminal, measured and wrapped by the columns it takes."""

import re
import unicodedata
from typing import Final

from bot.domain.text.split import find_graphemes

_ADDRESS: Final = re.compile(r"(https?://[^\s<>\"'()\[\]]*[^\s<>\"'()\[\].,;:!?])")


def measure(text: str) -> int:
    """Return the columns that one line of harmless text takes."""
    return len(text) if text.isascii() else sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def wrap_words(text: str, width: int, *, most: int = 0) -> list[str]:
    """Return lines of at most `width` columns, broken between words where possible.

    An address that fits a line of its own is never broken; such a line may have `most` columns, if that is more.
    """
    return [line for part in text.split("\n") for line in _wrap_line(part, width, max(width, most))]


def _wrap_line(text: str, width: int, most: int) -> list[str]:
    bare = text.lstrip(" ")
    first, *others = bare.split(" ")
    lead = text[: len(text) - len(bare)] if bare and len(text) - len(bare) < width // 2 else ""
    lines, line, used = [], "", 0
    for word in (lead + first, *others):
        columns = measure(word)
        if line and used + 1 + columns <= width:
            line, used = f"{line} {word}", used + 1 + columns
            continue
        if line:
            lines.append(line)
        *full, line = _break_word(word, width, most)
        lines.extend(full)
        used = measure(line)
    return [*lines, line]


def _break_word(word: str, width: int, most: int) -> list[str]:
    """Return the pieces of a word: its addresses whole where they fit, all else broken where it has to be."""
    if measure(word) <= width:
        return [word]
    pieces: list[str] = []
    for part in _ADDRESS.split(word):
        is_whole = _ADDRESS.fullmatch(part) is not None and measure(part) <= most
        pieces += [part] if is_whole else break_hard(part, width) if part.strip() else []
    return pieces


def break_verbatim(text: str, width: int) -> list[str]:
    """Return pieces of at most `width` columns, full ones but before an address that would not be whole otherwise."""
    pieces = [""]
    for part in _ADDRESS.split(text):
        is_address = _ADDRESS.fullmatch(part) is not None
        if pieces[-1] and is_address and measure(part) <= width < measure(pieces[-1]) + measure(part):
            pieces.append(part)
        else:
            pieces[-1:] = break_hard(pieces[-1] + part, width)
    return pieces


def break_hard(text: str, width: int) -> list[str]:
    """Return pieces of at most `width` columns; a character as people see it stays whole."""
    if measure(text) <= width:
        return [text]
    pieces, piece, used = [], "", 0
    for begin, end in find_graphemes(text):
        columns = measure(text[begin:end])
        if piece and used + columns > width:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + text[begin:end], used + columns
    return [*pieces, piece]


def fit(text: str, width: int) -> str:
    """Return the text in one line of at most `width` columns, shortened with "…"."""
    line = " ".join(text.split())
    return line if measure(line) <= width else break_hard(line, max(1, width - 1))[0] + "…"
