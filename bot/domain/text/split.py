"""Cutting a long text into pieces that a chat service takes: nothing is lost, nothing is torn."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_FENCED: Final = re.compile(r"^```.*?^```[^\n]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_JOINER: Final = "\u200d"
_BREAKS: Final = ("\n\n", "\n", " ")


def split_text(text: str, limit: int) -> list[str]:
    """Return pieces of at most `limit` characters whose concatenation is `text`.

    A cut falls after an empty line, a line or a word where there is one; never inside a grapheme or a run of
    backticks, nor inside a ``` block that fits in one piece. Only a grapheme longer than `limit` is cut hard.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    blocks = [match.span() for match in _FENCED.finditer(text) if match.end() - match.start() <= limit]
    pieces, start = [], 0
    while len(text) - start > limit:
        end = _find_cut(
            text, start, limit, [block for block in blocks if start < block[1] and block[0] < start + limit]
        )
        pieces.append(text[start:end])
        start = end
    if start < len(text) or not pieces:
        pieces.append(text[start:])
    return pieces


def _find_cut(text: str, start: int, limit: int, blocks: list[tuple[int, int]]) -> int:
    end = start + limit
    for separator in _BREAKS:
        cut = text.rfind(separator, start, end)
        while cut >= start:
            after = cut + len(separator)
            if after > start and _may_cut(text, after, blocks):
                return after
            cut = text.rfind(separator, start, cut)
    return next((cut for cut in range(end, start, -1) if _may_cut(text, cut, blocks)), end)


def _may_cut(text: str, at: int, blocks: list[tuple[int, int]]) -> bool:
    before, after = text[at - 1], text[at]
    if before == after == "`":
        return False
    return not any(begin < at < end for begin, end in blocks) and not _is_joined(text, at, before, after)


def _is_joined(text: str, at: int, before: str, after: str) -> bool:
    if unicodedata.category(before) == "Cc":
        return before == "\r" and after == "\n"
    if before == _JOINER or _extends(after):
        return True
    return _is_flag(before) and _is_flag(after) and _count_flags(text, at) % 2 == 1


def _extends(character: str) -> bool:
    """Whether it belongs to the character before it: marks, joiners, variation selectors, skin tones, Hangul parts."""
    return (
        character == _JOINER
        or unicodedata.category(character) in {"Mn", "Mc", "Me"}
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _count_flags(text: str, at: int) -> int:
    count = 0
    while count < at and _is_flag(text[at - count - 1]):
        count += 1
    return count


def find_graphemes(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each character as people see it begins and ends."""
    if text:
        cuts = [at for at in range(1, len(text)) if not _is_joined(text, at, text[at - 1], text[at])]
        yield from pairwise([0, *cuts, len(text)])
