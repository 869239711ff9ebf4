"""Sizes: a file, a function and a parameter list stay small enough to be read at once."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.sources import PRODUCT, ROOT, Function, functions, parse, place, python_files

FILE_LINES: Final = 500
TEST_FILE_LINES: Final = 700
MEDIAN_FILE_LINES: Final = 150
FUNCTION_LINES: Final = 60
P90_FUNCTION_LINES: Final = 30
PARAMETERS: Final = 6
COMPLEXITY: Final = 10
MIGRATIONS: Final = "bot/store/migrations/versions/"  # one function is one list of tables
EVERYTHING: Final = python_files(*PRODUCT, "infra", "playbooks", "tests")
SOURCES: Final = python_files(*PRODUCT, "infra", "playbooks")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _parameters(function: Function) -> int:
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([argument for argument in named if argument.arg not in {"self", "cls"}])


def test_there_is_something_to_measure() -> None:
    assert len(SOURCES) > 100
    assert sum(1 for path in SOURCES for _ in functions(path)) > 500


def _find_large(path: Path) -> Iterator[str]:
    limit = TEST_FILE_LINES if place(path).startswith("tests/") else FILE_LINES
    if _lines(path) > limit:
        yield f"{place(path)}: {_lines(path)} lines, at most {limit}"
    for function in functions(path):
        where = f"{place(path)}:{function.lineno}: {function.name}"
        if _length(function) > FUNCTION_LINES and not place(path).startswith(MIGRATIONS):
            yield f"{where}: {_length(function)} lines, at most {FUNCTION_LINES}"
        if _parameters(function) > PARAMETERS and not place(path).startswith("tests/"):
            yield f"{where}: {_parameters(function)} parameters, at most {PARAMETERS}"


def test_no_file_or_function_is_too_large() -> None:
    faults = [fault for path in EVERYTHING for fault in _find_large(path)]
    assert not faults, "\n".join(faults)


def test_the_linter_holds_complexity_and_parameters_to_the_same_limits() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert {"C90", "PL"} <= set(rules["select"])
    assert rules["mccabe"]["max-complexity"] <= COMPLEXITY
    assert rules["pylint"]["max-args"] <= PARAMETERS


def test_most_files_and_functions_are_much_smaller() -> None:
    files = [_lines(path) for path in SOURCES]
    lengths = [_length(function) for path in SOURCES for function in functions(path)]
    assert statistics.median(files) <= MEDIAN_FILE_LINES
    assert statistics.quantiles(lengths, n=10)[-1] <= P90_FUNCTION_LINES


def test_every_exception_to_a_rule_names_its_code_and_its_reason() -> None:
    """`# noqa: S603 -- why`, `# type: ignore[code] # why`."""
    silent = [
        f"{place(path)}:{number}: {line.strip()}"
        for path in EVERYTHING
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := re.search(r"#\s*(noqa|type:\s*ignore)(?P<rest>.*)$", line))
        and not re.match(r"(: [A-Z0-9, ]+|\[[a-z, -]+\])\s*([-#—–(])\s*\S", found["rest"])
    ]
    assert not silent, "\n".join(silent)


def test_a_module_says_what_it_is_for() -> None:
    assert not [place(path) for path in SOURCES if path.name != "__init__.py" and not ast.get_docstring(parse(path))]


def test_nothing_is_called_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}
    assert not [place(path) for path in SOURCES if vague & set(path.with_suffix("").parts)]
