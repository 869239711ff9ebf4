"""The configuration: read once, every fault named at once with what to do, secrets never shown."""

import os
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.oncall import Role
from bot.errors import ConfigError
from bot.settings import NOT_SETTINGS, Settings, load_settings

SECRET = "s3cr3t-t0ken-value"
GOOD = """
    public_url = "https://nightshift.example"

    [server]
    port = 9090

    [people.ada]
    name = "Ada"
    role = "approver"
    accounts = { web = "ada", console = "ada" }

    [people.ben]
    name = "Ben"

    [services.checkout]
    repository = "https://git.example/checkout.git"
    run = ["serve", "--port", "{port}"]

    [channels.web]
    kind = "web"

    [channels.console]
    kind = "console"

    [[escalations.default.steps]]
    people = ["ada"]

    [[escalations.default.steps]]
    people = ["ben"]
    after = 300

    [[routes]]
    match = { service = "check.*" }
    service = "checkout"

    [approval]
    approvers = ["ada"]
"""


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """No variable of the machine and no `.env` of the checkout gets in."""
    for name in list(os.environ):
        if name.upper().startswith("NIGHTSHIFT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(tmp_path: Path, text: str = GOOD) -> Path:
    path = tmp_path / "nightshift.toml"
    path.write_text(textwrap.dedent(text))
    return path


def problems(tmp_path: Path, text: str = GOOD) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    return {problem.where: problem.what for problem in caught.value.problems}


class TestWhatIsRead:
    def test_nothing_at_all_is_a_configuration(self):
        settings = load_settings(None)
        assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
        assert settings.public_url is None
        assert settings.secrets() == ()

    def test_people_routes_and_policies_become_domain_values(self, tmp_path):
        settings = load_settings(write(tmp_path))
        ada = settings.roster().find("web", "ada")
        assert ada is not None
        assert (ada.id, ada.role) == ("ada", Role.APPROVER)
        (route,) = settings.route_list()
        assert route.matches({"service": "checkout"})
        assert (route.escalation, route.channels) == ("default", ("web", "console"))
        steps = settings.escalation_map()["default"].steps
        assert [(step.people, step.after) for step in steps] == [
            (("ada",), timedelta(0)),
            (("ben",), timedelta(minutes=5)),
        ]
        assert settings.service_map()["checkout"].branch == "main"

    def test_nobody_named_means_nobody_may_approve(self, tmp_path):
        settings = load_settings(write(tmp_path, GOOD.replace('approvers = ["ada"]', "")))
        assert settings.approval_policy().approvers == ()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('role = "approver"', 'role = "admin"'),
            ('approvers = ["ada"]', 'approvers = ["ada"]\nrisky_quorum = 3'),
            ('approvers = ["ada"]', 'approvers = ["ada"]\nexpiry_minutes = 5'),
        ],
    )
    def test_the_policy_s_version_changes_with_every_rule_and_role(self, tmp_path, old, new):
        before = load_settings(write(tmp_path)).approval_policy().version
        assert load_settings(write(tmp_path)).approval_policy().version == before
        assert load_settings(write(tmp_path, GOOD.replace(old, new))).approval_policy().version != before


class TestPrecedence:
    def test_a_variable_wins_over_env_and_env_over_the_file(self, tmp_path, monkeypatch):
        path = write(tmp_path)
        assert load_settings(path).server.port == 9090
        (tmp_path / ".env").write_text("NIGHTSHIFT_SERVER__PORT=9191\n")
        assert load_settings(path).server.port == 9191
        monkeypatch.setenv("NIGHTSHIFT_SERVER__PORT", "9292")
        assert load_settings(path).server.port == 9292

    def test_one_nested_value_leaves_its_neighbours(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_SERVER__HOST", "0.0.0.0")
        server = load_settings(write(tmp_path)).server
        assert (server.host, server.port) == ("0.0.0.0", 9090)

    def test_other_programs_lines_in_env_are_none_of_our_business(self, tmp_path):
        (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=shop\nDATABASE_URL=x\n")
        assert load_settings(write(tmp_path)).server.port == 9090

    @pytest.mark.parametrize("name", sorted(NOT_SETTINGS))
    def test_variables_with_another_purpose_are_let_through(self, monkeypatch, name):
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", "1")
        load_settings(None)


class TestFaults:
    def test_all_are_listed_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_SLAK_TOKEN", "x")
        monkeypatch.setenv("NIGHTSHIFT_PORT", "x")
        found = problems(
            tmp_path,
            GOOD.replace('service = "checkout"', 'service = "chekout"\nescalation = "nights"\nchannels = ["irc"]')
            .replace('people = ["ben"]', 'people = ["bob"]')
            .replace('approvers = ["ada"]', 'approvers = ["ben", "eve"]')
            .replace('"check.*"', '"(check"')
            .replace("{port}", "8000"),
        )
        assert found["routes.0.service"] == 'no service "chekout"; add [services.chekout]'
        assert found["routes.0.escalation"] == 'no escalation "nights"; add [escalations.nights]'
        assert found["routes.0.channels"] == 'no channel "irc"; add [channels.irc]'
        assert found["routes.0.match.service"].startswith("is not a regular expression")
        assert found["escalations.default.steps.1.people"] == 'no person "bob"; add [people.bob]'
        assert "approval.approvers" in found
        assert found["services.checkout.run"] == 'needs "{port}" where the port belongs'
        assert found["NIGHTSHIFT_SLAK_TOKEN"] == "is not a setting; see .env.example, or unset it"
        assert "NIGHTSHIFT_PORT" in found

    def test_nobody_who_may_only_read_is_paged(self, tmp_path):
        steps = '[escalations.nights]\nsteps = [{ people = ["vic"] }]\n[people.vic]\nname = "Vic"\nrole = "viewer"\n'
        found = problems(tmp_path, f"{GOOD}\n{steps}")
        assert found["escalations.nights.steps.0.people"] == '"vic" has the role viewer and cannot acknowledge'

    def test_wrong_values_are_listed_together_with_unknown_names(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_SLAK_TOKEN", "x")
        found = problems(
            tmp_path,
            GOOD.replace("port = 9090", "port = 99999\nprot = 1").replace('"approver"', '"boss"')
            + "\n[sevrices.x]\nrepository = 'y'\n",
        )
        assert set(found) >= {"server.port", "server.prot", "people.ada.role", "sevrices", "NIGHTSHIFT_SLAK_TOKEN"}
        assert found["server.prot"] == "is not a setting; check the spelling, or remove it"

    def test_a_missing_file_says_what_to_do(self, tmp_path):
        with pytest.raises(ConfigError, match="no such file; copy the example"):
            load_settings(tmp_path / "nowhere.toml")

    @pytest.mark.parametrize("text", ["[server", "port = = 1", "a = 1\na = 2"])
    def test_a_file_that_is_not_toml_says_where(self, tmp_path, text):
        (found,) = problems(tmp_path, text).values()
        assert found.startswith("is not valid TOML: ")
        assert "(at " in found

    def test_a_file_that_is_not_text_says_so(self, tmp_path):
        path = tmp_path / "nightshift.toml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="cannot be read"):
            load_settings(path)

    @pytest.mark.parametrize("value", ["not json", "{", "[1,"])
    def test_a_variable_that_should_be_json_is_named(self, monkeypatch, value):
        monkeypatch.setenv("NIGHTSHIFT_ROUTES", value)
        with pytest.raises(ConfigError, match="routes"):
            load_settings(None)

    def test_an_unknown_name_in_env_is_named(self, tmp_path):
        (tmp_path / ".env").write_text("NIGHTSHIFT_SLAK_TOKEN=x\n")
        assert problems(tmp_path)["NIGHTSHIFT_SLAK_TOKEN"] == "is not a setting; see .env.example, or unset it"

    def test_an_env_file_that_is_not_text_says_so(self, tmp_path):
        (tmp_path / ".env").write_bytes(b"NIGHTSHIFT_PUBLIC_URL=\xff\n")
        assert problems(tmp_path)[".env"].startswith("cannot be read")

    @pytest.mark.parametrize(
        ("old", "new", "where"),
        [
            ('"https://git.example/checkout.git"', '"ext::sh -c x"', "services.checkout.repository"),
            ('"https://git.example/checkout.git"', '"--upload-pack=x"', "services.checkout.repository"),
            ('kind = "web"', 'kind = "web"\n[services.b]\nrepository = "r"\nbranch = "-x"', "services.b.branch"),
            ('public_url = "https://nightshift.example"', 'public_url = "nightshift.example"', "public_url"),
            ('name = "Ben"', 'name = "Ben"\naccounts = { web = "ada" }', "people.ben.accounts.web"),
            ("after = 300", "after = -1", "escalations.default.steps.1.after"),
            ('people = ["ada"]', "people = []", "escalations.default.steps.0.people"),
            ('approvers = ["ada"]', 'approvers = ["ada"]\nrisky_quorum = 1', "approval.risky_quorum"),
            ('approvers = ["ada"]', 'approvers = ["ada"]\nexpiry_minutes = 0', "approval.expiry_minutes"),
        ],
    )
    def test_a_dangerous_or_empty_value_is_refused(self, tmp_path, old, new, where):
        text = GOOD.replace(old, new)
        assert text != GOOD
        assert where in problems(tmp_path, text)


class TestSecrets:
    @pytest.fixture
    def settings(self, tmp_path, monkeypatch) -> Settings:
        monkeypatch.setenv("NIGHTSHIFT_ALERT_TOKEN", SECRET)
        monkeypatch.setenv("NIGHTSHIFT_ADMIN_TOKEN", SECRET + "2")
        text = f'{textwrap.dedent(GOOD)}\n[senders.grafana]\nusername = "g"\npassword = "{SECRET}3"\n'
        return load_settings(write(tmp_path, f'{text}\n[git.tokens]\n"git.example" = "{SECRET}4"\n'))

    def test_are_never_shown(self, settings):
        for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
            assert SECRET not in shown

    def test_are_all_known_to_the_redactor(self, settings):
        assert set(settings.secrets()) == {SECRET, *(f"{SECRET}{n}" for n in (2, 3, 4))}

    def test_a_sender_without_its_own_uses_the_common_token(self, settings):
        common, own = settings.sender("alertmanager"), settings.sender("grafana")
        assert common.token is not None
        assert common.token.get_secret_value() == SECRET
        assert (own.token, own.username) == (None, "g")

    def test_a_fault_does_not_quote_them(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_ALERT_TOKEN", SECRET)
        text = textwrap.dedent(GOOD).replace("port = 9090", "port = 'x'")
        with pytest.raises(ConfigError) as caught:
            load_settings(write(tmp_path, f"{text}\n[senders.x]\ntoken = ['{SECRET}']\npasword = '{SECRET}'\n"))
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
