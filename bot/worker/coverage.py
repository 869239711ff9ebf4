"""Which functions of the repository a check calls: a commit that touches none of them is hardly to blame."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

from bot.domain.nearness import Executed
from bot.domain.testing import is_pytest, is_unittest

WATCHER: Final = "sitecustomize.py"
_MARK: Final = "nightshift-executed "
_MAX_JSON: Final = 4 * 1024 * 1024
_FOLDER: Final = "/nightshift"


def is_watched(command: Sequence[str]) -> bool:
    """Say whether a command runs Python, so that what it calls can be written down."""
    first = PurePosixPath(command[0]).name if command else ""
    return first.startswith("python") or is_pytest(command) or is_unittest(command)


@cache
def watch_files() -> Mapping[str, bytes]:
    return {WATCHER: Path(__file__).with_name("watcher.py").read_bytes()}


def watch_env(env: Mapping[str, str]) -> dict[str, str]:
    path = env.get("PYTHONPATH", "")
    return {**env, "PYTHONPATH": f"{_FOLDER}:{path}" if path else _FOLDER}


def take_executed(text: str) -> tuple[str, Executed]:
    """Return a check's output without what was written down, and that. The repository's code could forge it."""
    kept, found = list[str](), dict[str, frozenset[str]]()
    for line in text.split("\n"):
        if not line.startswith(_MARK):
            kept.append(line)
            continue
        for path, names in _read(line.removeprefix(_MARK)).items():
            found[path] = found.get(path, frozenset()) | names
    return "\n".join(kept), found


def merge_executed(runs: Iterable[Executed]) -> Executed:
    """Return what any of several runs called."""
    found: dict[str, frozenset[str]] = {}
    for run in runs:
        for path, names in run.items():
            found[path] = found.get(path, frozenset()) | names
    return found


def _read(line: str) -> dict[str, frozenset[str]]:
    try:
        inflated = zlib.decompressobj().decompress(base64.b64decode(line, validate=True), _MAX_JSON)
        said = json.loads(inflated)
    except (ValueError, zlib.error, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        path: frozenset(name for name in names if isinstance(name, str))
        for path, names in said.items()
        if isinstance(names, list)
    }
