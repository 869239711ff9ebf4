"""Queries that people write down: in a service's configuration, or in the head of a playbook."""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final

from bot.domain.metrics.metric import MAX_QUERIES, MetricQuery, Over, Threshold
from bot.domain.metrics.promql import fault_of_query

_KEYS: Final = {"query": str, "title": str, "unit": str, "threshold": (int, float), "below": bool}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TITLE: Final = 80
_UNIT: Final = 16


def faults_of_named(table: Mapping[str, object]) -> Iterator[str]:
    """Yield what is wrong with one query: its PromQL, title, unit, threshold, and whether it is bad below it."""
    for key, value in table.items():
        kind = _KEYS.get(key)
        if kind is None:
            yield f"knows no {key[:40]!r}; known are {', '.join(_KEYS)}"
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type] # a type, or two of them
            yield f"has a wrong kind of {key}"
        elif isinstance(value, int | float) and not isfinite(value):
            yield f"needs a {key} that is a number"
    query, title, unit = (table.get(key, "") for key in ("query", "title", "unit"))
    fault = fault_of_query(query) if isinstance(query, str) else ""
    if fault:
        yield f"has a query that {fault}"
    if not _is_short(title, _TITLE) or not _is_short(unit, _UNIT):
        yield f"needs a title of at most {_TITLE} and a unit of at most {_UNIT} characters that can be seen"
    if table.get("below") and table.get("threshold") is None:
        yield "is said to be bad below a threshold, and has none"


def _is_short(value: object, limit: int) -> bool:
    return not isinstance(value, str) or (len(value) <= limit and value.isprintable())


def make_named(name: str, table: Mapping[str, object]) -> MetricQuery:
    """Build from a checked table."""
    limit = table.get("threshold")
    over = Over.BELOW if table.get("below") else Over.ABOVE
    return MetricQuery(
        name=name,
        title=str(table.get("title") or name),
        expr=str(table["query"]).strip(),
        unit=str(table.get("unit", "")),
        threshold=Threshold(over=over, value=float(limit)) if isinstance(limit, int | float) else None,
    )


def faults_of_all(tables: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """Yield (name, what is wrong) of the queries of one service."""
    if len(tables) > MAX_QUERIES:
        yield "", f"has {len(tables)} queries; at most {MAX_QUERIES} are asked"
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            yield name, "is no name: letters, digits, dots, hyphens and underscores, at most 40"
        yield from ((name, fault) for fault in faults_of_named(table))


def faults_of_list(value: object) -> Iterator[str]:
    """Yield what is wrong with `metrics = [...]` in the head of a playbook."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        yield 'metrics must be a list of tables: [{ title = "Errors", query = "…" }]'
        return
    if len(value) > MAX_QUERIES:
        yield f"metrics has {len(value)} queries; at most {MAX_QUERIES} are asked"
    for number, table in enumerate(value, 1):
        if not table.get("title"):
            yield f"metrics: query {number} needs a title"
        yield from (f"metrics: query {number} {fault}" for fault in faults_of_named(table))


def read_list(value: object, playbook: str) -> tuple[MetricQuery, ...]:
    """Build from a checked list; a query is called after its playbook and its place."""
    tables = value if isinstance(value, list) else []
    return tuple(make_named(f"{playbook}-{number}", table) for number, table in enumerate(tables, 1))
