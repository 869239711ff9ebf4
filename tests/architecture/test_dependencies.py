"""What Nightshift installs: declared where it is imported, explained, and locked with hashes."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.sources import PRODUCT, ROOT, parse, place, python_files, table

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OWN: Final = {"bot", "connectors", "tests", "playbooks"}
LOCKS: Final = (
    "requirements.txt", "requirements-logs.txt", "requirements-chat.txt", "requirements-mcp.txt",
    "requirements-dev.txt",
)  # fmt: skip
#: Called by the Makefile and by tests as programs, or plugged in by name; never imported.
PROGRAMS: Final = {"hatchling", "import-linter", "mypy", "pytest-asyncio", "pytest-xdist", "ruff", "flask"}


def _name(requirement: str) -> str:
    return _canonical(re.split(r"[ <>=!~;\[(]", requirement, maxsplit=1)[0])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


RUN: Final = {_name(item) for item in PROJECT["project"]["dependencies"]}
#: Servers for a machine of their own: a program starts them, nothing else imports them, no lock file has them.
SERVERS: Final = {"sglang": "infra/sglang/launch.py"}
_ASKED: Final = {_name(item) for items in PROJECT["project"]["optional-dependencies"].values() for item in items}
EXTRA: Final = _ASKED - set(SERVERS)
#: SDKs: their connector alone imports them, and is itself imported only where a channel or a contact needs it.
SDK_FOLDERS: Final = {
    "apprise": "connectors/pagers/",
    "discord-py": "connectors/chat/discord/",
    "httpx2": "connectors/tools/mcp/",
    "mcp": "connectors/tools/mcp/",
    "python-telegram-bot": "connectors/chat/telegram/",
    "slack-bolt": "connectors/chat/slack/",
    "slack-sdk": "connectors/chat/slack/",
}
DEV: Final = {_name(item) for item in PROJECT["dependency-groups"]["dev"]}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        yield from _names(node)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module.split(".")[0]


def _distributions(*folders: str) -> dict[str, set[str]]:
    """Return what some folders import from outside, by distribution, with the files that do."""
    providers = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in python_files(*folders):
        for module in set(_imports(path)) - OWN - sys.stdlib_module_names:
            for distribution in providers.get(module, []):
                found.setdefault(_canonical(distribution), set()).add(place(path))
    return found


def test_what_the_product_imports_is_declared_and_nothing_else() -> None:
    imported = _distributions(*PRODUCT)
    assert {name: sorted(files) for name, files in imported.items() if name not in RUN | EXTRA} == {}
    assert set(imported) >= RUN | EXTRA, "remove what nothing imports"


def test_an_extra_is_imported_in_one_place_and_only_when_it_is_used() -> None:
    at_start = {
        place(path)
        for path in python_files(*PRODUCT)
        for node in parse(path).body
        if isinstance(node, ast.Import | ast.ImportFrom) and EXTRA & {_canonical(name) for name in _names(node)}
    }
    assert {path for path in at_start if not path.startswith(tuple(SDK_FOLDERS.values()))} == set()
    imported = _distributions(*PRODUCT)
    assert imported["polars"] == {"bot/reduction/folding.py"}
    for name in EXTRA - {"polars"}:
        assert {path for path in imported[name] if not path.startswith(SDK_FOLDERS[name])} == set()


def test_a_server_is_imported_by_the_program_that_starts_it_alone() -> None:
    assert set(SERVERS) <= _ASKED
    everywhere = python_files(*PRODUCT, "infra", "playbooks")
    for server, program in SERVERS.items():
        assert {place(path) for path in everywhere if server in _imports(path)} == {program}


def test_what_the_tests_need_is_declared() -> None:
    imported = _distributions("tests")
    assert {name: sorted(files) for name, files in imported.items() if name not in RUN | EXTRA | DEV} == {}
    assert set(imported) | PROGRAMS >= DEV, "remove what nothing uses"
    assert PROGRAMS <= DEV


def test_each_dependency_has_its_reason() -> None:
    document = ROOT / "docs" / "dependencies.md"
    assert set(table(document, "At run time")) == RUN
    assert set(table(document, "With an extra")) == EXTRA | set(SERVERS)
    assert set(table(document, "For development")) == DEV
    assert all(cells and len(cells[-1]) > 10 for cells in table(document).values())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())[1:]
    assert len(entries) > 30
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert not re.search(r"(?m)^(-|--)", text), "no options: the address of the index is the user's business"


def test_the_lock_files_hold_what_is_declared_and_agree() -> None:
    run, logs, chat, mcp, dev = (
        dict(re.findall(r"(?m)^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"))) for lock in LOCKS
    )
    assert set(run) >= RUN
    assert set(logs) >= RUN | {"polars"}
    assert set(chat) >= RUN | EXTRA - {"polars", "httpx2", "mcp"}
    assert set(mcp) >= RUN | {"httpx2", "mcp"}
    assert not set(run) & EXTRA, "an extra must not weigh on everybody"
    assert set(dev) >= RUN | EXTRA | DEV
    assert {name: (version, logs.get(name)) for name, version in run.items() if logs.get(name) != version} == {}
    assert {name: (version, mcp.get(name)) for name, version in run.items() if mcp.get(name) != version} == {}
    assert {name: (version, dev.get(name)) for name, version in run.items() if dev.get(name) != version} == {}
