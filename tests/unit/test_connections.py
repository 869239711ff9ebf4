"""Connections to forges and CI systems: which variables belong to them, and what of them is secret."""

import pytest

from bot.errors import ConfigError
from bot.settings import load_settings

HEAD = """
[services.shop]
repository = "https://git.example.com/shop.git"
"""
FORGED = HEAD + 'ci = "github"\nforge = "github"\n'


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(text: str):
        path = tmp_path / "nightshift.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return run


def extras(settings, name="github"):
    return settings.connections[name].model_extra


def test_a_variable_reaches_the_connection_that_a_service_uses(load, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_GITHUB_TOKEN", "from-the-variable")
    assert extras(load(FORGED)) == {"token": "from-the-variable"}


def test_a_variable_wins_over_the_dot_env_file_and_that_over_the_table(load, tmp_path, monkeypatch):
    table = FORGED + '[connections.github]\nurl = "http://table"\ntoken = "table"\nproxy = "http://table"\n'
    (tmp_path / ".env").write_text("NIGHTSHIFT_GITHUB_URL=http://file\nNIGHTSHIFT_GITHUB_TOKEN=file\n")
    monkeypatch.setenv("NIGHTSHIFT_GITHUB_TOKEN", "variable")
    assert extras(load(table)) == {"url": "http://file", "token": "variable", "proxy": "http://table"}


def test_a_variable_of_a_connection_that_nobody_uses_stops_the_start(load, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_GITHUB_TOKEN", "x")
    with pytest.raises(ConfigError, match="NIGHTSHIFT_GITHUB_TOKEN"):
        load(HEAD)


def test_tokens_secrets_and_passwords_are_known_to_the_redactor(load):
    text = FORGED + (
        "[connections.github]\n"
        'url = "http://forge"\ntoken = "t-1"\nwebhook_secret = "s-2"\npassword = "p-3"\nkey_file = "/etc/key"\n'
    )
    assert set(load(text).secrets()) == {"t-1", "s-2", "p-3"}


def test_a_table_that_is_no_table_is_named(load):
    with pytest.raises(ConfigError, match=r"connections\.github"):
        load(FORGED + 'x = 1\n[connections]\ngithub = "token"\n')
