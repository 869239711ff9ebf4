"""The entries of a JSON file: every value that is no object with members, by the names that lead to it."""

import re
from collections.abc import Generator, Iterator
from typing import Final

from bot.domain.entries.entry import MAX_DEPTH, Entry, Key, Unreadable

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SCALAR: Final = re.compile(r"-?\d[\d.eE+-]*|true|false|null")


def list_json(text: str) -> Iterator[Entry]:
    """Yield the entries of a file whose whole is an object. Raises `Unreadable`, also for JSON with comments."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise Unreadable
    end = yield from _read_object(text, at, ())
    if _skip(text, end) != len(text):
        raise Unreadable


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _read_object(text: str, at: int, key: Key) -> Generator[Entry, None, int]:
    """Yield what an object holds; returns where it ends."""
    if len(key) > MAX_DEPTH:
        raise Unreadable
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        name = _STRING.match(text, at)
        if name is None:
            raise Unreadable
        colon = _skip(text, name.end())
        if text[colon : colon + 1] != ":":
            raise Unreadable
        first = _skip(text, colon + 1)
        inner = (*key, name.group()[1:-1])
        if text[first : first + 1] == "{" and text[_skip(text, first + 1)] != "}":
            last = yield from _read_object(text, first, inner)
        else:
            last = _skip_value(text, first)
            yield Entry(key=inner, value=text[first:last], start=name.start(), end=last, first=first, last=last)
        at = _skip(text, last)
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise Unreadable
        at = _skip(text, at + 1)


def _skip_value(text: str, at: int) -> int:
    """Return where a scalar, an array or an empty object ends."""
    found = _STRING.match(text, at) or _SCALAR.match(text, at)
    if found:
        return found.end()
    depth = 0
    while at < len(text):
        char = text[at]
        if char == '"':
            string = _STRING.match(text, at)
            if string is None:
                raise Unreadable
            at = string.end()
            continue
        depth += (char in "[{") - (char in "]}")
        at += 1
        if not depth:
            if char not in "]}":
                raise Unreadable
            return at
    raise Unreadable
