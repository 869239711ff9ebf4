"""Binary files in a patch: git's form of them, read strictly, and written in one form that only the bytes decide.

Git deflates both halves, and two programs deflate the same bytes differently. The canonical form stores them without
compression, so the digest of a patch never depends on somebody's zlib. What git needs to apply it stays: the whole
object ids in the index line, which are held against the content of each half.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from bot.domain.draft import ChangeKind
from bot.domain.patches.file import BinaryDiff
from bot.domain.patches.names import refuse, show

GIT_BINARY: Final = b"GIT binary patch"
_IDS: Final = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\.\.([0-9a-f]{40}|[0-9a-f]{64})(?: [0-7]{6})?")
_LITERAL: Final = re.compile(rb"literal (0|[1-9]\d{0,8})")
_LENGTHS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LINE: Final = len(_LENGTHS)
_FULL_LINE: Final = 1 + _LINE // 4 * 5
_BLOCK: Final = 65_535
_ZLIB_STORED: Final = b"\x78\x01"


def blob_id(content: bytes, length: int) -> str:
    """Return the id that git gives to a file's content, in the repository's hash: 40 or 64 digits."""
    digest = hashlib.sha256() if length == 64 else hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content) + content)
    return digest.hexdigest()


def read_half(lines: Sequence[bytes], at: int, room: int) -> tuple[bytes, int]:
    """Return the content that begins in line `at`, at most `room` bytes, and the index of the line behind it."""
    head = lines[at] if at < len(lines) else b""
    if head.startswith(b"delta "):
        raise refuse("it gives a binary file as a difference (delta), which shows neither side; only literal is taken")
    match = _LITERAL.fullmatch(head)
    if match is None:
        raise refuse(f"line {at + 1}: a binary file needs both of its sides, each as 'literal' and its size")
    size = int(match[1])
    if size > room:
        raise refuse(f"its binary files have {size:,} bytes where {room:,} are left of what is allowed")
    end = at + 1
    while end < len(lines) and lines[end]:
        end += 1
    return _inflate(_decode(lines[at + 1 : end], at + 1), size), end + 1


def _decode(lines: Sequence[bytes], at: int) -> bytes:
    """Return the bytes behind lines of base85: every line but the last is full, and the padding is nothing."""
    last = lines[-1] if lines else b""
    length = _LENGTHS.find(last[:1]) + 1 if last else 0
    if not length or len(last) != 1 + -(-length // 4) * 5:
        raise refuse(f"line {at + len(lines)}: a binary file ends in a broken line")
    for number, line in enumerate(lines[:-1], at + 1):
        if len(line) != _FULL_LINE or line[:1] != _LENGTHS[-1:]:
            raise refuse(f"line {number}: a line of a binary file has not the length that it says")
    try:
        decoded = base64.b85decode(b"".join(line[1:] for line in lines))
    except ValueError as error:
        raise refuse("a binary file is not written in git's base85") from error
    size = _LINE * (len(lines) - 1) + length
    if any(decoded[size:]):
        raise refuse("a binary file hides bytes in its padding")
    return decoded[:size]


def _inflate(packed: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise refuse("a binary file cannot be unpacked") from error
    if len(content) != size or not inflater.eof:
        raise refuse(f"a binary file has not the {size:,} bytes that it says")
    if inflater.unused_data:
        raise refuse("a binary file has bytes behind its end")
    return content


def check_binary(path: str, kind: ChangeKind, ids: bytes, *, old: bytes, new: bytes) -> BinaryDiff:
    """Return both sides once the ids in the index line name them. Raises `Refused`."""
    match = _IDS.fullmatch(ids)
    if match is None or len(match[1]) != len(match[2]):
        raise refuse(f"{show(path)} is a binary file without the full object ids of both sides")
    length = len(match[1])
    wanted = tuple(
        "0" * length if is_absent else blob_id(content, length)
        for content, is_absent in ((old, kind is ChangeKind.ADDED), (new, kind is ChangeKind.DELETED))
    )
    if (match[1].decode(), match[2].decode()) != wanted or (old and kind is ChangeKind.ADDED):
        raise refuse(f"{show(path)} has other bytes than its object ids name")
    if new and kind is ChangeKind.DELETED:
        raise refuse(f"{show(path)} is deleted, and has bytes afterwards")
    if old == new:
        raise refuse(f"it names {show(path)} but changes nothing in it")
    if _is_text(old) and _is_text(new):
        raise refuse(f"{show(path)} is text that is written as a binary file, so that nobody reads it")
    return BinaryDiff(old=old, new=new, id_length=length)


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False


def render_binary(binary: BinaryDiff, kind: ChangeKind) -> Iterator[bytes]:
    """Yield the canonical text of a binary file below its mode and name lines."""
    absent = "0" * binary.id_length
    old = absent if kind is ChangeKind.ADDED else blob_id(binary.old, binary.id_length)
    new = absent if kind is ChangeKind.DELETED else blob_id(binary.new, binary.id_length)
    yield f"index {old}..{new}\n".encode()
    yield GIT_BINARY + b"\n"
    yield from _render_half(binary.new)
    yield from _render_half(binary.old)


def _render_half(content: bytes) -> Iterator[bytes]:
    yield b"literal %d\n" % len(content)
    packed = b"".join(_store(content))
    for at in range(0, len(packed), _LINE):
        part = packed[at : at + _LINE]
        yield _LENGTHS[len(part) - 1 : len(part)] + base64.b85encode(part, pad=True) + b"\n"
    yield b"\n"


def _store(content: bytes) -> Iterator[bytes]:
    """Yield a zlib stream (RFC 1950) of stored blocks alone (RFC 1951, 3.2.4): the same bytes from every program."""
    yield _ZLIB_STORED
    for at in range(0, max(1, len(content)), _BLOCK):
        part = content[at : at + _BLOCK]
        is_last = at + _BLOCK >= len(content)
        yield bytes([is_last]) + len(part).to_bytes(2, "little") + (len(part) ^ 0xFFFF).to_bytes(2, "little") + part
    yield zlib.adler32(content).to_bytes(4, "big")
