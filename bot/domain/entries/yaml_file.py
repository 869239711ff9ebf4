"""The entries of a YAML file in block style; what is written in any other way is left alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.entries.entry import MAX_DEPTH, Entry, Key, Unreadable, cut_lines, make_entry

_KEY: Final = re.compile(
    r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s#\-?:,\[\]{}&*!|>'\"%@`][^#\n]*?|-[^\s#][^#\n]*?)[ \t]*:(?=[ \t]|$)"
)
_BLOCK: Final = re.compile(r"[|>][-+0-9]*[ \t]*(?:#.*)?$")
_TAIL: Final = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?<!\s)#|[^#"'])*""")


@dataclass
class _Reader:
    """Where the reading stands: the keys around the line, with how far each is indented."""

    text: str
    lines: Sequence[tuple[int, str]]
    around: list[tuple[int, str]] = field(default_factory=list)
    counts: dict[Key, int] = field(default_factory=dict)
    number: int = 0
    document: int = 0

    @property
    def key(self) -> Key:
        head = (f"document {self.document}",) if self.document else ()
        return (*head, *(name for _, name in self.around))

    def leave(self, indent: int, *, is_item: bool) -> None:
        """Go out to what a line of this indentation stands in; items may stand as far out as the key they belong to."""
        while self.around:
            last, name = self.around[-1]
            is_list = name.startswith("[")
            if last < indent or (is_item and last == indent and not is_list):
                return
            self.around.pop()
            if is_item and is_list and last == indent:
                return


def list_yaml(text: str) -> Iterator[Entry]:
    """Yield every scalar, flow collection and block text, by what leads to it. Raises `Unreadable`."""
    reader = _Reader(text=text, lines=cut_lines(text))
    while reader.number < len(reader.lines):
        at, line = reader.lines[reader.number]
        reader.number += 1
        body = line.lstrip(" ")
        if not body or body.startswith(("#", "%")):
            continue
        if line.rstrip() in {"---", "..."}:
            reader.document += line.startswith("---") and bool(reader.counts or reader.around)
            reader.around.clear()
            continue
        if body.startswith("\t") or len(reader.around) > MAX_DEPTH:
            raise Unreadable
        yield from _read_line(reader, at, line)


def _read_line(reader: _Reader, at: int, line: str) -> Iterator[Entry]:
    indent = len(line) - len(line.lstrip(" "))
    while line[indent:] == "-" or line.startswith("- ", indent):
        reader.leave(indent, is_item=True)
        place = reader.key
        reader.counts[place] = reader.counts.get(place, -1) + 1
        reader.around.append((indent, f"[{reader.counts[place]}]"))
        rest = line[indent + 1 :]
        indent += 1 + len(rest) - len(rest.lstrip(" "))
    if indent >= len(line):
        return
    found = _KEY.match(line, indent)
    if found is None:
        if not reader.around or not reader.around[-1][1].startswith("["):
            raise Unreadable
        yield _read_value(reader, reader.key, at + indent, indent)
        return
    reader.leave(indent, is_item=False)
    name = found[1].strip("\"'")
    first = found.end() + len(line[found.end() :]) - len(line[found.end() :].lstrip())
    reader.around.append((indent, name))
    reader.counts.setdefault(reader.key, -1)
    if first < len(line) and line[first] != "#":
        yield _read_value(reader, reader.key, at + first, indent)


def _read_value(reader: _Reader, key: Key, first: int, indent: int) -> Entry:
    """Read a value that begins on the line before `reader.number`. One that goes on below it without a sign is none."""
    start, line = reader.lines[reader.number - 1]
    written = line[first - start :]
    if _BLOCK.match(written):
        last = first + len(written.rstrip())
        while reader.number < len(reader.lines):
            at, below = reader.lines[reader.number]
            if below.strip() and len(below) - len(below.lstrip(" ")) <= indent:
                break
            last = at + len(below) if below.strip() else last
            reader.number += 1
        return make_entry(reader.text, key, first, last)
    tail = _TAIL.match(written)
    last = first + (tail.end() if tail else 0)
    value = reader.text[first:last].rstrip()
    if not value or value[0] in "&*!?" or (value[0] in "[{" and not _is_closed(value)) or _is_open(value):
        raise Unreadable
    if reader.number < len(reader.lines):
        below = reader.lines[reader.number][1]
        body = below.lstrip(" ")
        is_deeper = body and len(below) - len(body) > indent and not body.startswith("#")
        if is_deeper and not (body.startswith("- ") or _KEY.match(body)):
            raise Unreadable
    return make_entry(reader.text, key, first, last)


def _is_closed(value: str) -> bool:
    return sum(value.count(each) for each in "[{") == sum(value.count(each) for each in "]}")


def _is_open(value: str) -> bool:
    return value[0] in "\"'" and (len(value) < 2 or value[-1] != value[0])
