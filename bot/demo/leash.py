"""Run a command that ends when its parent does: python -I -S leash.py PARENT_PID COMMAND…

Standard library only and run as a plain file, so that it costs a few milliseconds before it becomes the command.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def on_leash(argv: Sequence[str]) -> list[str]:
    """Return the argument list that runs `argv` until this process is gone."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *argv]


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):  # the parent was gone before the kernel was asked to watch it
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
