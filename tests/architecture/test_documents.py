"""Documents: links lead somewhere, nothing names a machine or a registry, and the README keeps its promises."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bot.domain.presses import Verb
from tests.architecture.sources import ROOT, place, tracked_files

TEXTS: Final = tuple(path for path in tracked_files() if path.suffix == ".md" and place(path).split("/")[0] != "tests")
LINK: Final = re.compile(r"\[[^\]]+\]\((?P<target>[^)\s]+)\)")
#: In halves, or this file would name them itself.
REGISTRIES: Final = (
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"), ("rubygems", "org"),
    ("proxy.golang", "org"), ("registry-1.docker", "io"), ("mvnrepository", "com"), ("anaconda", "org"),
)  # fmt: skip
TOP: Final = {
    ".ci", ".env.example", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "bot", "connectors",
    "docs", "infra", "playbooks", "pyproject.toml", "requirements-chat.txt", "requirements-dev.txt",
    "requirements-logs.txt", "requirements-mcp.txt", "requirements.txt", "tests",
}  # fmt: skip


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("path", TEXTS, ids=place)
def test_every_link_of_a_document_leads_to_a_file(path: Path) -> None:
    targets = [match["target"].split("#")[0] for match in LINK.finditer(_read(path))]
    own = [target for target in targets if target and "://" not in target]
    assert [target for target in own if not (path.parent / target).exists()] == []


def test_every_document_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        if path.is_dir():
            waiting += path.iterdir()
        elif path.suffix == ".md":
            waiting += [(path.parent / match["target"].split("#")[0]).resolve() for match in LINK.finditer(_read(path))]
    lost = [place(path) for path in TEXTS if place(path).startswith("docs/") and path not in reached]
    assert lost == []


def test_no_file_names_a_package_registry() -> None:
    pattern = re.compile("|".join(rf"\b{re.escape('.'.join(halves))}\b" for halves in REGISTRIES))
    assert [place(path) for path in tracked_files() if pattern.search(_read(path))] == []


def test_no_file_names_a_folder_of_this_machine() -> None:
    here = {str(ROOT), sys.prefix, sys.base_prefix, str(Path.home())}
    deep = [re.escape(name) for name in here if name.count("/") >= 2]
    pattern = re.compile("|".join(rf"(?<![\w.]){name}\b" for name in deep))
    assert [place(path) for path in tracked_files() if pattern.search(_read(path))] == []


def test_the_top_level_holds_what_it_should() -> None:
    assert {place(path).split("/")[0] for path in tracked_files()} == TOP


def test_the_readme_names_targets_that_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", _read(ROOT / "Makefile")))
    documents = "\n".join(_read(path) for path in TEXTS)
    assert set(re.findall(r"`make ([a-z-]+)", documents)) <= targets
    assert {"demo", "test", "check"} <= targets


def test_the_documents_name_commands_that_exist() -> None:
    done = subprocess.run([sys.executable, "-m", "bot", "--help"], cwd=ROOT, check=True, capture_output=True, text=True)
    documents = "\n".join(_read(path) for path in TEXTS)
    named = set(re.findall(r"`(?:\.venv/bin/)?nightshift ([a-z-]+)", documents))
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", done.stdout)] == []


def test_the_license_is_apache_2() -> None:
    text = _read(ROOT / "LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_button_stands_in_the_table_of_buttons() -> None:
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    table = page.partition("\n## Buttons\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    assert {verb for row in rows for verb in re.findall(r"`(\w+)`", row)} == {verb.value for verb in Verb}
