"""Letters of logs that are not written in UTF-8."""

import codecs
import re
from typing import Final

_WIDE: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_ASCII: Final = rb"\t\r\x1b\x20-\x7e"
_SIGNS: Final = rb"\x80\x85\x91-\x97\x99\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0-\xb5\xb7\xba\xbb\xbf"
_LETTERS: Final = rb"\xc0-\xd6\xd8-\xf6\xf8-\xfe"
_WESTERN: Final = re.compile(rb"[" + _ASCII + _SIGNS + _LETTERS + rb"]+")
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_NOT_WESTERN: Final = re.compile(rb"[\x80-\xff]{3}|[\xc2-\xdf][\x80-\xbf]")  # another alphabet, or UTF-8 that was cut
_WORDS: Final = re.compile(rb"[A-Za-z]")
_LONGEST: Final = 64 * 1024


def decode_text(raw: bytes) -> str:
    """Return what a file says; bytes that are certainly no letters as `\\xff`."""
    wide = _WIDE.get(raw[:2])
    if wide is not None:
        return raw[2:].decode(wide, "replace")
    return to_utf8(raw).decode("utf-8", "backslashreplace")


def to_utf8(raw: bytes) -> bytes:
    """Return lines in UTF-8: those that are none, but read well as Windows-1252 (or Latin-1), in that."""
    if _is_utf8(raw):
        return raw
    return b"\n".join(_read_western(line) for line in raw.split(b"\n"))


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_western(line: bytes) -> bytes:
    if line.isascii() or len(line) > _LONGEST or _is_utf8(line) or not _is_western(line):
        return line
    return line.decode("cp1252", "backslashreplace").encode("utf-8")


def _is_western(line: bytes) -> bool:
    """Say whether it is Western text beyond doubt: letters that stand among plain ones, and nothing else."""
    if _WESTERN.fullmatch(line) is None or _NOT_WESTERN.search(line):
        return False
    return 2 * len(_HIGH.findall(line)) <= len(_WORDS.findall(line))
