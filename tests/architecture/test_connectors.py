"""Every connector is held to the contract of its port."""

import importlib
import inspect
from pathlib import Path
from typing import Final

import pytest

from bot.ports.alerts import AlertSource
from bot.ports.chat import ChatConnector
from bot.ports.ci import CIProvider
from bot.ports.hooks import Hook
from bot.ports.logs import LogSource
from bot.ports.metrics import MetricSource
from bot.ports.model import ModelClient
from bot.ports.pager import Pager
from bot.ports.sandbox import Sandbox
from bot.ports.tool_server import ToolServer
from bot.ports.workspace import Workspaces
from tests.architecture.sources import ROOT, place, python_files

PORTS: Final = {
    "alerts": AlertSource,
    "chat": ChatConnector,
    "ci": CIProvider,
    "hooks": Hook,
    "logs": LogSource,
    "metrics": MetricSource,
    "models": ModelClient,
    "pagers": Pager,
    "sandboxes": Sandbox,
    "tools": ToolServer,
    "workspaces": Workspaces,
}


def _abilities(port: type) -> set[str]:
    return {name for name, value in vars(port).items() if not name.startswith("_") and not isinstance(value, type)}


def _does_all(cls: type, port: type) -> bool:
    return _abilities(port) <= set(dir(cls))


def _module(path: Path) -> str:
    return place(path).removesuffix(".py").replace("/", ".")


def _connectors() -> list[tuple[str, str]]:
    """(kind, name) of each connector: a file, or a folder, with a class that does all that its kind's port asks."""
    found: set[tuple[str, str]] = set()
    for path in python_files("connectors"):
        _, kind, *rest = place(path).removesuffix(".py").split("/")
        if kind in PORTS and path.name != "__init__.py" and _defines(_module(path), PORTS[kind]):
            found.add((kind, rest[0]))
    return sorted(found)


def _defines(module: str, port: type) -> bool:
    return any(cls.__module__ == module and _does_all(cls, port) for cls in _classes(module))


def _classes(module: str) -> list[type]:
    return [cls for _, cls in inspect.getmembers(importlib.import_module(module), inspect.isclass)]


CONNECTORS: Final = _connectors()
IDS: Final = [f"{kind}-{name}" for kind, name in CONNECTORS]


def test_the_connectors_are_found() -> None:
    assert {("alerts", "alertmanager"), ("chat", "console"), ("ci", "local"), ("logs", "file")} <= set(CONNECTORS)


@pytest.mark.parametrize("kind", PORTS)
def test_each_kind_of_port_has_a_connector(kind: str) -> None:
    assert kind in {kind for kind, _ in CONNECTORS}


@pytest.mark.parametrize(("kind", "name"), CONNECTORS, ids=IDS)
def test_a_connector_has_a_contract_test(kind: str, name: str) -> None:
    test = ROOT / "tests" / "contract" / f"test_{kind}_{name}.py"
    assert test.is_file(), f"write {place(test)}"
    text = test.read_text(encoding="utf-8")
    assert "def test_" in text or "Contract)" in text
    assert f"connectors.{kind}" in text


@pytest.mark.parametrize(("kind", "name"), CONNECTORS, ids=IDS)
def test_a_connector_is_importable_under_the_name_that_the_configuration_uses(kind: str, name: str) -> None:
    assert any(_does_all(cls, PORTS[kind]) for cls in _classes(f"connectors.{kind}.{name}"))
