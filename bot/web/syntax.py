"""Colours for code in a diff: comments, strings, numbers and names, line by line.

A patch is hostile input and this runs in the process that pages people, so every pattern reads a character once:
its quantifiers are possessive and its alternatives begin differently. What is open at a line's end (a block
comment, a long string) goes on in the next line. A language that is not known here is shown without colours.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from bot.web.languages import Language, find_language

MOST_TOKENS: Final = 30_000
_LONGEST_LINE: Final = 2000
_KEY_FOLLOWS: Final = re.compile(r"[ \t]*+[:=]")
_NUMBER: Final = r"(?<!\w)\d(?:[eE][+-]|[\w.])*+"
_WORD: Final = r"[^\W\d]\w*+"
_KEY: Final = r"[^\W\d][\w.-]*+"


class Colour(StrEnum):
    """What a stretch of code is; the value is its class in the page."""

    PLAIN = ""
    COMMENT = "c"
    STRING = "s"
    NUMBER = "m"
    KEYWORD = "k"
    CALL = "f"
    KEY = "a"
    META = "d"


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of one line in one colour."""

    text: str
    colour: Colour = Colour.PLAIN


def colour_lines(path: str, lines: Sequence[str], most: int = MOST_TOKENS) -> list[tuple[Token, ...]]:
    """Return each line as tokens whose texts joined are that line. The lines follow each other in one file.

    After about `most` tokens the rest stays plain.
    """
    language = find_language(PurePosixPath(path).name)
    if language is None:
        return [(Token(line),) if line else () for line in lines]
    reader = _Reader(language, most)
    return [tuple(_join(reader.read(line))) for line in lines]


class _Reader:
    """Reads lines of one language; keeps what is still open between them."""

    def __init__(self, language: Language, most: int) -> None:
        self._left = most
        self._language = language
        self._pattern = _compile(language)
        self._open: tuple[str, Colour] | None = None

    def read(self, line: str) -> Iterator[Token]:
        at = 0
        while at < len(line):
            self._left -= 1
            if self._left < 0 or len(line) > _LONGEST_LINE:
                yield Token(line[at:])
                return
            if self._open is not None:
                token = self._read_open(line, at)
            else:
                match = self._pattern.search(line, at)
                start = match.start() if match else len(line)
                if start > at:
                    yield Token(line[at:start])
                if match is None:
                    return
                token = self._read_match(line, match)
                at = start
            yield token
            at += len(token.text)

    def _read_open(self, line: str, at: int) -> Token:
        assert self._open is not None
        close, colour = self._open
        end = line.find(close, at)
        if end >= 0:
            self._open = None
            return Token(line[at : end + len(close)], colour)
        return Token(line[at:], colour)

    def _read_match(self, line: str, match: re.Match[str]) -> Token:
        text, kind = match[0], match.lastgroup
        if kind == "open":
            mark = text.lstrip("rRbBfFuU")
            close = self._language.blocks[mark]
            self._open = (close, Colour.STRING if close == mark else Colour.COMMENT)
            return Token(text, self._open[1])
        if kind == "word":
            return Token(text, self._colour_word(text, line, match.end()))
        if kind == "string" and self._language.keys and _KEY_FOLLOWS.match(line, match.end()):
            return Token(text, Colour.KEY)
        return Token(text, _COLOURS[kind or ""])

    def _colour_word(self, word: str, line: str, end: int) -> Colour:
        language = self._language
        if (word.lower() if language.any_case else word) in language.words:
            return Colour.KEYWORD
        if language.keys:
            return Colour.KEY if _KEY_FOLLOWS.match(line, end) else Colour.PLAIN
        return Colour.CALL if line.startswith("(", end) else Colour.PLAIN


_COLOURS: Final = {
    "comment": Colour.COMMENT,
    "string": Colour.STRING,
    "number": Colour.NUMBER,
    "meta": Colour.META,
}


@cache
def _compile(language: Language) -> re.Pattern[str]:
    """Return the one pattern of a language; where two could begin, the longer mark stands first."""
    prefix = "[rRbBfFuU]{0,2}" if '"""' in language.blocks else ""
    opens = "|".join(re.escape(mark) for mark in sorted(language.blocks, key=len, reverse=True))
    marks = "|".join(_comment(mark) for mark in language.comments)
    strings = "|".join(_string(quote, prefix) for quote in language.quotes)
    parts = {
        "comment": rf"(?:{marks}).*+" if marks else "",
        "open": rf"(?<!\w){prefix}(?:{opens})" if prefix else opens,
        "string": strings,
        "meta": language.meta,
        "number": _NUMBER,
        "word": _KEY if language.keys else _WORD,
    }
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in parts.items() if part), re.DOTALL)


def _comment(mark: str) -> str:
    """A "#" inside a word or a name ("${path#/}", "/#top") begins no comment."""
    return r"(?<![^\s;)])#" if mark == "#" else re.escape(mark)


def _string(quote: str, prefix: str) -> str:
    """An apostrophe inside a word ("it's") begins no string."""
    before = r"(?<!\w)" if prefix or quote == "'" else ""
    return rf"{before}{prefix}{quote}(?:[^{quote}\\]|\\.)*+{quote}?+"


def _join(tokens: Iterator[Token]) -> Iterator[Token]:
    """Put neighbours of one colour together: fewer elements in the page."""
    text, colour = "", Colour.PLAIN
    for token in tokens:
        if token.colour is colour:
            text += token.text
            continue
        if text:
            yield Token(text, colour)
        text, colour = token.text, token.colour
    if text:
        yield Token(text, colour)
