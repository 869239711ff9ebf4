"""Files that `nightshift logs` reads, and what it prints of them: redacted, and harmless for a terminal."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from bot.agent.redaction import load_redactor
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Refused
from bot.reduction.blocks import BLOCK
from connectors.logs.file_blocks import BROKEN, read_blocks

MAX_UNPACKED: Final = 64 * 1024 * 1024 * 1024
"""Of a packed file; how much more than itself it may unpack to is limited too."""


class LogFile:
    """`BlockSource` over one open file: a rotation while it is read changes nothing."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self._stream = stream
        self.name = name
        status = os.fstat(stream.fileno())
        self.near = datetime.fromtimestamp(status.st_mtime, UTC)
        self.notes: list[str] = []

    def blocks(self) -> Iterator[bytes]:
        self.notes.clear()
        try:
            yield from read_blocks(self._stream, most=MAX_UNPACKED, size=BLOCK)
        except BROKEN as error:
            self.notes.append(f"{self.name}: not read to its end ({error})")


def open_logs(paths: Sequence[Path], stack: ExitStack) -> list[LogFile]:
    """Open the files. Raises `Refused` for the first that cannot be read."""
    return [LogFile(_name(path, paths), stack.enter_context(_open(path))) for path in paths]


def _name(path: Path, paths: Sequence[Path]) -> str:
    return str(path) if [other.name for other in paths].count(path.name) > 1 else path.name


def _open(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not make us wait
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.", Reason.NOT_FOUND) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{path} is no file.", Reason.BAD_INPUT)
    return os.fdopen(descriptor, "rb")


class Cleaner:
    """Makes texts from logs fit to be printed."""

    def __init__(self) -> None:
        self._redactor = load_redactor([], os.urandom(32))

    def redact(self, lines: Sequence[str]) -> list[str]:
        """Return the lines without secrets; lines of one record together, a key runs over many of them."""
        return self._redactor.redact_lines(lines)

    def show(self, text: str) -> str:
        """Return redacted text that a terminal finds nothing to obey in."""
        return make_harmless(text)
