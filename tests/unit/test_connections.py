"""Connections to forges and CI systems: which variables belong to them, and what of them is secret."""

import sys
from unittest.mock import Mock

import pytest

from bot.bootstrap.chat import make_channels
from bot.bootstrap.platforms import make_platforms
from bot.errors import ConfigError
from bot.ports.chat import ChatPlace
from bot.settings import load_settings

HEAD = """
[services.shop]
repository = "https://git.example.com/shop.git"
"""
FORGED = HEAD + 'ci = "github"\nforge = "github"\n'
ON_GITHUB = FORGED.replace("example.com/shop", "example.com/octo/shop")


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


def test_what_is_wrong_is_told_without_the_words_of_the_library(load):
    with pytest.raises(ConfigError) as told:
        make_platforms(load(ON_GITHUB))
    (problem,) = told.value.problems
    assert (problem.where, problem.what[:16]) == ("connections.github", "set token (NIGHT")


def test_tokens_secrets_and_passwords_are_known_to_the_redactor(load):
    text = FORGED + (
        "[connections.github]\n"
        'url = "http://forge"\ntoken = "t-1"\nwebhook_secret = "s-2"\npassword = "p-3"\nkey_file = "/etc/key"\n'
    )
    assert set(load(text).secrets()) == {"t-1", "s-2", "p-3"}


def test_a_table_that_is_no_table_is_named(load):
    with pytest.raises(ConfigError, match=r"connections\.github"):
        load(FORGED + 'x = 1\n[connections]\ngithub = "token"\n')


def test_github_is_made_from_its_table(load, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_GITHUB_TOKEN", "from-the-variable")
    platforms = make_platforms(load(ON_GITHUB + '[connections.github]\nwebhook_secret = "hush"\n'))
    assert set(platforms.ci) == {"github", "local"}
    assert set(platforms.forges) == set(platforms.hooks) == {"github"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (ON_GITHUB, r"connections\.github: .*set token"),
        (ON_GITHUB + '[connections.github]\ntoken = "x"\ntypo = 1\n', r"connections\.github\.typo: "),
        (FORGED + '[connections.github]\ntoken = "x"\n', "is no repository on GitHub"),
    ],
    ids=["nothing to sign in with", "unknown setting", "not on GitHub"],
)
def test_what_is_wrong_with_github_s_table_is_said_at_its_place(load, text: str, place: str):
    with pytest.raises(ConfigError, match=place):
        make_platforms(load(text))


def test_a_channel_s_variables_win_over_its_table_and_its_secrets_are_known(load, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_TELEGRAM_TOKEN", "from-the-variable")
    settings = load('[channels.telegram]\nkind = "telegram"\ntoken = "from-the-file"\nchat = -1\n')
    assert settings.channels["telegram"].model_extra == {"token": "from-the-variable", "chat": -1}
    assert "from-the-variable" in settings.secrets()


def test_a_channel_whose_sdk_is_not_installed_says_which_extra_to_install(load, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("connectors.chat.telegram")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "telegram", None)
    settings = load('[channels.ops]\nkind = "telegram"\n')
    with pytest.raises(ConfigError, match=r'channels\.ops\.kind: .*telegram.*the extra "telegram"'):
        make_channels(settings, Mock())


def test_a_channel_knows_its_name_and_who_is_called_what_and_has_which_account_there(load):
    settings = load(
        '[channels.ops]\nkind = "telegram"\nchat = -1\n'
        f'token = "1:{"a" * 35}"\n[people.ana]\nname = "Ana"\naccounts = {{ ops = "7", web = "ana" }}\n'
    )
    (channel,) = make_channels(settings, Mock())
    assert vars(channel.connector)["_place"] == ChatPlace(name="ops", accounts={"ana": "7"}, names={"ana": "Ana"})
