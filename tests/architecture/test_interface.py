"""docs/openapi.yaml describes exactly the routes that the server has, and the states that the domain has."""

import re
from typing import Any, Final, cast
from unittest.mock import Mock

import yaml
from aiohttp import web

from bot.domain.approval import ApprovalState
from bot.domain.ci import CIState
from bot.domain.incident import IncidentState, RunState, Severity
from bot.ports.clock import SystemClock
from bot.web.admin import AdminApi
from bot.web.changes import ChangeIntake
from bot.web.intake import AlertIntake
from bot.web.page_tests import PageTests
from bot.web.pages import Pages
from bot.web.server import Surface, build_app
from tests.architecture.sources import ROOT

API: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
METHODS: Final = {"get", "post", "put", "patch", "delete"}


def _application() -> web.Application:
    """The server's real routes over parts that are never asked for anything."""
    store, box, sessions, roster = Mock(), Mock(), Mock(), Mock()
    admin = AdminApi(store, box, sessions, roster, token="none", base_url="http://127.0.0.1:8080")
    pages = Pages(
        board=Mock(), shelf=Mock(), inbox=Mock(), sessions=sessions, roster=roster, clock=SystemClock(),
        allowed_hosts=frozenset(),
        public_url=None, show_patch=Mock(), show_run=Mock(),
    )  # fmt: skip
    intake = AlertIntake(box, {}, limit=1)
    changes = ChangeIntake(store, Mock())
    tests = PageTests(roster, Mock(), token="none")
    return build_app(
        Surface(
            intake=intake, changes=changes, admin=admin, page_tests=tests, pages=pages, webhooks=(), is_ready=Mock()
        )
    )


def _routes() -> set[tuple[str, str]]:
    found = set()
    for route in _application().router.routes():
        if route.method != "HEAD" and route.resource is not None:
            found.add((route.method.lower(), route.resource.canonical))
    return found


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {(m, path): item[m] for path, item in API["paths"].items() for m in METHODS & set(item)}


def test_every_route_is_described_and_no_other() -> None:
    assert set(_operations()) == _routes()


def test_every_path_parameter_is_described() -> None:
    for path, item in API["paths"].items():
        for method in METHODS & set(item):
            given = [*item.get("parameters", []), *item[method].get("parameters", [])]
            named = {_resolve(one)["name"] for one in given if _resolve(one)["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


def test_operations_are_named_once_and_secured_below_v1() -> None:
    operations = _operations()
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    for (_, path), operation in operations.items():
        assert bool(operation.get("security")) is path.startswith("/v1/"), path


def test_every_reference_leads_somewhere() -> None:
    def walk(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                _resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(API)


def test_the_states_are_those_of_the_domain() -> None:
    incident = API["components"]["schemas"]["Incident"]["properties"]
    described = {
        Severity: incident["severity"],
        IncidentState: incident["state"],
        RunState: incident["run_state"],
        ApprovalState: incident["approvals"]["items"]["properties"]["state"],
        CIState: incident["ci"]["items"]["properties"]["state"],
    }
    for states, schema in described.items():
        assert set(schema["enum"]) == {state.value for state in states}, states.__name__


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    place: Any = API
    for part in cast("str", node["$ref"]).removeprefix("#/").split("/"):
        place = place[part]
    return cast("dict[str, Any]", place)
