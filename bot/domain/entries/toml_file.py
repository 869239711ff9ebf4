"""The entries of a TOML file, and of its lists of packages each package."""

import re
from collections.abc import Iterator
from typing import Final

from bot.domain.entries.entry import Entry, Key, Unreadable, cut_lines, make_entry

_PART: Final = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_NAMES: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE: Final = re.compile(rf"\s*(\[\[?)\s*({_NAMES})\s*\]\]?\s*(?:#.*)?")
_ASSIGNS: Final = re.compile(rf"\s*({_NAMES})\s*=\s*")
_ONE: Final = re.compile(_PART)
_REQUIREMENT: Final = re.compile(r"[\"']([A-Za-z0-9][\w.-]*)[^\"'\n]*[\"']")
_QUOTES: Final = ('"""', "'''", '"', "'")


def list_toml(text: str, *, package_lists: bool = False) -> Iterator[Entry]:
    """Yield the entries. With `package_lists` a list of requirements gives one entry for each. Raises `Unreadable`."""
    table, done, counts = Key(), 0, dict[Key, int]()
    for at, line in cut_lines(text):
        if at < done or not line.strip() or line.lstrip().startswith("#"):
            continue
        if header := _TABLE.fullmatch(line):
            table = _split(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, f"[{counts[table]}]")
            continue
        assigns = _ASSIGNS.match(line)
        if assigns is None:
            raise Unreadable
        first = at + assigns.end()
        done = _end_of_value(text, first)
        entry = make_entry(text, (*table, *_split(assigns[1])), first, done)
        if package_lists and entry.value.startswith("[") and _is_package_list(entry.key):
            yield from _list_packages(entry)
        else:
            yield entry


def _split(names: str) -> Key:
    return tuple(part.strip("\"'") for part in _ONE.findall(names))


def _end_of_value(text: str, at: int) -> int:
    """Return where a value ends: at the end of its line, or at a comment, outside of strings and brackets."""
    depth = 0
    while at < len(text):
        quote = next((each for each in _QUOTES if text.startswith(each, at)), "")
        if quote:
            at = _end_of_string(text, at + len(quote), quote)
            continue
        char = text[at]
        if char == "#":
            if not depth:
                return at
            at = text.find("\n", at)
            if at < 0:
                raise Unreadable
        depth += (char in "[{") - (char in "]}")
        if char == "\n" and not depth:
            return at
        at += 1
    if depth:
        raise Unreadable
    return at


def _end_of_string(text: str, at: int, quote: str) -> int:
    while at < len(text):
        if text.startswith(quote, at):
            return at + len(quote)
        if text[at] == "\n" and len(quote) == 1:
            break
        at += 2 if text[at] == "\\" and quote[0] == '"' else 1
    raise Unreadable


def _is_package_list(key: Key) -> bool:
    return (
        key in {("project", "dependencies"), ("build-system", "requires")}
        or key[:2] == ("project", "optional-dependencies")
        or key[:1] == ("dependency-groups",)
    )


def _list_packages(entry: Entry) -> Iterator[Entry]:
    for found in _REQUIREMENT.finditer(entry.value):
        first, last = entry.first + found.start(), entry.first + found.end()
        yield Entry(
            key=(*entry.key, found[1].lower()), value=found.group(), start=first, end=last, first=first, last=last
        )
