"""SIGTERM and Ctrl-C: the first asks for an orderly stop, every later one is harmless."""

import asyncio
import signal
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def listen_for_stop() -> asyncio.Event:
    """Return the event that the first signal sets. Call it in the main thread, inside the loop.

    No handler of the loop's own: it would be gone when the loop closes, and a second signal would kill the process.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        for name in SIGNALS:
            signal.signal(name, _do_nothing)
        loop.call_soon_threadsafe(asked.set)

    for name in SIGNALS:
        signal.signal(name, stop)
    return asked


def ignore_signals() -> None:
    """Nothing is left to do but to exit. Not sooner: a child process would inherit it."""
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """In the place of SIG_IGN, which child processes would inherit."""
