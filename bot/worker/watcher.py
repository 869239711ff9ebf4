"""Writes down which functions of the repository a Python program calls, all of it and each of its tests, and prints
them as its last line.

It is laid beside a check in the sandbox as `sitecustomize.py`, so that Python imports it first. It needs nothing but
the standard library of whatever Python from 3.7 on the check runs, and must never make the check fail. Programs that
the first one starts leave theirs in a folder, for the first to print.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import sys
import threading
import zlib
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

MARK = "nightshift-executed"
TOOL = 4
MAX_CALLS = 12_000_000
#: Stands among the files where not every call was seen.
CUT = "*"
#: So many names of functions are kept test by test; of a program with more, none are.
MAX_KEPT = 600_000
#: Where pytest and unittest begin with a test, what comes before its function included.
BEGIN = "begin"
BEGINS = {("runtestprotocol", "runner.py"), ("run", "case.py")}

Told = Any


class Tests:
    """What each test calls. A test has its name from the first function called in it that is called like one."""

    def __init__(self) -> None:
        self.found: dict[str, set[int]] = {}
        self._name = ""
        self._now: set[int] = set()
        self._kept = 0

    def see(self, code: CodeType) -> None:
        if id(code) not in self._now:
            self._now.add(id(code))
            self._kept += 1
        if not self._name and code.co_name.startswith("test"):
            self._name = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0] or (
                f"{code.co_filename}::{code.co_name}"
            )

    def begin(self) -> None:
        """Begin with the next test; one that has no name yet goes on: pytest begins unittest's tests too."""
        if self._name:
            self.end()

    def end(self) -> None:
        if self._name:
            self.found.setdefault(self._name, set()).update(self._now)
        if self._kept > MAX_KEPT:
            self.found.clear()
        self._name, self._now = "", set()


class Watch:
    """One program's calls, until it ends."""

    def __init__(self, root: str, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._is_first = not folder.is_dir()
        self._out = -1
        #: By the code's id, since its hash takes long; the code is kept so that no other gets its id.
        self._seen: dict[int, tuple[CodeType, str]] = {}
        self._tests = Tests()
        self._calls = 0
        self._is_cut = False
        if self._is_first:
            folder.mkdir()
            self._out = os.dup(1)

    def begin(self) -> None:
        atexit.register(self.end)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            threading.settrace(self._call)
            sys.settrace(self._call)
            return
        monitoring.use_tool_id(TOOL, MARK)

        def start(code: CodeType, _offset: int) -> Any:  # noqa: ANN401 -- a constant of the interpreter
            if self._see(code) == BEGIN:
                monitoring.restart_events()
                return None
            return monitoring.DISABLE

        monitoring.register_callback(TOOL, monitoring.events.PY_START, start)
        monitoring.set_events(TOOL, monitoring.events.PY_START)

    def _call(self, frame: FrameType, _event: str, _given: object) -> None:
        """See a call; nothing is returned, so that its lines are not traced. A program that calls on and on is let be:
        what it calls later it mostly has called before."""
        self._see(frame.f_code)
        self._calls += 1
        if self._calls > MAX_CALLS:
            self._is_cut = True
            sys.settrace(None)

    def _see(self, code: CodeType) -> str:
        """Note a call, and return its path in the repository: "" where it is outside, `BEGIN` where a test begins."""
        known = self._seen.get(id(code))
        if known is None:
            known = self._seen[id(code)] = (code, self._place(code))
        path = known[1]
        if path == BEGIN:
            self._tests.begin()
        elif path:
            self._tests.see(code)
        return path

    def _place(self, code: CodeType) -> str:
        path = str(Path(self._root, code.co_filename))
        if path.startswith(f"{self._root}/"):
            return path[len(self._root) + 1 :]
        return BEGIN if (code.co_name, path.rpartition("/")[2]) in BEGINS else ""

    def end(self) -> None:
        with contextlib.suppress(Exception):
            sys.settrace(None)
            self._tests.end()
            self._tell(self._collect())

    def _collect(self) -> Told:
        """Return the functions called by file, and by test as places in a list of all that a test called."""
        files: dict[str, set[str]] = {CUT: set()} if self._is_cut else {}
        for code, path in list(self._seen.values()):
            if path not in {"", BEGIN}:
                files.setdefault(path, set()).add(code.co_name)
        called = [self._seen[each] for each in set().union(*self._tests.found.values())]
        places = {id(code): place for place, (code, _) in enumerate(called)}
        return {
            "files": {path: sorted(names) for path, names in files.items()},
            "functions": [[path, code.co_name] for code, path in called],
            "tests": {
                name.replace(f"{self._root}/", "", 1): sorted(places[each] for each in functions)
                for name, functions in ({} if self._is_cut else self._tests.found).items()
            },
        }

    def _tell(self, told: Told) -> None:
        if not self._is_first:
            (self._folder / str(os.getpid())).write_text(json.dumps(told))
            return
        for file in self._folder.iterdir():
            _add(told, json.loads(file.read_text()))
        text = base64.b64encode(zlib.compress(json.dumps(told).encode())).decode()
        os.write(self._out, f"\n{MARK} {text}\n".encode())


def _add(told: Told, other: Told) -> None:
    """Add what another program called."""
    for path, names in other["files"].items():
        told["files"][path] = sorted({*names, *told["files"].get(path, ())})
    first = len(told["functions"])
    told["functions"] += other["functions"]
    for name, called in other["tests"].items():
        told["tests"].setdefault(name, []).extend(place + first for place in called)


with contextlib.suppress(Exception):
    Watch(str(Path.cwd()), Path(os.environ.get("TMPDIR", "/tmp"), MARK)).begin()  # noqa: S108 -- the sandbox's own
