"""Keeps the processes small. glibc gives each thread a heap of its own and keeps what a start leaves behind: 3 MB
of 139 (measured). Another C library has no such calls, and is left as it is."""

import contextlib
import ctypes
import gc
import importlib
import sys
from typing import Final

M_ARENA_MAX: Final = -8
"""From malloc.h: how many heaps there may be. One is enough for threads that take turns at the interpreter anyway."""


def load_without_colours() -> None:
    """Load structlog without rich, which it takes along for colours that these logs do not have: 3 MB (measured). For
    the start, before anything else loads structlog."""
    if {"rich", "structlog"} & sys.modules.keys():
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails, and structlog does without
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def share_one_heap() -> None:
    """Let all threads share a heap. For the start, before there are threads."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def settle() -> None:
    """Give back what the start needed, and let what it made stay for good: a full collection stopped everything for
    80 ms (measured)."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()
