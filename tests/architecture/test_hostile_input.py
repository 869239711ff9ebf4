"""docs/hostile-input.md counts right: collections have as many cases as it says, boundaries at least ten."""

import importlib
import re
from collections import Counter
from math import prod
from typing import Final

import pytest

from tests.architecture.sources import ROOT

TEXT: Final = (ROOT / "docs" / "hostile-input.md").read_text(encoding="utf-8")
ROW: Final = re.compile(
    r"^\| (?P<boundary>[a-z ]+) \| `(?P<file>[\w/]+)\.py::(?P<name>\w+)` \| (?P<count>\d+) \|", re.M
)
ROWS: Final = [match.groupdict() for match in ROW.finditer(TEXT)]
BOUNDARIES: Final = {"webhook", "press", "diff", "log", "metric", "image", "model answer", "configuration", "playbook"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']}::{row['name']}")
def test_a_collection_has_as_many_cases_as_the_document_says(row: dict[str, str]) -> None:
    found = getattr(importlib.import_module(row["file"].replace("/", ".")), row["name"])
    marks = [mark for mark in getattr(found, "pytestmark", []) if mark.name == "parametrize"]
    assert (prod(len(mark.args[1]) for mark in marks) if marks else len(found)) == int(row["count"])


def test_every_boundary_has_at_least_ten_cases() -> None:
    cases = Counter[str]()
    for row in ROWS:
        cases[row["boundary"]] += int(row["count"])
    assert set(cases) == BOUNDARIES
    assert min(cases.values()) >= 10, cases


def test_the_properties_are_where_the_document_says() -> None:
    for place in re.findall(r"`(tests/unit/test_\w+\.py)`", TEXT.partition("Properties, over generated input:")[2]):
        assert "hypothesis" in (ROOT / place).read_text(encoding="utf-8"), place
