"""A program whose output is a log: run with an argument list, an empty environment, an end in time, and a bound."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import IO, Final

from bot.errors import LimitReached, Reason, Rejected, Unavailable
from connectors.logs.file_blocks import MAX_LINE

MAX_OUTPUT: Final = 256 * 1024 * 1024
PATH: Final = f"{os.defpath}:/usr/local/bin"
_BLOCK: Final = 256 * 1024
_SAID: Final = 300


def run_lines(
    argv: Sequence[str], *, env: Mapping[str, str], seconds: float, merges: bool = False, longest: int = MAX_LINE
) -> Iterator[bytes]:
    """Yield the lines that a program writes, without their ends, at most `longest` + 1 bytes of each.

    `merges` takes its error output too. Whoever stops reading ends it. Raises `Rejected` where it cannot be started,
    `Unavailable` where it failed or took too long, `LimitReached` where it writes without end.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merges else subprocess.PIPE,
            env={"PATH": PATH, "LANG": "C.UTF-8", **env},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise Rejected(f"{argv[0]} cannot be started ({type(error).__name__})", Reason.NOT_FOUND) from error
    try:
        said = yield from _read(process, argv[0], time.monotonic() + seconds, longest)
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{argv[0]} does not end", Reason.TIMEOUT) from error
    finally:
        _end(process)
    if code != 0:
        raise Unavailable(f"{argv[0]} ended with {code}{said}", Reason.SERVER_ERROR)


def _read(process: "subprocess.Popen[bytes]", name: str, ends_at: float, longest: int) -> Generator[bytes, None, str]:
    """Yield lines; return what the program said on its error output, for a message."""
    said, rest, size = b"", b"", 0
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = ends_at - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise Unavailable(f"{name} did not end in time", Reason.TIMEOUT)
            for key, _ in ready:
                chunk = os.read(key.fd, _BLOCK)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    said = (said + chunk)[-_SAID:]
                else:
                    size += len(chunk)
                    if size > MAX_OUTPUT:
                        raise LimitReached(f"{name} writes without end", Reason.TOO_LARGE)
                    lines, rest = _split(rest, chunk, longest)
                    yield from lines
    if rest:
        yield rest
    text = " ".join("".join(c if c.isprintable() else " " for c in said.decode("utf-8", "replace")).split())
    return f": {text}" if text else ""


def _split(rest: bytes, chunk: bytes, longest: int) -> tuple[list[bytes], bytes]:
    """Return whole lines and what is left; of a line without end only the beginning is kept."""
    first, *more = chunk.split(b"\n")
    rest = (rest + first)[: longest + 1] if len(rest) <= longest else rest
    if not more:
        return [], rest
    lines = [rest, *(line[: longest + 1] for line in more[:-1])]
    return [line.removesuffix(b"\r") for line in lines], more[-1][: longest + 1]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the program and everything that it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    streams: tuple[IO[bytes] | None, ...] = (process.stdout, process.stderr)
    for stream in streams:
        if stream is not None:
            stream.close()
    process.wait()
