"""What documents say about the configuration is what `bot.settings` accepts."""

import json
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from bot.settings import ENV_PREFIX, NOT_SETTINGS, Settings, load_settings
from tests.architecture.settings_tree import read_settings
from tests.architecture.sources import ROOT, table

SETTINGS: Final = tuple(read_settings())
LINE: Final = re.compile(r"#?(?P<name>NIGHTSHIFT_[A-Z_]+)=(?P<value>.*)")


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder and no variable of ours."""
    for name in (*(s.variable for s in SETTINGS), *(ENV_PREFIX + name for name in NOT_SETTINGS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {match["name"]: match["value"] for line in lines if (match := LINE.fullmatch(line))}


def _as_variable(default: str) -> str:
    return "" if default == "none" else str(json.loads(default))


def _block(language: str) -> str:
    """Return the first block of that language in the README."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"README.md shows no {language}"
    return found[1]


def test_every_setting_is_explained_with_its_default() -> None:
    documented = {name: cells[0].strip("`") for name, cells in table(ROOT / "docs" / "configuration.md").items()}
    assert documented == {setting.name: setting.default for setting in SETTINGS}


def test_the_example_holds_every_variable_with_its_default() -> None:
    wanted = {s.variable: _as_variable(s.default) for s in SETTINGS if s.is_variable}
    assert _example() == wanted


def test_the_example_sets_nothing_until_it_is_edited(clean: Path) -> None:
    (clean / ".env").write_text((ROOT / ".env.example").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_settings(None) == Settings()


def test_the_example_loads_with_every_default_set(clean: Path) -> None:
    lines = [f"{name}={value}" for name, value in _example().items() if value]
    (clean / ".env").write_text("\n".join(lines), encoding="utf-8")
    assert load_settings(None) == Settings(_env_file=None)


def test_the_readme_s_configuration_loads(clean: Path) -> None:
    (clean / "nightshift.toml").write_text(_block("toml"), encoding="utf-8")
    (clean / ".env").write_text(_block("ini"), encoding="utf-8")
    settings = load_settings(clean / "nightshift.toml")
    assert settings.sender("alertmanager").token is not None
    (route,) = settings.route_list()
    assert route.service in settings.services
    assert set(route.channels) == set(settings.channels)
    assert settings.approval_policy().approvers
    assert {channel.kind for channel in settings.channels.values()} == {"console", "web"}


def test_the_readme_s_configuration_names_everybody_and_everything_it_uses() -> None:
    values = tomllib.loads(_block("toml"))
    assert set(values) >= {"people", "services", "routes", "escalations", "channels", "approval"}
    paged = {person for steps in values["escalations"].values() for step in steps["steps"] for person in step["people"]}
    assert paged <= set(values["people"])
    assert all(set(person["accounts"]) <= set(values["channels"]) for person in values["people"].values())
