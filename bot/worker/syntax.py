"""Whether an edited file parses: by tree-sitter's grammars, and by the readers of JSON, TOML and YAML. In the worker.

Only what an edit brings in is a fault: a file that did not parse before is nobody's news, and a grammar that is behind
its language says the same of the file before and after. Sources are hostile: nothing here recurses over them.
"""

import ast
import json
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from bot.agent.inspecting import Edited, Fault, Inspection
from bot.worker.outline import MAX_BYTES, parse_tree

MAX_FAULTS: Final = 50
_TEMPLATE: Final = re.compile(rb"(?<!\$)\{\{|\{%|<%")
_AT_LINE: Final = re.compile(r"\(at line (\d+)")


def inspect(edited: Edited) -> Inspection:
    """Return what the parsers say about edited files."""
    faults: list[Fault] = []
    unparsed: list[str] = []
    for path, (before, after) in sorted(edited.items()):
        found = find_new_faults(path, before, after)
        if found is None:
            unparsed.append(path)
        else:
            faults += found
    return Inspection(faults=tuple(faults), unparsed=tuple(unparsed))


def find_new_faults(path: str, before: bytes | None, after: bytes) -> tuple[Fault, ...] | None:
    """Return what does not parse since the edit; None where the file cannot be parsed at all."""
    suffix = PurePosixPath(path).suffix.lower()
    if len(after) > MAX_BYTES:
        return None
    if suffix in _READERS:
        return _read_data(path, suffix, before, after)
    now = _walk(path, after)
    if not now:
        return now
    known = Counter(_kind(fault) for fault in (_walk(path, before) or () if before is not None else ()))
    new: list[Fault] = []
    for fault in now:
        known[_kind(fault)] -= 1
        if known[_kind(fault)] < 0:
            new.append(fault)
    return tuple(new)


def _kind(fault: Fault) -> tuple[str, str]:
    """Return what stays of a fault that only moved to another line."""
    return fault.why, fault.code.strip()


# Languages ------------------------------------------------------------------------------------------------------------
def _walk(path: str, source: bytes) -> tuple[Fault, ...] | None:
    """Return every place that does not parse; None where no grammar knows the language."""
    tree = parse_tree(path, source)
    if tree is None:
        return None
    lines = source.decode("utf-8", "replace").split("\n")
    found = [_fault(path, lines, line, why) for line, why in _list_errors(tree.root_node)]
    if not found and PurePosixPath(path).suffix.lower() == ".py":
        found = [_fault(path, lines, line, why) for line, why in _find_indentation(source)]
    return tuple(sorted(found, key=lambda fault: fault.line))


def _list_errors(root: Any) -> Iterator[tuple[int, str]]:  # noqa: ANN401 -- the grammars carry no types
    """Yield the innermost nodes that are wrong, with their lines."""
    waiting, count = [root], 0
    while waiting and count < MAX_FAULTS:
        node = waiting.pop()
        if node.is_missing:
            count += 1
            yield node.start_point[0] + 1, f"{node.type!r} is missing"
            continue
        inner = [child for child in node.children if child.has_error or child.is_missing]
        if node.type == "ERROR" and not inner:
            count += 1
            yield node.start_point[0] + 1, "a syntax error"
        waiting += inner


def _find_indentation(source: bytes) -> Iterator[tuple[int, str]]:
    """Yield what Python minds in white space: its grammar reads over that, and its rule is the same in all versions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except IndentationError as error:
        yield error.lineno or 1, error.msg
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # another version's syntax, or nothing that can be judged here


def _fault(path: str, lines: list[str], line: int, why: str) -> Fault:
    code = lines[line - 1] if 0 < line <= len(lines) else ""
    return Fault(path=path, line=line, code=code, why=why)


# Data -----------------------------------------------------------------------------------------------------------------
def _read_data(path: str, suffix: str, before: bytes | None, after: bytes) -> tuple[Fault, ...] | None:
    """Judge a file of data; None for a template, and for one that could not be read before either."""
    fault = _READERS[suffix](after)
    if fault is None:
        return ()
    if _TEMPLATE.search(after) or (before and _READERS[suffix](before) is not None):
        return None
    line, why = fault
    return (_fault(path, after.decode("utf-8", "replace").split("\n"), line, why),)


def _read_json(source: bytes) -> tuple[int, str] | None:
    try:
        json.loads(source)
    except json.JSONDecodeError as error:
        return error.lineno, error.msg
    except (ValueError, RecursionError) as error:
        return 1, str(error)[:120]
    return None


def _read_toml(source: bytes) -> tuple[int, str] | None:
    try:
        tomllib.loads(source.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        at = _AT_LINE.search(str(error))
        return int(at[1]) if at else 1, str(error)[:120]
    return None


def _read_yaml(source: bytes) -> tuple[int, str] | None:
    """Read events alone: nothing is built, so no alias can make it large."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _ in yaml.parse(source, Loader=loader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return mark.line + 1 if mark else 1, str(error.problem)[:120]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return 1, str(error).splitlines()[0][:120]
    return None


_READERS: Final[Mapping[str, Callable[[bytes], tuple[int, str] | None]]] = {
    ".json": _read_json,
    ".toml": _read_toml,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
