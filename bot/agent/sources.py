"""The repository at head as the tools read it: every file in memory as one archive, shown only after cleaning."""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Protocol

from bot.errors import Reason, Refused

MAX_FILE: Final = 1024 * 1024
MAX_MATCHES: Final = 60
MAX_LINE: Final = 240


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a folder, or a folder in it with the size of all its files."""

    name: str
    size: int
    files: int


class Pattern(Protocol):
    def search(self, text: str) -> object: ...


class Sources:
    """Reads files of one archive. `clean` redacts a whole text and keeps its lines."""

    def __init__(self, archive: bytes, clean: Callable[[str], str]) -> None:
        self._archive = archive
        self._clean = clean
        self._places: dict[str, tuple[int, int]] = {}
        self._cleaned: dict[str, list[str]] = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.isfile():
                    self._places[member.name] = (member.offset_data, member.size)

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._places)

    def raw(self, path: str) -> bytes | None:
        """Return a file's bytes, None where there is none."""
        place = self._places.get(path)
        return self._archive[place[0] : place[0] + place[1]] if place else None

    def lines(self, path: str) -> Sequence[str]:
        """Return a file's lines, cleaned. Raises `Refused` that names what there is instead."""
        if path not in self._cleaned:
            raw = self.raw(path)
            if raw is None:
                raise Refused(self._explain_missing(path), Reason.NOT_FOUND)
            if len(raw) > MAX_FILE or b"\0" in raw[:8192]:
                what = f"larger than {MAX_FILE:,} bytes" if len(raw) > MAX_FILE else "not a text file"
                raise Refused(f"{path} is {what}.", Reason.TOO_LARGE)
            text = self._clean(raw.decode("utf-8", "replace"))
            self._cleaned[path] = text.removesuffix("\n").split("\n")
        return self._cleaned[path]

    def list_folder(self, path: str) -> Sequence[Entry]:
        """Return what a folder holds, by name, folders with a slash; nothing where there is no such folder."""
        prefix = "" if path in {"", "."} else path.rstrip("/") + "/"
        sizes: dict[str, list[int]] = {}
        for name, (_, size) in self._places.items():
            if name.startswith(prefix):
                first, slash, _ = name[len(prefix) :].partition("/")
                sizes.setdefault(first + slash, []).append(size)
        return [Entry(name=name, size=sum(found), files=len(found)) for name, found in sorted(sizes.items())]

    def grep(self, pattern: Pattern, path: str) -> Iterator[str]:
        """Yield `path:line: text` of cleaned lines that match, so that nothing hidden can be guessed at."""
        found = 0
        for name in sorted(self._places):
            if path not in {"", "."} and name != path and not name.startswith(path.rstrip("/") + "/"):
                continue
            raw = self.raw(name) or b""
            if len(raw) > MAX_FILE or b"\0" in raw[:8192]:
                continue
            if not pattern.search(raw.decode("utf-8", "replace")) and not self._may_match_by_line(pattern, raw):
                continue
            for number, line in enumerate(self.lines(name), 1):
                if pattern.search(line):
                    found += 1
                    if found > MAX_MATCHES:
                        yield f"… more than {MAX_MATCHES} matches; narrow the pattern or the path"
                        return
                    yield f"{name}:{number}: {line[:MAX_LINE]}"

    @staticmethod
    def _may_match_by_line(pattern: Pattern, raw: bytes) -> bool:
        """A pattern with ^ or $ matches lines, not the whole text."""
        return any(pattern.search(line) for line in raw.decode("utf-8", "replace").splitlines())

    def _explain_missing(self, path: str) -> str:
        near = get_close_matches(path, self._places, 3, 0.5)
        same = [name for name in self._places if name.rsplit("/", 1)[-1] == path.rsplit("/", 1)[-1]][:3]
        hints = list(dict.fromkeys([*same, *near]))[:4]
        return f"There is no file {path[:120]!r}." + (f" There is: {', '.join(hints)}." if hints else "")
