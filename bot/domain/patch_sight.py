"""What may stand in a patch and still is not seen by everybody who reads it: said on the card, and for two people."""

import re
from collections.abc import Iterator
from typing import Final

from bot.domain.patch_file import FileDiff
from bot.domain.patch_names import find_hidden, show

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
