"""Connections to GitLab, Jenkins, Buildbot and any other CI, as a configuration file names them."""

import importlib
import typing

import pytest
from pydantic import SecretStr

from bot.bootstrap.platforms import make_platforms
from bot.errors import ConfigError
from bot.settings import load_settings
from bot.settings_sections import SECRET_NAME

NAMES = ("gitlab", "jenkins", "buildbot", "webhook")
TABLES = """
[services.shop]
repository = "https://gitlab.example.com/team/shop.git"
ci = "{ci}"
forge = "{forge}"
trigger = "dispatch"

[connections.gitlab]
url = "https://gitlab.example.com"
token = "glpat-1"
webhook_secret = "hook-1"

[connections.jenkins]
url = "https://jenkins.example.com"
user = "nightshift"
token = "t-2"
jobs = ["shop/checks"]

[connections.buildbot]
url = "https://buildbot.example.com"

[connections.webhook]
url = "https://ci.example.com"
signing_secret = "0123456789abcdef"
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(text: str):
        path = tmp_path / "nightshift.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return run


@pytest.mark.parametrize("ci", NAMES)
async def test_a_service_uses_a_connection_by_its_name(load, ci):
    settings = load(TABLES.format(ci=ci, forge="gitlab"))
    platforms = make_platforms(settings)
    assert set(platforms.ci) == {"local", *NAMES}
    assert (set(platforms.forges), set(platforms.hooks)) == ({"gitlab"}, {"gitlab"})
    assert {"glpat-1", "hook-1", "t-2", "0123456789abcdef"} <= set(settings.secrets())
    await platforms.close()


def test_a_ci_system_is_no_forge(load):
    with pytest.raises(ConfigError, match="is no forge"):
        make_platforms(load(TABLES.format(ci="jenkins", forge="jenkins")))


@pytest.mark.parametrize("module", ["http_client", "http_transport", "http_values", "one_per_sha"])
def test_a_part_of_the_connectors_is_no_connector(load, module):
    with pytest.raises(ConfigError, match="no connector"):
        make_platforms(load(TABLES.format(ci=module, forge="gitlab")))


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_is_known_by_its_name(name):
    fields = importlib.import_module(f"connectors.ci.{name}").Settings.model_fields
    secret = {
        key for key, field in fields.items() if SecretStr in {field.annotation, *typing.get_args(field.annotation)}
    }
    assert secret == {key for key in fields if SECRET_NAME.search(key)}
