"""What a test command says beyond its exit code: that it ran nothing, that it broke in another way, which tests failed.

Known are pytest and unittest; of any other command the exit code is all there is.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from bot.domain.evidence import Check

MAX_FAILING: Final = 500

_NOTHING_RAN: Final = frozenset({4, 5})
_MISSING: Final = re.compile(r"^\S*\.?_FailedTest\b|\(unittest\.loader\._FailedTest", re.MULTILINE)
_NO_TESTS: Final = re.compile(r"^NO TESTS RAN|^Ran 0 tests", re.MULTILINE)
_NO_RUNNER: Final = re.compile(r"^\S{0,300}: No module named (pytest|nose|tox)\b", re.MULTILINE)
_PYTEST_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S{1,300}\.py\b.{0,300}?)(?: - .*)?$", re.MULTILINE)
_UNITTEST_FAILED: Final = re.compile(r"^(?:FAIL|ERROR): (\w{1,200}) \(([\w.]{1,300})\)", re.MULTILINE)
_UNITTEST_ID: Final = re.compile(r"\w+(?:\.\w+)+")


def is_pytest(command: Sequence[str]) -> bool:
    return any(PurePosixPath(word).name in {"pytest", "py.test"} or " pytest" in f" {word}" for word in command)


def is_unittest(command: Sequence[str]) -> bool:
    return any(word == "unittest" or " unittest" in word for word in command)


def name_files(command: Sequence[str]) -> tuple[str, ...]:
    """Return the repository files that a command may name: paths, pytest's node ids, unittest's dotted names."""
    words = [part for word in command for part in (word.split() if " " in word else (word,))]
    found: list[str] = []
    for word in words:
        path = word.partition("::")[0].partition("=")[2] or word.partition("::")[0]
        if path.startswith(("-", "/")) or ".." in PurePosixPath(path).parts:
            continue
        if re.fullmatch(r"[\w.@+/-]+\.\w{1,8}", path):
            found.append(path.removeprefix("./"))
        if is_unittest(command) and _UNITTEST_ID.fullmatch(word):
            parts = word.split(".")
            found += ["/".join(parts[:length]) + ".py" for length in range(len(parts), 0, -1)]
    return tuple(dict.fromkeys(found))


def name_folders(command: Sequence[str]) -> tuple[str, ...]:
    """Return the repository folders that a command may name, as the beginnings of paths in them: "test/"."""
    words = (word.removeprefix("./").rstrip("/") for word in command[1:])
    return tuple(dict.fromkeys(f"{word}/" for word in words if re.fullmatch(r"\w[\w@+/-]*", word)))


def read_verdict(command: Sequence[str], exit_code: int, output: str, *, red_code: int | None = None) -> Check:
    """Return what a finished command says. A test that could not be run is neither red nor green.

    `red_code` is how it ended where it was known to be red: pytest ends otherwise where it failed otherwise.
    """
    if exit_code in {126, 127} or _NO_RUNNER.search(output):
        return Check.UNKNOWN
    if exit_code == 0:
        return Check.UNKNOWN if is_unittest(command) and _NO_TESTS.search(output) else Check.GREEN
    if ran_nothing(command, exit_code, output):
        return Check.UNKNOWN
    return Check.UNKNOWN if is_pytest(command) and red_code is not None and exit_code != red_code else Check.RED


def ran_nothing(command: Sequence[str], exit_code: int, output: str) -> bool:
    """Say whether the tests that were asked for are not there."""
    if is_pytest(command):
        return exit_code in _NOTHING_RAN
    return is_unittest(command) and bool(_MISSING.search(output) or (exit_code == 5 and _NO_TESTS.search(output)))


def find_failing(output: str) -> frozenset[str]:
    """Return the tests that a run names as failed."""
    found = [match.group(1).strip() for match in _PYTEST_FAILED.finditer(output)]
    for match in _UNITTEST_FAILED.finditer(output):
        name, place = match.groups()
        found.append(place if place.endswith(f".{name}") else f"{place}.{name}")
    return frozenset(found[:MAX_FAILING])


def stops_early(command: Sequence[str]) -> bool:
    """Say whether a command may leave out tests once some have failed."""
    words = [word for part in command for word in part.split()]
    short = {"-x", "-f"} if is_unittest(command) else {"-x"}
    return any(word in {"--exitfirst", "--failfast", *short} or word.startswith("--maxfail") for word in words)


def name_test(test: str) -> str:
    """Return the function of a test that a run names, without its parameters."""
    return re.split(r"::|\.", test.partition("[")[0])[-1]


def name_test_files(test: str) -> tuple[str, ...]:
    """Return the files that a test may stand in."""
    if "::" in test:
        return (test.partition("::")[0],)
    parts = test.split(".")[:-1]
    return tuple("/".join(parts[:length]) + ".py" for length in range(len(parts), 0, -1))


def widen(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs every test where the given one runs some; empty where that cannot be told."""
    if any(" " in word for word in command):
        return ()
    for place, word in enumerate(command):
        if PurePosixPath(word).name in {"pytest", "py.test"}:
            return (*command[: place + 1], "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider")
        if word == "unittest":
            return (*command[: place + 1], "-q")
    return ()
