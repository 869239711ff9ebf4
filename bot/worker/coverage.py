"""Which functions of the repository a check calls: a commit that touches none of them is hardly to blame."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

from bot.domain.checks.testing import is_pytest, is_unittest
from bot.domain.suspects.nearness import Executed
from bot.domain.suspects.spectrum import Called, Spectrum, find_spectrum

WATCHER: Final = "sitecustomize.py"
_MARK: Final = "nightshift-executed "
_MAX_JSON: Final = 16 * 1024 * 1024
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


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a check called: all of it, and each of its tests where it has some that are known; `failing` failed."""

    executed: Executed = field(default_factory=dict)
    tests: Called = field(default_factory=dict)
    failing: frozenset[str] = frozenset()

    @property
    def spectrum(self) -> Spectrum:
        return find_spectrum(self.tests, self.failing)

    @property
    def of_failing(self) -> Executed:
        """Return what was called but for what only tests called that did not fail."""
        spectrum = self.spectrum
        return {
            path: frozenset(name for name in names if spectrum.of(path, name) != 0)
            for path, names in self.executed.items()
        }


def take_executed(text: str) -> tuple[str, Seen]:
    """Return a check's output without what was written down, and that. The repository's code could forge it."""
    kept, found, tests = list[str](), list[Executed](), dict[str, frozenset[tuple[str, str]]]()
    for line in text.split("\n"):
        if not line.startswith(_MARK):
            kept.append(line)
            continue
        said = _read(line.removeprefix(_MARK))
        found.append(_read_files(said.get("files")))
        tests |= _read_tests(said.get("functions"), said.get("tests"))
    return "\n".join(kept), Seen(executed=merge_executed(found), tests=tests)


def merge_executed(runs: Iterable[Executed]) -> Executed:
    """Return what any of several runs called."""
    found: dict[str, frozenset[str]] = {}
    for run in runs:
        for path, names in run.items():
            found[path] = found.get(path, frozenset()) | names
    return found


def _read(line: str) -> dict[str, object]:
    try:
        inflated = zlib.decompressobj().decompress(base64.b64decode(line, validate=True), _MAX_JSON)
        said = json.loads(inflated)
    except (ValueError, zlib.error, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _read_files(said: object) -> dict[str, frozenset[str]]:
    return {
        path: frozenset(name for name in names if isinstance(name, str))
        for path, names in (said.items() if isinstance(said, dict) else ())
        if isinstance(names, list)
    }


def _read_tests(functions: object, tests: object) -> dict[str, frozenset[tuple[str, str]]]:
    if not isinstance(functions, list) or not isinstance(tests, dict):
        return {}
    known = [tuple(each) for each in functions if isinstance(each, list) and len(each) == 2]
    known = [each for each in known if all(isinstance(part, str) for part in each)]
    if len(known) != len(functions):
        return {}
    return {
        name: frozenset(known[place] for place in places if type(place) is int and 0 <= place < len(known))
        for name, places in tests.items()
        if isinstance(places, list)
    }
