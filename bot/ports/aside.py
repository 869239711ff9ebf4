"""Work that may hang, in a thread that nobody has to wait for: not its caller, and not the end of the process."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], *, name: str) -> "Future[T]":
    """Start the work; what it returns or raises is the future's. A thread of a pool would keep a place there."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- handed over whole, to whoever waits
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future
