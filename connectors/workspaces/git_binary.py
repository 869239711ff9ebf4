"""Puts the bytes of binary files into git's diffs, whole: git itself may write only what differs between two sides."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bot.domain.draft import ChangeKind
from bot.domain.patch_binary import render_binary
from bot.domain.patch_file import BinaryDiff
from connectors.workspaces.git_commands import Repo

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
    wanted = list(dict.fromkeys(oid for place in places for oid in (place.old, place.new) if oid.strip("0")))
    sizes = await _read_sizes(repo, wanted)
    shown, at, left = list[bytes](), 0, limit
    for place in places:
        ids = [oid for oid in (place.old, place.new) if oid.strip("0")]
        size = sum(sizes[oid] for oid in ids)
        if size > left:
            continue
        left -= size
        contents = {oid: (await repo.run("cat-file", "blob", oid)).out for oid in ids}
        shown += [diff[at : place.start], *_render(place, contents)]
        at = place.end
    return b"".join([*shown, diff[at:]])


async def _read_sizes(repo: Repo, ids: list[str]) -> dict[str, int]:
    asked = "".join(f"{oid}\n" for oid in ids).encode()
    listing = await repo.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
    return {oid: int(size) for oid, size in (line.split() for line in listing.text.splitlines())}


def _render(place: _Place, contents: dict[str, bytes]) -> Iterator[bytes]:
    old, new = contents.get(place.old, b""), contents.get(place.new, b"")
    return render_binary(BinaryDiff(old=old, new=new, id_length=len(place.old)), place.kind)
