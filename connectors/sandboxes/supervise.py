"""Watches one running sandbox: time, memory and output limits, the end of everything it started."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from bot.errors import LimitReached, Reason, Unavailable
from bot.ports.sandbox import SandboxLimits, SandboxResult
from connectors.sandboxes.watchdog import find_family, measure_memory

_POLL_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 5.0

Ending = asyncio.Future[str]
"""Why a run ends: a limit's name, "" when it ended by itself."""


async def run_to_end(start: Callable[[Ending], Coroutine[None, None, SandboxResult]]) -> SandboxResult:
    """Run a job that is never cancelled half-way: a cancelled caller waits until the job was ended in order.

    A sandbox that is torn down while it is being set up could leave processes behind.
    """
    ended: Ending = asyncio.get_running_loop().create_future()
    run = asyncio.create_task(start(ended))
    try:
        return await asyncio.shield(run)
    except asyncio.CancelledError:
        _settle(ended, "cancelled")
        await asyncio.gather(run, return_exceptions=True)
        raise


class Pipe:
    """A pipe whose writing end goes to a child; what arrives is read in the background."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._text: asyncio.Task[bytes] | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def listen(self) -> None:
        """Close our copy of the writing end and start reading. Called once the child runs."""
        os.close(self.write_end)
        self.write_end = -1
        reader = asyncio.StreamReader()
        file = os.fdopen(self._read_end, "rb", 0)
        self._read_end = -1
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        self._text = asyncio.create_task(reader.read())

    async def text(self) -> bytes:
        """Return all that was written, once every writer is gone."""
        return await self._text if self._text is not None else b""

    def close(self) -> None:
        if self._text is not None:
            self._text.cancel()
        if self._transport is not None:
            self._transport.close()
        for descriptor in (self._read_end, self.write_end):
            if descriptor >= 0:
                os.close(descriptor)


class Doomed:
    """A process that certainly dies before `end` returns, and with it all that dies with it.

    It is held by a pidfd, so that a reused number is never killed.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    def kill(self) -> None:
        if self._handle >= 0:
            try:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            except ProcessLookupError:
                return

    async def end(self) -> None:
        """Kill it and wait until it is gone."""
        if self._handle < 0:
            return
        self.kill()
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[str] = loop.create_future()
        loop.add_reader(self._handle, _settle, gone, "")
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await gone
        except TimeoutError as error:
            raise Unavailable(f"The sandbox's process {self.pid} did not end after SIGKILL.", Reason.TIMEOUT) from error
        finally:
            loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1


def _settle(future: "asyncio.Future[str]", value: str) -> None:
    if not future.done():
        future.set_result(value)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What there is to watch. `root` is the root of the process tree whose memory counts, where it is ours to
    count; `excess` is asked at each poll and names a limit that was passed, or "". The process is ended by the
    signal `stop`; what it leaves dies with `doomed`."""

    process: asyncio.subprocess.Process
    limits: SandboxLimits
    started: float
    root: int | None = None
    doomed: Doomed | None = None
    excess: Callable[[], Awaitable[str]] | None = None
    stop: signal.Signals = signal.SIGKILL


class Watch:
    """Runs until the job ends or a limit ends it."""

    def __init__(self, watched: Watched, ended: Ending) -> None:
        self._watched = watched
        self._output = bytearray()
        self._ended = ended

    async def result(self) -> SandboxResult:
        """Return what came of it. All that the sandbox started is gone by then."""
        process, limits = self._watched.process, self._watched.limits
        loop = asyncio.get_running_loop()
        reading = asyncio.create_task(self._read())
        watching = asyncio.create_task(self._poll())
        exiting = asyncio.create_task(process.wait())
        exiting.add_done_callback(lambda _: _settle(self._ended, ""))
        left = max(0.0, self._watched.started + limits.seconds - time.monotonic())
        timer = loop.call_later(left, _settle, self._ended, "time")
        try:
            ended_by = await self._ended
        finally:
            timer.cancel()
            watching.cancel()
            await self._end(exiting)
        await reading
        if len(self._output) > limits.output:
            ended_by = "output"
        return SandboxResult(
            exit_code=_exit_code(process) if not ended_by else None,
            output=bytes(self._output[: limits.output]),
            seconds=time.monotonic() - self._watched.started,
            ended_by=ended_by,
        )

    async def _end(self, exiting: "asyncio.Task[int]") -> None:
        # Both before waiting: the process counts as ended only when nobody holds its output open any more.
        if self._watched.process.returncode is None:
            self._watched.process.send_signal(self._watched.stop)
        if self._watched.doomed is not None:
            self._watched.doomed.kill()
        await exiting
        if self._watched.doomed is not None:
            await self._watched.doomed.end()

    async def _read(self) -> None:
        stream = self._watched.process.stdout
        if stream is None:
            return
        while piece := await stream.read(65536):
            room = self._watched.limits.output + 1 - len(self._output)
            self._output += piece[:room]
            if len(self._output) > self._watched.limits.output:
                _settle(self._ended, "output")

    async def _poll(self) -> None:
        while not self._ended.done():
            if reason := await self._excess():
                _settle(self._ended, reason)
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _excess(self) -> str:
        root = self._watched.root
        if root is not None and measure_memory(find_family(root)) > self._watched.limits.memory:
            return "memory"
        return await self._watched.excess() if self._watched.excess is not None else ""


def _exit_code(process: asyncio.subprocess.Process) -> int:
    code = process.returncode
    assert code is not None
    return code if code >= 0 else 128 - code


def check_report(rung: str, report: bytes, result: SandboxResult) -> None:
    """Raise unless the launcher reported, after whatever the rung's program said, that it started the job."""
    said, mark, word = report.rpartition(b"\0")
    if word.startswith(b"R") or (not mark and result.ended_by):
        return
    if mark and word.startswith(b"U"):
        raise LimitReached(
            f"The work tree could not be unpacked in the sandbox: {word[1:300].decode(errors='replace')}",
            Reason.TOO_LARGE,
        )
    why = (said + word + result.output)[-500:].decode(errors="replace").strip() or f"exit code {result.exit_code}"
    raise Unavailable(f"The {rung} sandbox did not start: {why}", Reason.UNSAFE)
