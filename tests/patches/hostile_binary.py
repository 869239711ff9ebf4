"""Hostile binary diffs, written beside the reader's own code: only zlib, base64 and hashlib are trusted here."""

import base64
import hashlib
import zlib
from typing import Final

ALLOWED: Final = ("assets/",)
LOGO_PATH: Final = b"assets/logo.png"
LOGO: Final = b"\x89PNG\r\n\x1a\n\x00" + bytes(range(256)) * 3
NEW_LOGO: Final = b"\x89PNG\r\n\x1a\n\x00" + bytes(reversed(range(256))) * 2
SCRIPT: Final = b"#!/bin/sh\nexec evil\n"
NONE: Final = b"0" * 40
LENGTHS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def oid(content: bytes, digest=hashlib.sha1) -> bytes:
    return digest(b"blob %d\0" % len(content) + content).hexdigest().encode()


def encode(packed: bytes) -> bytes:
    parts = [packed[at : at + 52] for at in range(0, len(packed), 52)]
    return b"".join(LENGTHS[len(part) - 1 :][:1] + base64.b85encode(part, pad=True) + b"\n" for part in parts)


def half(content: bytes, *, size: int | None = None, tail: bytes = b"") -> bytes:
    """Return one side as git writes it; `size` and `tail` make it lie."""
    return b"literal %d\n%b\n" % (len(content) if size is None else size, encode(zlib.compress(content) + tail))


def whole(
    old: bytes | None,
    new: bytes | None,
    *,
    path: bytes = LOGO_PATH,
    ids: tuple[bytes, bytes] | None = None,
    halves: bytes | None = None,
) -> bytes:
    """Return the diff of one binary file; None = there is no file on that side."""
    kind = b"new file mode 100644\n" if old is None else b"deleted file mode 100644\n" if new is None else b""
    first, second = ids or (NONE if old is None else oid(old), NONE if new is None else oid(new))
    both = half(new or b"") + half(old or b"") if halves is None else halves
    head = b"diff --git a/%b b/%b\n%bindex %b..%b\n" % (path, path, kind, first, second)
    return head + b"GIT binary patch\n" + both


def change(halves: bytes) -> bytes:
    return whole(LOGO, NEW_LOGO, halves=halves)


def padded(content: bytes) -> bytes:
    """Return a side whose last group hides a byte behind its end."""
    packed = zlib.compress(content)
    cut = len(packed) % 52
    body, last = packed[: len(packed) - cut], packed[len(packed) - cut :]
    spoiled = last + b"\x01" * (-len(last) % 4)
    line = LENGTHS[len(last) - 1 :][:1] + base64.b85encode(spoiled) + b"\n"
    return b"literal %d\n%b%b\n" % (len(content), encode(body), line)


HIDING: Final = next(LOGO + b"x" * count for count in range(9) if len(zlib.compress(LOGO + b"x" * count)) % 4)
BOMB: Final = bytes(3_000_000)
_LINES: Final = half(NEW_LOGO).split(b"\n")

REFUSED: Final[dict[str, tuple[bytes, str]]] = {
    "binary outside the allowed folders": (whole(LOGO, NEW_LOGO, path=b"data.bin"), "binary_paths"),
    "binary moved out of the allowed folders": (
        whole(LOGO, NEW_LOGO).replace(
            b"diff --git a/assets/logo.png b/assets/logo.png\n",
            b"diff --git a/assets/logo.png b/bin/x\nrename from assets/logo.png\nrename to bin/x\n",
        ),
        "binary_paths",
    ),
    "binary with a name that only looks allowed": (whole(None, NEW_LOGO, path=b"Assets/x.png"), "binary_paths"),
    "binary that leaves the repository": (whole(None, NEW_LOGO, path=b"assets/../../x"), "leaves the repository"),
    "binary as a difference": (change(b"delta 10\n" + encode(b"x" * 10) + b"\n" + half(LOGO)), "difference"),
    "binary with its old side as a difference": (
        change(half(NEW_LOGO) + b"delta 10\n" + encode(b"x" * 10) + b"\n"),
        "difference",
    ),
    "binary without its old side": (change(half(NEW_LOGO)), "both of its sides"),
    "binary with three sides": (change(half(NEW_LOGO) + half(LOGO) + half(LOGO)), "belongs to no file"),
    "binary of another content than its id": (change(half(NEW_LOGO + b"evil") + half(LOGO)), "other bytes than"),
    "binary with another old side than its id": (change(half(NEW_LOGO) + half(LOGO[:-1])), "other bytes than"),
    "binary with swapped sides": (change(half(LOGO) + half(NEW_LOGO)), "other bytes than"),
    "binary with short ids": (
        whole(LOGO, NEW_LOGO, ids=(oid(LOGO)[:10], oid(NEW_LOGO)[:10])),
        "full object ids",
    ),
    "binary with ids of two kinds": (
        whole(LOGO, NEW_LOGO, ids=(oid(LOGO), oid(NEW_LOGO, hashlib.sha256))),
        "full object ids",
    ),
    "binary without ids": (
        whole(LOGO, NEW_LOGO).replace(b"index %b..%b\n" % (oid(LOGO), oid(NEW_LOGO)), b""),
        "full object ids",
    ),
    "binary new file with an old id": (whole(None, NEW_LOGO, ids=(oid(b""), oid(NEW_LOGO))), "other bytes than"),
    "binary new file with an old side": (
        whole(None, NEW_LOGO, halves=half(NEW_LOGO) + half(LOGO)),
        "other bytes than",
    ),
    "binary deleted and filled": (whole(LOGO, None, halves=half(NEW_LOGO) + half(LOGO)), "has bytes afterwards"),
    "binary that says a smaller size": (change(half(NEW_LOGO, size=10) + half(LOGO)), "not the 10 bytes"),
    "binary that says a larger size": (change(half(NEW_LOGO, size=9_999) + half(LOGO)), "not the 9,999 bytes"),
    "binary of a size that nobody means": (change(half(NEW_LOGO, size=999_999_999) + half(LOGO)), "are left"),
    "binary that says its size in two ways": (
        change(half(NEW_LOGO).replace(b"literal ", b"literal 0") + half(LOGO)),
        "both of its sides",
    ),
    "binary bomb": (whole(LOGO, BOMB), "are left"),
    "binary bomb that says it is small": (
        whole(LOGO, BOMB, halves=half(BOMB, size=100) + half(LOGO)),
        "not the 100 bytes",
    ),
    "binary bomb in the old side": (whole(BOMB, LOGO), "are left"),
    "binary that is too large when written out": (whole(LOGO, b"\0" * 500_000), "written out"),
    "many binaries, each of them small enough": (
        b"".join(whole(None, b"\0" * 300_000, path=b"assets/%d" % number) for number in range(3)),
        "are left",
    ),
    "binary with bytes behind its end": (change(half(NEW_LOGO, tail=b"evil") + half(LOGO)), "behind its end"),
    "binary with bytes in its padding": (whole(LOGO, HIDING, halves=padded(HIDING) + half(LOGO)), "padding"),
    "binary that is cut off": (change(b"\n".join(_LINES[:3]) + b"\n\n" + half(LOGO)), "not the"),
    "binary with a line that is too short": (
        change(b"\n".join([_LINES[0], _LINES[1][:-1], *_LINES[2:]]) + half(LOGO)),
        "length that it says",
    ),
    "binary with a line of another length letter": (
        change(b"\n".join([_LINES[0], b"y" + _LINES[1][1:], *_LINES[2:]]) + half(LOGO)),
        "length that it says",
    ),
    "binary in letters that are no base85": (
        change(b"\n".join([_LINES[0], _LINES[1][:-1] + b'"', *_LINES[2:]]) + half(LOGO)),
        "base85",
    ),
    "binary that is not packed": (change(b"literal 4\n" + encode(b"evil") + b"\n" + half(LOGO)), "unpacked"),
    "binary with nothing in it": (change(b"literal 0\n\n" + half(LOGO)), "broken line"),
    "binary with hunks behind it": (
        whole(LOGO, NEW_LOGO) + b"@@ -1 +1 @@\n-x\n+y\n",
        "belongs to no file",
    ),
    "binary under '---' and '+++'": (
        whole(LOGO, NEW_LOGO).replace(b"GIT binary", b"--- a/assets/logo.png\n+++ b/assets/logo.png\nGIT binary"),
        "with '---'",
    ),
    "binary that changes nothing": (whole(LOGO, LOGO), "changes nothing"),
    "text as a binary": (whole(None, SCRIPT, path=b"assets/run.sh"), "so that nobody reads it"),
    "text for text as a binary": (whole(b"x = 1\n", SCRIPT), "so that nobody reads it"),
    "the same binary twice": (whole(LOGO, NEW_LOGO) + whole(LOGO, NEW_LOGO), "twice"),
    "binary as a link": (whole(None, LOGO).replace(b"100644", b"120000"), "symbolic link"),
}

CONFLICTS: Final[dict[str, tuple[bytes, str]]] = {
    "binary of another old content": (whole(LOGO + b"x", NEW_LOGO), "apply|other bytes"),
    "binary instead of text": (whole(b"\0old", NEW_LOGO, path=b"assets/note.txt"), "apply|other bytes"),
    "binary deleted that is another": (whole(LOGO + b"x", None), "apply|other bytes"),
    "binary new where one is": (whole(None, NEW_LOGO), "exist|already"),
    "binary changed where none is": (whole(LOGO, NEW_LOGO, path=b"assets/none.png"), "exist|missing"),
    "binary with ids of another hash": (
        whole(LOGO, NEW_LOGO, ids=(oid(LOGO, hashlib.sha256), oid(NEW_LOGO, hashlib.sha256))),
        "apply|index|corrupt|binary",
    ),
}

_WORDS: Final = "binary file nobody can read"
RISKY: Final[dict[str, tuple[bytes, str]]] = {
    "binary changed": (whole(LOGO, NEW_LOGO), _WORDS),
    "binary new": (whole(None, NEW_LOGO, path=b"assets/new.png"), _WORDS),
    "binary deleted": (whole(LOGO, None), _WORDS),
    "binary renamed and changed in full": (
        whole(LOGO, NEW_LOGO).replace(
            b"diff --git a/assets/logo.png b/assets/logo.png\n",
            b"diff --git a/assets/logo.png b/assets/mark.png\nrename from assets/logo.png\nrename to assets/mark.png\n",
        ),
        _WORDS,
    ),
    "binary becomes text": (whole(LOGO, SCRIPT), _WORDS),
    "binary becomes empty": (whole(LOGO, b""), _WORDS),
    "text becomes binary": (whole(b"Drawn by hand.\n", NEW_LOGO, path=b"assets/note.txt"), _WORDS),
    "binary made a program": (
        whole(LOGO, NEW_LOGO).replace(b"index ", b"old mode 100644\nnew mode 100755\nindex "),
        _WORDS,
    ),
}
