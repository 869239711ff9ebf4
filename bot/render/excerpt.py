"""The part of a diff that is worth a phone's screen. The whole diff always stands beside it as a file."""

from collections.abc import Iterator, Sequence
from typing import Final

LINES: Final = 30
_WIDTH: Final = 160
_CONTEXT: Final = 2
_HEADERS: Final = (
    "diff --git ",
    "index ",
    "--- ",
    "old mode",
    "new mode",
    "similarity",
    "rename ",
    "new file",
    "deleted",
)


def cut_excerpt(diff: str, file: str) -> str:
    """Return at most 30 lines: the changed lines with two lines around them, file by file; what is left out is said.

    A short diff is returned whole and untouched, but for the bytes of a binary file, which nobody can read.
    """
    whole = diff.rstrip("\n").split("\n")
    lines = list(_drop_binaries(whole))
    if len(lines) == len(whole) and len(lines) <= LINES and all(len(line) <= _WIDTH for line in lines):
        return diff.rstrip("\n")
    kept = list(_keep(lines))
    if len(kept) > LINES - 1:
        kept = kept[: LINES - 1]
    left = sum(_is_change(line) for line in lines) - sum(_is_change(line) for line in kept)
    cut = [line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…" for line in kept]
    rest = f"… {left} more changed lines in {file}" if left else f"… the whole diff is in {file}"
    return "\n".join([*cut, rest])


def _drop_binaries(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of text files. In a diff only a header begins with these words, and only a name follows bytes."""
    is_binary = False
    for line in lines:
        if line.startswith("diff --git "):
            is_binary = False
        if line == "GIT binary patch":
            is_binary = True
        if not is_binary:
            yield line


def _is_change(line: str) -> bool:
    return line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- "))


def _keep(lines: Sequence[str]) -> Iterator[str]:
    """Yield each file's name, each hunk's heading, and the lines near a change; a gap becomes "…"."""
    near = {
        other
        for index, line in enumerate(lines)
        if _is_change(line)
        for other in range(index - _CONTEXT, index + _CONTEXT + 1)
    }
    skipped = False
    for index, line in enumerate(lines):
        if line.startswith(("+++ ", "@@ ")):
            skipped = False
            yield line
        elif line.startswith(_HEADERS):
            continue
        elif index in near:
            if skipped:
                yield " …"
            skipped = False
            yield line
        else:
            skipped = True
