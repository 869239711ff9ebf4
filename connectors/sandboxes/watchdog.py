"""Counts the memory of a tree of processes: resource limits bound one process each, never their sum."""

from pathlib import Path
from typing import Final

_COUNTED: Final = (b"RssAnon:", b"RssShmem:", b"VmSwap:")


def find_family(root: int) -> list[int]:
    """Return a process and all its descendants that are alive now."""
    family = [root]
    for pid in family:
        family += _children(pid)
    return family


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return found
    return found


def measure_memory(pids: list[int]) -> int:
    """Return the bytes these processes hold in memory or swap; file pages do not count, the kernel can drop them."""
    return sum(_memory_of(pid) for pid in pids)


def _memory_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = (line for line in status.splitlines() if line.startswith(_COUNTED))
    return sum(int(line.split()[1]) for line in lines) * 1024
