"""Puts the bytes of binary files into git's diffs, whole: git itself may write only what differs between two sides."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.draft import ChangeKind
from bot.domain.patches.binary import render_binary
from bot.domain.patches.file import BinaryDiff
from connectors.workspaces.git_commands import Repo
from connectors.workspaces.git_tree import Entry, read_blobs

# In git's output every line of content has a sign before it: only a header begins like this.
_BINARY: Final = re.compile(
    rb"^index ([0-9a-f]{40}|[0-9a-f]{64})\.\.([0-9a-f]{40}|[0-9a-f]{64})(?: [0-7]{6})?\nBinary files [^\n]* differ\n",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a binary file's header ends in a diff, and its two object ids."""

    start: int
    end: int
    old: str
    new: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(oid for oid in (self.old, self.new) if oid.strip("0"))

    @property
    def kind(self) -> ChangeKind:
        if not self.old.strip("0"):
            return ChangeKind.ADDED
        return ChangeKind.MODIFIED if self.new.strip("0") else ChangeKind.DELETED


async def show_binaries(repo: Repo, diff: bytes, limit: int) -> bytes:
    """Return the diff with both sides of its binary files, up to `limit` bytes; what is larger stays without bytes."""
    places = [
        _Place(start=match.start(), end=match.end(), old=match[1].decode(), new=match[2].decode())
        for match in _BINARY.finditer(diff)
    ]
    if not places:
        return diff
    sizes = await _read_sizes(repo, list(dict.fromkeys(oid for place in places for oid in place.ids)))
    chosen, left = list[_Place](), limit
    for place in places:
        size = sum(sizes[oid] for oid in place.ids)
        if size <= left:
            left -= size
            chosen.append(place)
    ids = dict.fromkeys(oid for place in chosen for oid in place.ids)
    blobs = await read_blobs(repo, [Entry(mode="", kind="blob", id=oid, size=sizes[oid], path=b"") for oid in ids])
    shown, at = list[bytes](), 0
    for place in chosen:
        shown += [diff[at : place.start], *_render(place, blobs)]
        at = place.end
    return b"".join([*shown, diff[at:]])


async def _read_sizes(repo: Repo, ids: list[str]) -> dict[str, int]:
    asked = "".join(f"{oid}\n" for oid in ids).encode()
    listing = await repo.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
    return {oid: int(size) for oid, size in (line.split() for line in listing.text.splitlines())}


def _render(place: _Place, blobs: Mapping[str, memoryview]) -> Iterator[bytes]:
    old, new = (bytes(blobs[oid]) if oid in blobs else b"" for oid in (place.old, place.new))
    return render_binary(BinaryDiff(old=old, new=new, id_length=len(place.old)), place.kind)
