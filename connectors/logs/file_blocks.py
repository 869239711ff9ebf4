"""Reads a log file as numbered raw lines in bounded memory: packed files, endless lines and bombs included."""

import codecs
import gzip
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import BinaryIO, Final

from bot.domain.text.letters import to_utf8

MAX_LINE: Final = 64 * 1024
MAX_UNPACKED: Final = 1024 * 1024 * 1024
BLOCK: Final = 1024 * 1024
BROKEN: Final = (OSError, EOFError, zlib.error, OverflowError)
_FREE_UNPACKED: Final = 64 * 1024 * 1024
_MAX_RATIO: Final = 200
_SLACK: Final = timedelta(minutes=5)  # lines of several threads are not written in perfect order
_LOOKED_AT: Final = 20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_UNPACK: Final = ("zstd", "--decompress", "--stdout", "--quiet", "--memory=256MB")
_WIDE: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read_lines(
    stream: BinaryIO, since: datetime, until: datetime, *, time_of: Callable[[bytes], datetime | None]
) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line, without its end, at most `MAX_LINE` + 1 bytes of it.

    Stretches that lie wholly before `since` are only counted, and reading ends well after `until`. Raises one
    of `BROKEN` on a broken file or a bomb, after what could be read was yielded.
    """
    number, clock = 1, None
    waiting: bytes | None = None
    fault: Exception | None = None
    try:
        for block in _cut_blocks(_unpack(stream)):
            clock = _first_time(block, time_of) or clock
            if clock is not None and clock >= until + _SLACK:
                break
            if waiting is not None:
                if clock is None or clock >= since - _SLACK:
                    yield from _split(waiting, number)
                number += waiting.count(b"\n")
            waiting = block
    except BROKEN as error:
        fault = error
    if waiting is not None:
        yield from _split(waiting, number)
    if fault is not None:
        raise fault


def read_blocks(stream: BinaryIO, *, most: int = MAX_UNPACKED, size: int = BLOCK) -> Iterator[bytes]:
    """Yield blocks of whole lines, of about `size` bytes, from the beginning; at most `most` bytes of a packed file.

    Raises one of `BROKEN` on a broken file or a bomb, after what could be read was yielded.
    """
    stream.seek(0)
    return _cut_blocks(_unpack(stream, most, size))


def _split(block: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for offset, line in enumerate(lines):
        yield number + offset, line[: MAX_LINE + 1].rstrip(b"\r")


def _first_time(block: bytes, time_of: Callable[[bytes], datetime | None]) -> datetime | None:
    for line in block[:BLOCK].split(b"\n", _LOOKED_AT)[:_LOOKED_AT]:
        if (found := time_of(line)) is not None:
            return found
    return None


def _cut_blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines in UTF-8. Of a line longer than a block only the beginning is kept."""
    rest = b""
    fault: Exception | None = None
    try:
        for chunk in chunks:
            cut = chunk.rfind(b"\n") + 1
            if cut:
                yield to_utf8(b"".join((rest, memoryview(chunk)[:cut])))
                rest = chunk[cut:]
            elif len(rest) <= MAX_LINE:
                rest += chunk[: MAX_LINE + 1]
    except BROKEN as error:
        fault = error
    if rest:
        yield to_utf8(rest)
    if fault is not None:
        raise fault


def _unpack(stream: BinaryIO, most: int = MAX_UNPACKED, size: int = BLOCK) -> Iterator[bytes]:
    """Yield what a file holds, unpacked; UTF-16 as UTF-8."""
    chunks = _read_chunks(stream, most, size)
    first = next(chunks, b"")
    encoding = _WIDE.get(first[:2])
    if encoding is None:
        yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chain((first[2:],), chunks):
        yield decoder.decode(chunk).encode("utf-8", "replace")


def _read_chunks(stream: BinaryIO, most: int, size: int) -> Iterator[bytes]:
    head = stream.read(4)
    stream.seek(0)
    if head[:2] == _GZIP:
        with gzip.GzipFile(fileobj=stream, mode="rb") as packed:
            unpacked = 0
            while chunk := packed.read1(BLOCK):
                unpacked += len(chunk)
                _refuse_bomb(unpacked, stream.tell(), most)
                yield chunk
    elif head == _ZSTD:
        yield from _unpack_zstd(stream, most)
    else:
        while chunk := stream.read(size):
            yield chunk


def _unpack_zstd(stream: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield what the program zstd unpacks, which gets the open file and an end to its memory."""
    unpacked, size = 0, os.fstat(stream.fileno()).st_size
    os.lseek(stream.fileno(), 0, os.SEEK_SET)  # what was looked at is in our buffer, and zstd has its own
    with subprocess.Popen(_UNPACK, stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read1(BLOCK):  # type: ignore[attr-defined] # a buffered reader
                unpacked += len(chunk)
                _refuse_bomb(unpacked, size, most)
                yield chunk
            if process.wait() != 0:
                raise EOFError("zstd cannot unpack it")
        finally:
            process.kill()


def _refuse_bomb(unpacked: int, packed: int, most: int) -> None:
    if unpacked > most:
        raise OverflowError(f"over {most // 2**20} MiB unpacked")
    if unpacked > _FREE_UNPACKED and unpacked > _MAX_RATIO * packed:
        raise OverflowError(f"unpacks to more than {_MAX_RATIO} times its size")
