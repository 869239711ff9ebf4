"""docs/faults.md names exactly the fault points of the code."""

import ast
import itertools
import re
from collections.abc import Iterator
from typing import Final, get_args

from bot.domain.approvals.order import Ordered
from bot.domain.investigation import StageResult
from tests.architecture.sources import PRODUCT, ROOT, parse, python_files
from tests.fault_points import read_fault_points


def _phases() -> Iterator[str]:
    """The names given to `Phase(name=…)`."""
    files = sorted((ROOT / "bot" / "engine").glob("*.py"))
    for node in itertools.chain.from_iterable(ast.walk(parse(file)) for file in files):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Phase":
            yield from (ast.literal_eval(word.value) for word in node.keywords if word.arg == "name")


def _messages() -> Iterator[str]:
    """The kinds of messages that the composer renders."""
    for node in ast.walk(parse(ROOT / "bot" / "engine" / "compose.py")):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and ast.unparse(node).startswith(("self._render ", "self._render_apart "))
        ):
            yield from (ast.literal_eval(key) for key in node.value.keys if key is not None)


def _stages() -> Iterator[str]:
    return (stage.__name__.lower() for stage in get_args(StageResult))


def _orders() -> Iterator[str]:
    return (what.value for what in Ordered)


VALUES: Final = {
    "{}.dispatch.before": _orders,
    "{}.dispatch.after": _orders,
    "phase.{}.before": _phases,
    "phase.{}.after": _phases,
    "chat.{}.before": _messages,
    "chat.{}.after": _messages,
    "stage.{}.before": _stages,
    "stage.{}.after": _stages,
}


def _points_of(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value
    elif isinstance(argument, ast.JoinedStr):
        template = "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in argument.values)
        yield from (template.format(value) for value in VALUES[template]())


def _points_in_code() -> list[str]:
    calls = itertools.chain.from_iterable(ast.walk(parse(path)) for path in python_files(*PRODUCT))
    found: list[str] = []
    for node in calls:
        if isinstance(node, ast.Call) and node.args and re.fullmatch(r"(.*\.)?reach", ast.unparse(node.func)):
            found += _points_of(node.args[0])
    return found


def test_every_point_of_the_code_is_listed_and_no_other() -> None:
    listed = [point.name for point in read_fault_points()]
    assert sorted(set(_points_in_code())) == sorted(listed)


def test_each_point_stands_at_one_place() -> None:
    found = _points_in_code()
    assert sorted(found) == sorted(set(found)), "two places share a name; a test could not choose between them"


def test_there_is_a_point_before_and_after_every_commit_and_outside_effect() -> None:
    listed = {point.name for point in read_fault_points()}
    assert len(listed) >= 20
    pairs = {name.removesuffix(".before") for name in listed if name.endswith(".before")}
    assert {f"{name}.after" for name in pairs} - listed <= {"push.record.after"}, "store.commit.after follows it"
