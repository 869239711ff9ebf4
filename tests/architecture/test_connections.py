"""What `[connections.<name>]` may hold: strict, frozen, its secrets under names that say so, all of it explained."""

import importlib
from functools import cache
from pathlib import Path
from typing import Final, get_args

import pytest
from pydantic import BaseModel, SecretStr

from bot.settings_sections import SECRET_NAME
from tests.architecture.settings_tree import read_settings
from tests.architecture.sources import ROOT, place, python_files, table

FOLDER: Final = "connectors/ci/"


@cache
def _connections() -> dict[str, type[BaseModel]]:
    """The `Settings` of each CI system or forge that is reached by a connection."""
    names = {place(path).removeprefix(FOLDER).split("/")[0] for path in python_files("connectors") if _is_ci(path)}
    modules = {name: importlib.import_module(f"connectors.ci.{name}") for name in _as_modules(names)}
    return {name: module.Settings for name, module in modules.items() if hasattr(module, "Connector")}


def _is_ci(path: Path) -> bool:
    return place(path).startswith(FOLDER)


def _as_modules(names: set[str]) -> list[str]:
    return sorted({name.removesuffix(".py") for name in names} - {"__init__"})


def test_github_is_one_of_them() -> None:
    assert "github" in _connections()


@pytest.mark.parametrize("name", _connections())
def test_a_connection_takes_nothing_that_it_does_not_know_and_never_changes(name: str) -> None:
    config = _connections()[name].model_config
    assert config.get("extra") == "forbid"
    assert config.get("frozen") is True


@pytest.mark.parametrize("name", _connections())
def test_the_redactor_knows_every_secret_of_a_connection_by_its_name(name: str) -> None:
    for field, info in _connections()[name].model_fields.items():
        is_secret = info.annotation is SecretStr or SecretStr in get_args(info.annotation)
        assert bool(SECRET_NAME.search(field)) is is_secret, f"{field}: its name says whether it is a secret"


def test_every_setting_of_github_is_explained_with_its_default() -> None:
    prefix = "connections.github."
    rows = table(ROOT / "docs" / "forges.md").items()
    documented = {setting: cells[0].strip("`") for setting, cells in rows if setting.startswith(prefix)}
    assert documented == {setting.name: setting.default for setting in read_settings(_connections()["github"], prefix)}


@pytest.mark.parametrize("kind", ["discord", "slack", "telegram", "whatsapp"])
def test_every_setting_of_a_chat_is_explained_with_its_default_and_its_secrets_are_named_so(kind: str) -> None:
    own = importlib.import_module(f"connectors.chat.{kind}").Settings
    settings = list(read_settings(own))
    page = (ROOT / "docs" / f"{kind}.md").read_text(encoding="utf-8").partition("\n## Settings\n")[2]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    documented = {cells[0].strip("`"): cells[1].strip("`") for cells in rows}
    assert documented == {setting.name: setting.default for setting in settings}
    assert {setting.name for setting in settings if SECRET_NAME.search(setting.name)} == {
        setting.name for setting in settings if setting.is_secret
    }


@pytest.mark.parametrize("name", sorted(_connections().keys() - {"github"}))
def test_every_setting_of_another_connection_is_explained_with_its_default(name: str) -> None:
    head, *sections = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8").split("\n## ")
    (section,) = [text for text in sections if name in text.partition("\n")[0].lower()]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    for setting in read_settings(_connections()[name]):
        told = [cells for cells in rows if f"`{setting.name}`" in cells[0]]
        if not told:
            assert f"`{setting.name}`" in head, f"{setting.name}: explain it in docs/ci.md"
        elif len(told[0][0].split(", ")) == 1:
            assert setting.default in told[0][1], f"{setting.name}: its default is {setting.default}"
