"""The repository at head as the tools read it: every file in memory as one archive, shown only after cleaning."""

import asyncio
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Protocol

from bot.agent.likely import list_likely
from bot.errors import Reason, Refused

MAX_FILE: Final = 1024 * 1024
MAX_MATCHES: Final = 3_000
MAX_LINE: Final = 240
MAX_PATH: Final = 500
LEAD: Final = 80
"""Characters shown before a match that stands far behind in a long line."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a folder, or a folder in it with the size of all its files."""

    name: str
    size: int
    files: int


class Match(Protocol):
    def start(self) -> int: ...


class Pattern(Protocol):
    def search(self, text: str) -> Match | None: ...


@dataclass(frozen=True, kw_only=True)
class Found:
    """Lines that match, as `path:line: text`, the first `MAX_MATCHES` of them; and files that were not searched."""

    lines: Sequence[str]
    has_more: bool
    unread: Sequence[str]


class Sources:
    """Reads files of one archive. `clean` redacts a whole text and keeps its lines."""

    def __init__(self, archive: bytes, clean: Callable[[str], str]) -> None:
        self._archive = archive
        self._clean = clean
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._cleaned: dict[str, list[str]] = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.isfile():
                    self._places[member.name] = (member.offset_data, member.size)
                elif member.issym():
                    self._links[member.name] = member.linkname

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._places)

    def raw(self, path: str) -> bytes | None:
        """Return a file's bytes, None where there is none."""
        place = self._places.get(path)
        return self._archive[place[0] : place[0] + place[1]] if place else None

    def has(self, path: str) -> bool:
        """Say whether there is a file, a link or a folder."""
        return path in self._places or self.is_link(path) or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        prefix = f"{path}/" if path else ""
        return path not in self._places and any(name.startswith(prefix) for name in self._places)

    def is_link(self, path: str) -> bool:
        return path in self._links

    def lines(self, path: str) -> Sequence[str]:
        """Return a file's lines, cleaned; none of an empty file. Raises `Refused` that names what there is instead."""
        if path not in self._cleaned:
            raw = self.raw(path)
            if raw is None:
                raise Refused(self.explain_missing(path), Reason.NOT_FOUND)
            if not _is_readable(raw):
                what = f"larger than {MAX_FILE:,} bytes" if len(raw) > MAX_FILE else "not a text file"
                raise Refused(f"{path} is {what}; it is neither read nor searched", Reason.TOO_LARGE)
            text = self._clean(raw.decode("utf-8", "replace"))
            self._cleaned[path] = text.removesuffix("\n").split("\n") if text else []
        return self._cleaned[path]

    async def read(self, path: str) -> Sequence[str]:
        """Return what `lines` does. A file is cleaned once, in a thread: one of a megabyte would hold up other runs."""
        return self.lines(path) if path in self._cleaned else await asyncio.to_thread(self.lines, path)

    def list_folder(self, path: str) -> Sequence[Entry]:
        """Return what a folder holds, by name, folders with a slash; nothing where there is no such folder."""
        prefix = f"{path}/" if path else ""
        sizes: dict[str, list[int]] = {}
        for name, (_, size) in self._places.items():
            if name.startswith(prefix):
                first, slash, _ = name[len(prefix) :].partition("/")
                sizes.setdefault(first + slash, []).append(size)
        return [Entry(name=name, size=sum(found), files=len(found)) for name, found in sorted(sizes.items())]

    def grep(self, pattern: Pattern, path: str) -> Found:
        """Return cleaned lines that match, so that nothing hidden can be guessed at. Raises `Refused` where there is
        nothing to search."""
        inside = sorted(name for name in self._places if not path or name == path or name.startswith(f"{path}/"))
        if not inside:
            raise Refused(self.explain_missing(path, "file or folder"), Reason.NOT_FOUND)
        if inside == [path]:
            self.lines(path)
        found: list[str] = []
        unread: list[str] = []
        for name in inside:
            raw = self.raw(name) or b""
            if not _is_readable(raw):
                unread.append(name)
            elif self._may_match(pattern, raw):
                found += self._match(pattern, name)
            if len(found) > MAX_MATCHES:
                return Found(lines=found[:MAX_MATCHES], has_more=True, unread=unread)
        return Found(lines=found, has_more=False, unread=unread)

    def _match(self, pattern: Pattern, name: str) -> Iterator[str]:
        for number, line in enumerate(self.lines(name), 1):
            match = pattern.search(line)
            if match is not None:
                yield f"{name}:{number}: {_show_around(line, match.start())}"

    @staticmethod
    def _may_match(pattern: Pattern, raw: bytes) -> bool:
        """A pattern with ^ or $ matches lines, not the whole text."""
        text = raw.decode("utf-8", "replace")
        return bool(pattern.search(text)) or any(pattern.search(line) for line in text.splitlines())

    def explain_missing(self, path: str, what: str = "file") -> str:
        if path in self._links:
            return f"{path} is a link to {self._links[path][:200]}; name what it points to"
        if self.is_folder(path):
            return f"{path or 'the root'} is a folder; list shows what it holds"
        near = get_close_matches(path[:MAX_PATH], list_likely(path[:MAX_PATH], self._places), 3, 0.5)
        same = [name for name in self._places if name.rsplit("/", 1)[-1] == path.rsplit("/", 1)[-1]][:3]
        hints = list(dict.fromkeys([*same, *near]))[:4]
        return f"There is no {what} {path[:120]!r}." + (f" There is: {', '.join(hints)}." if hints else "")


def _is_readable(raw: bytes) -> bool:
    return len(raw) <= MAX_FILE and b"\0" not in raw[:8192]


def _show_around(line: str, at: int) -> str:
    """Return a line, of a long one what stands around the match."""
    if len(line) <= MAX_LINE:
        return line
    first = max(0, at - LEAD) if at + LEAD > MAX_LINE else 0
    shown = line[first : first + MAX_LINE]
    return f"{'…' if first else ''}{shown}{'…' if first + MAX_LINE < len(line) else ''}"
