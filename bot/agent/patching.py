"""From edits to one canonical patch."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.edits import Edit, apply_edits
from bot.domain.draft import Patch
from bot.domain.patches.names import check_path
from bot.domain.patches.patch import NO_NEWLINE, parse_patch
from bot.errors import Reason, Refused

MAX_FILE = 512 * 1024
CONTEXT = 3
MOST_PAIRS = 10_000_000
"""Of equal lines, from which comparing takes seconds: then all between the first and the last change is replaced."""
_HUNK = re.compile(rb"^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


def edit_files(
    files: Mapping[str, bytes | None], edits: Mapping[str, list[Edit]]
) -> dict[str, tuple[bytes | None, bytes]]:
    """Return each file as it is and as the edits make it. Raises `Refused` where an edit does not fit."""
    edited: dict[str, tuple[bytes | None, bytes]] = {}
    for path in sorted(edits):
        check_path(path.encode("utf-8", "replace"))
        after = apply_edits(path, _decode(path, files[path]), edits[path]).encode("utf-8", "replace")
        edited[path] = files[path], after
    return edited


def build_patch(files: Mapping[str, bytes | None], edits: Mapping[str, list[Edit]]) -> Patch:
    """Return the canonical patch that the edits make of the files; None stands for a file that is not there.

    Raises `Refused` where an edit does not fit, or the patch would hide something.
    """
    return join_patch(edit_files(files, edits))


def join_patch(edited: Mapping[str, tuple[bytes | None, bytes]]) -> Patch:
    """Return the canonical patch from each file as it is to what it becomes. Raises `Refused`."""
    return parse_patch(b"".join(diff_file(path, before, after) for path, (before, after) in edited.items()))


def diff_file(path: str, before: bytes | None, after: bytes) -> bytes:
    """Return git's diff of one file, ready for `parse_patch`; None stands for a file that is not there."""
    name = check_path(path.encode("utf-8", "replace")).encode()
    header = b"diff --git a/%b b/%b\n" % (name, name)
    if before is None:
        header += b"new file mode 100644\n"
    names = b"a/" + name if before is not None else b"/dev/null", b"b/" + name
    return header + b"".join(_end_lines(_compare(_split(before or b""), _split(after), names)))


def _compare(before: Sequence[bytes], after: Sequence[bytes], names: tuple[bytes, bytes]) -> Iterator[bytes]:
    """Yield a unified diff. What is the same at both ends is not compared: only that keeps large files quick."""
    least = min(len(before), len(after))
    head = next((n for n in range(least) if before[n] != after[n]), least)
    tail = next((n for n in range(least - head) if before[-1 - n] != after[-1 - n]), least - head)
    skipped = max(head - CONTEXT, 0)
    left = max(tail - CONTEXT, 0)
    old, new = before[skipped : len(before) - left], after[skipped : len(after) - left]
    if _count_pairs(old, new) > MOST_PAIRS:
        yield from (b"--- " + names[0] + b"\n", b"+++ " + names[1] + b"\n")
        yield from _replace_all(old, new, (head - skipped, tail - left), skipped)
        return
    for line in difflib.diff_bytes(difflib.unified_diff, old, new, *names, n=CONTEXT):
        yield _HUNK.sub(lambda found: b"@@ -%d%b +%d%b @@" % _move(found, skipped), line)


def _move(found: re.Match[bytes], by: int) -> tuple[int, bytes, int, bytes]:
    return int(found[1]) + by, found[2] or b"", int(found[3]) + by, found[4] or b""


def _count_pairs(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """Return how many pairs of equal lines difflib looks at: those of frequent lines it leaves out in long files."""
    often, most = Counter(new), len(new) if len(new) < 200 else len(new) // 100 + 1
    return sum(often[line] for line in old if often[line] <= most)


def _replace_all(old: Sequence[bytes], new: Sequence[bytes], same: tuple[int, int], skipped: int) -> Iterator[bytes]:
    """Yield one hunk in the place of many; `same` lines stand at its beginning and its end."""
    yield b"@@ -%d,%d +%d,%d @@\n" % (skipped + 1, len(old), skipped + 1, len(new))
    first, last = same
    yield from (b" " + line for line in old[:first])
    yield from (b"-" + line for line in old[first : len(old) - last])
    yield from (b"+" + line for line in new[first : len(new) - last])
    yield from (b" " + line for line in old[len(old) - last :])


def _decode(path: str, raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if len(raw) > MAX_FILE:
        raise Refused(f"{path}: the file is larger than {MAX_FILE:,} bytes; it cannot be edited.", Reason.TOO_LARGE)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: the file is not UTF-8 text; it cannot be edited.", Reason.BAD_INPUT) from error


def _split(text: bytes) -> list[bytes]:
    """Split at line feeds alone, as git does."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _end_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.endswith(b"\n"):
            yield line
        else:
            yield line + b"\n"
            if line[:1] in {b" ", b"+", b"-"}:
                yield NO_NEWLINE
