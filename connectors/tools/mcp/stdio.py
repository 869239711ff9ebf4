"""A server that is a program: one JSON message per line, an environment of its own, an end to every line and wait.

The SDK's own transport hands on parts of our environment and reads lines of any length; hence this one.
"""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final

from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from connectors.tools.mcp.bounds import MAX_MESSAGE, Meter

PATH: Final = f"{os.defpath}:/usr/local/bin"
END_SECONDS: Final = 0.5
MAX_SAID: Final = 300


class Stream:
    """What both directions have in common: nothing to open, nothing to close."""

    async def aclose(self) -> None: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None: ...


class Reader(Stream):
    """Messages of a server. It ends with the server, and where the server says too much."""

    def __init__(self, stream: asyncio.StreamReader, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def __aiter__(self) -> "Reader":
        return self

    async def __aenter__(self) -> "Reader":
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            line = await self._stream.readline()
        except ValueError:
            self._meter.fault = f"wrote a line of more than {MAX_MESSAGE // 1024**2} MiB"
            raise StopAsyncIteration from None
        if not line or not self._meter.add(len(line)):
            raise StopAsyncIteration
        await asyncio.sleep(0)  # lines that are there already would be read without a pause for anybody else
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            return error

    receive = __anext__


class Writer(Stream):
    """Messages to a server. What a server does not take any more is dropped: that its output ends says so."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream

    async def __aenter__(self) -> "Writer":
        return self

    async def send(self, item: SessionMessage, /) -> None:
        self._stream.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        with suppress(OSError):
            await self._stream.drain()


class Said:
    """The end of what a program wrote as errors, for a message."""

    def __init__(self) -> None:
        self._end = b""

    async def follow(self, stream: asyncio.StreamReader) -> None:
        while block := await stream.read(64 * 1024):
            self._end = (self._end + block)[-MAX_SAID:]

    @property
    def text(self) -> str:
        text = " ".join(self._end.decode("utf-8", "replace").split())
        return "".join(character for character in text if character.isprintable())


@asynccontextmanager
async def open_program(
    argv: Sequence[str], env: Mapping[str, str], *, meter: Meter, said: Said
) -> AsyncIterator[tuple[Reader, Writer]]:
    """Start a server and end it with all that it started. Raises `OSError` where it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={"PATH": PATH, "LANG": "C.UTF-8", **env},
        limit=MAX_MESSAGE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    following = asyncio.create_task(said.follow(process.stderr), name=f"words of {argv[0]}")
    try:
        yield Reader(process.stdout, meter), Writer(process.stdin)
    finally:
        try:
            await _end(process, grace=0.0 if meter.fault else END_SECONDS)
        finally:
            following.cancel()
            await asyncio.wait({following}, timeout=END_SECONDS)


async def _end(process: Process, *, grace: float) -> None:
    """Let the program end by itself for a moment, as the protocol wants it; then end its whole session."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await _wait(process, grace)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            await _wait(process, END_SECONDS)
        finally:
            # private, and the only way: a pipe that a grandchild holds would keep the transport open
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 -- see above


async def _wait(process: Process, seconds: float) -> None:
    """Wait for the program alone: `process.wait` waits for its pipes too, which nobody reads any more."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while process.returncode is None and clock() < until:  # noqa: ASYNC110 -- nothing tells of it but `wait`
        await asyncio.sleep(0.01)
