"""What the worker writes on its standard error, on its way into the log of the front process.

It goes through the front's log, which knows the installation's secrets and is rotated; the worker knows neither.
"""

import asyncio
import json
import os
from typing import Any, Final, TypeGuard

import structlog

log = structlog.get_logger("nightshift.worker")
LINE_BYTES: Final = 16 * 1024
_OWN: Final = frozenset({"event", "level", "logger", "timestamp"})


async def open_words() -> tuple[int, asyncio.Task[None]]:
    """Return the descriptor that a worker writes to, and the task that logs what it writes.

    A pipe of our own: one of asyncio's would keep `wait()` waiting for every grandchild that holds it open.
    """
    read_end, write_end = os.pipe()
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
    )

    async def relay() -> None:
        try:
            await relay_words(stream)
        finally:
            transport.close()

    return write_end, asyncio.create_task(relay(), name="worker words")


async def relay_words(stream: asyncio.StreamReader) -> None:
    """Log each line until the worker is gone. A line without end is cut into pieces, never waited for."""
    kept = b""
    while chunk := await stream.read(LINE_BYTES):
        *lines, kept = (kept + chunk).split(b"\n")
        for line in lines:
            _log(line)
        if len(kept) >= LINE_BYTES:
            _log(kept)
            kept = b""
    _log(kept)


def _log(line: bytes) -> None:
    text = line[:LINE_BYTES].decode(errors="replace").rstrip()
    if not text:
        return
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not _is_event(said):
        log.warning("worker_says", line=text)
        return
    more = {f"worker_{key}": value for key, value in said.items() if key not in _OWN}
    say = log.info if said.get("level") in {"info", "debug"} else log.warning
    say(said["event"], **more)


def _is_event(said: object) -> TypeGuard[dict[str, Any]]:
    """Say whether it is an event as our own log writes it: flat, with a name."""
    if not isinstance(said, dict) or not isinstance(said.get("event"), str):
        return False
    return not any(isinstance(value, dict | list) for value in said.values())
