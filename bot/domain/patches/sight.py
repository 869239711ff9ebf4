"""What may stand in a patch and still is not seen by everybody who reads it: said on the card, and for two people."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bot.domain.patches.file import FileDiff
from bot.domain.patches.names import find_hidden, show

LONGEST_LINE: Final = 1000
_GAP: Final = re.compile(r"\S(?: {80}|\t{10})\s*\S")


def find_unreadable(diff: FileDiff) -> Iterator[str]:
    """Yield what a reader of this file's change may miss, each thing once, naming the file."""
    path = show(diff.change.path)
    added = diff.texts(b"+")
    if any(len(line) > LONGEST_LINE for line in added):
        yield f"adds a very long line to {path}"
    if any(_GAP.search(line) for line in added):
        yield f"adds text far to the right in {path}"
    if _changes_line_ends(diff):
        yield f"changes line ends in {path}, which cannot be seen"
    old = [line.text for hunk in diff.hunks for line in hunk.lines if line.sign != b"+"]
    yield from _old_lines(path, old)


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A hidden character, what it is, and the line that holds it."""

    character: str
    kind: str
    text: str


def find_added_hidden(diff: FileDiff) -> Iterator[Hidden]:
    """Yield the hidden characters of added lines, but for those that the file's own lines in the patch hold already: a
    patch applies only where these lines stand."""
    shown = set("".join(diff.texts(b"-") + diff.texts(b" ")))
    for line in diff.added:
        text = line.removesuffix(b"\n").decode("utf-8", "replace")
        for character, kind in _find_all_hidden(text):
            if character not in shown:
                yield Hidden(character=character, kind=kind, text=text)


def list_hidden(content: bytes) -> frozenset[str]:
    """Return what a file hides, by the same judgement; the byte order mark at its beginning hides nothing."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    return frozenset(character for line in text.split("\n") for character, _ in _find_all_hidden(line))


def _find_all_hidden(text: str) -> Iterator[tuple[str, str]]:
    while (hidden := find_hidden(text)) is not None:
        yield hidden
        text = text.replace(hidden[0], "")


def say_added_hidden(diff: FileDiff) -> Iterator[str]:
    """Yield what an added line hides, each kind once; the file holds it already, somewhere else."""
    for kind in dict.fromkeys(hidden.kind for hidden in find_added_hidden(diff)):
        yield f"adds hidden text to {show(diff.change.path)}, as other lines of it hold: {kind}"


def _old_lines(path: str, lines: list[bytes]) -> Iterator[str]:
    """The file had these lines before; they still decide how the lines between them look."""
    texts = [line.removesuffix(b"\n").decode("utf-8", "replace") for line in lines]
    if any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
        yield f"shows lines of {path} that are not UTF-8 text"
    hidden = next((found for found in map(find_hidden, texts) if found), None)
    if hidden:
        yield f"shows lines of {path} that hold hidden text: {hidden[1]}"


def _changes_line_ends(diff: FileDiff) -> bool:
    old, new = set[bool](), set[bool]()
    for hunk in diff.hunks:
        for line in hunk.lines:
            if line.text.endswith(b"\n"):
                (new if line.sign == b"+" else old).add(line.text.endswith(b"\r\n"))
    return bool(old and new) and not new <= old
