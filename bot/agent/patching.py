"""From edits to one canonical patch."""

import difflib
from collections.abc import Iterator, Mapping

from bot.agent.edits import Edit, apply_edits
from bot.domain.draft import Patch
from bot.domain.patches.names import check_path
from bot.domain.patches.patch import NO_NEWLINE, parse_patch
from bot.errors import Reason, Refused

MAX_FILE = 512 * 1024
CONTEXT = 3


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
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        _split(before or b""),
        _split(after),
        b"a/" + name if before is not None else b"/dev/null",
        b"b/" + name,
        n=CONTEXT,
    )
    return header + b"".join(_end_lines(lines))


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
