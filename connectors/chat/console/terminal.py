"""The terminal's two ends: keys read without echo and always given back, text written without holding up the bot."""

import asyncio
import atexit
import codecs
import os
import re
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from bot.errors import Reason, Unavailable
from bot.ports.hand import Hand

_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)")
_WRITE_SECONDS = 5.0


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether cursor movement makes sense there."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # a closed stream
        return False


@contextmanager
def raw_keys(file: int) -> Iterator[None]:
    """Switch the terminal to single keys without echo; give it back however this ends. Ctrl-C stays Ctrl-C."""
    before = termios.tcgetattr(file)

    def restore() -> None:
        termios.tcsetattr(file, termios.TCSADRAIN, before)

    atexit.register(restore)
    try:
        tty.setcbreak(file)
        yield
    finally:
        atexit.unregister(restore)
        restore()


def read_stdin() -> AsyncIterator[str]:
    """Yield keys where stdin is our terminal, whole lines where it is something else; ends at its end."""
    try:
        file = sys.stdin.fileno()
        ours = os.isatty(file) and os.tcgetpgrp(file) == os.getpgrp()
    except (AttributeError, ValueError, OSError):  # no stdin, a closed one, or a test's stand-in
        return _nothing()
    if os.isatty(file) and not ours:  # in the background: reading would stop the whole process
        return _nothing()
    return read_keys(file) if ours else _read_lines(sys.stdin)


async def _nothing() -> AsyncIterator[str]:
    return
    yield


async def read_keys(file: int) -> AsyncIterator[str]:
    loop, chunks = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take() -> None:
        """Read only here, where there is something to read: a terminal blocks, and would stop the whole loop."""
        try:
            chunk = os.read(file, 4096)
        except OSError:  # the terminal is gone
            chunk = b""
        if not chunk:
            loop.remove_reader(file)
        chunks.put_nowait(chunk)

    with raw_keys(file):
        loop.add_reader(file, take)
        try:
            while chunk := await chunks.get():
                text = _SEQUENCE.sub("", decoder.decode(chunk))
                if text:
                    yield text
        finally:
            loop.remove_reader(file)


async def _read_lines(stream: TextIO) -> AsyncIterator[str]:
    """A thread of its own: a file or a pipe cannot be polled everywhere, and may never end."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def pump() -> None:
        try:
            for line in iter(stream.readline, ""):
                loop.call_soon_threadsafe(lines.put_nowait, line if line.endswith("\n") else line + "\n")
            loop.call_soon_threadsafe(lines.put_nowait, "")
        except (RuntimeError, ValueError, OSError):  # the loop or the stream was closed meanwhile
            return

    threading.Thread(target=pump, name="console-lines", daemon=True).start()
    while line := await lines.get():
        yield line


class Writer:
    """Writes on a thread of its own: a terminal stopped with Ctrl-S must never stop the paging."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._hand = Hand("console-writer")

    async def write(self, text: str) -> None:
        """Return once the text is out. Raises `Unavailable` where the terminal does not take it."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._hand.do(partial(self._put, text))
        except TimeoutError:
            raise Unavailable("The terminal takes no text. Is it stopped with Ctrl-S?", Reason.TIMEOUT) from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"The terminal is gone: {error}", Reason.UNREACHABLE) from error

    def _put(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()
