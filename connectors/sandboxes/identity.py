"""Which user a job runs as."""

import os
import secrets
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
# No distribution hands out user ids from here on; one per run, so that the process limit counts that run alone.
_FREE_IDS: Final = 0x70000000
_FREE_IDS_COUNT: Final = 0x0F000000


def pick_user() -> int:
    """Return a user id that nothing else runs under, where this process may use such ids.

    Not root: `NOBODY`; a user namespace of its own counts alone under any id.
    """
    if os.geteuid() != 0:
        return NOBODY
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    wanted = _FREE_IDS + secrets.randbelow(_FREE_IDS_COUNT)
    if any(int(first) <= wanted < int(first) + int(count) for first, _, count in ranges):
        return wanted
    return NOBODY
