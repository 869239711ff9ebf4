"""The demo's folder: one demo at a time, and nothing that the demo did not make is ever wiped."""

import fcntl
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK = ".nightshift-demo"


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to look at."""


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Wipe and hold the folder. Raises `DemoError` where it holds something else, or another demo runs in it."""
    folder = folder.absolute()
    mark = folder / _MARK
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise DemoError(f"{folder} holds something that is not a demo's; name another folder, or empty it yourself.")
    folder.mkdir(parents=True, exist_ok=True)
    with mark.open("a", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"Another demo runs in {folder}; stop it with Ctrl-C, or name another folder.") from None
        for entry in folder.iterdir():
            if entry.name == _MARK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        yield folder


def free_ports(count: int) -> list[int]:
    """Return loopback ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
