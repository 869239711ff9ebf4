"""Settings and pinned packages of a text file, each with its place: what can be put back alone."""

from dataclasses import dataclass
from typing import Final

MAX_TEXT: Final = 128 * 1024
MAX_LINE: Final = 2_000
MAX_ENTRIES: Final = 5_000
MAX_DEPTH: Final = 40

Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One key and its value, as written. `start` to `end` is all of it, whole lines where the format has lines; `first`
    to `last` is the value alone, without a comment behind it."""

    key: Key
    value: str
    start: int
    end: int
    first: int
    last: int


class Unreadable(Exception):  # noqa: N818 -- not a fault: the file is left to those who revert whole hunks
    """Text that cannot be told apart into entries with certainty."""


def cut_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines with where each begins, without their ends. Raises `Unreadable` for one that nobody wrote."""
    found, at = list[tuple[int, str]](), 0
    for line in text.split("\n"):
        if len(line) > MAX_LINE:
            raise Unreadable
        found.append((at, line.removesuffix("\r")))
        at += len(line) + 1
    return found


def end_of_line(text: str, at: int) -> int:
    """Return where the line after the one at `at` begins."""
    place = text.find("\n", at)
    return len(text) if place < 0 else place + 1


def make_entry(text: str, key: Key, first: int, last: int) -> Entry:
    """Return an entry that fills the lines its value stands on."""
    while last > first and text[last - 1].isspace():
        last -= 1
    start = text.rfind("\n", 0, first) + 1
    return Entry(key=key, value=text[first:last], start=start, end=end_of_line(text, last), first=first, last=last)
