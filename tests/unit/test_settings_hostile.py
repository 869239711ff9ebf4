"""A configuration that means harm, or was damaged: refused with its place in few words, no secret shown, no crash."""

import os
import textwrap
import time
from pathlib import Path

import pytest

from bot.bootstrap.chat import make_channels
from bot.bootstrap.platforms import make_platforms
from bot.domain.routing import Matcher
from bot.errors import ConfigError
from bot.ports.board import Board
from bot.settings import MAX_FILE_BYTES, Settings, load_settings
from tests.unit.test_settings import GOOD

SECRET = "s3cr3t-t0ken-value"
TEXT = textwrap.dedent(GOOD)
REPOSITORY = "https://git.example/checkout.git"


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """No variable of the machine and no `.env` of the checkout gets in."""
    for name in list(os.environ):
        if name.upper().startswith("NIGHTSHIFT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(raw: bytes | str) -> Settings:
    path = Path("nightshift.toml")
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"))
    return load_settings(path)


def refuse(raw: bytes | str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(raw)
    text = str(caught.value)
    assert len(text) < 10_000
    assert all(character == "\n" or character.isprintable() for character in text)
    assert SECRET not in text
    assert caught.value.__cause__ is None or SECRET not in str(caught.value.__cause__)
    return text


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


def service(line: str) -> str:
    return changed("run = [", f"{line}\nrun = [")


FILES = {
    "brackets without end": b"x = " + b"[" * 100_000,
    "brackets nested deeply": b"x = " + b"[" * 5_000 + b"]" * 5_000,
    "tables nested deeply": b"x = " + b"{a=" * 5_000 + b"1" + b"}" * 5_000,
    "a number without end": changed("9090", "9" * 5_000).encode(),
    "ten megabytes of comment": b"# " + b"x" * 10_000_000,
    "a hundred thousand unknown keys": b"\n".join(b"k%d = 1" % n for n in range(60_000)),
    "UTF-16": TEXT.encode("utf-16"),
    "Latin-1": changed('"Ben"', '"Bén"').encode("latin-1"),
    "half a surrogate pair": changed('"Ben"', '"\ud800"').encode("utf-8", "surrogatepass"),
    "a raw NUL": changed('"Ben"', '"B\x00n"').encode(),
    "a raw escape": changed('"Ben"', '"\x1b[2J"').encode(),
    "a packed file": b"\x1f\x8b\x08\x00" + b"\x00" * 64,
    "a key twice": (TEXT + "\n[server]\nport = 1\n").encode(),
    "sections of another kind": b"server = 1\npeople = []\nroutes = {}\nlimits = 'x'\nservices = 'y'\n",
    "YAML": b"server:\n  port: 9090\n",
    "JSON": b'{"server": {"port": 9090}}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_a_configuration_is_refused_in_few_words(name):
    began = time.process_time()
    assert "problem" in refuse(FILES[name])
    assert time.process_time() - began < 5


def test_a_file_without_end_is_read_no_further_than_the_limit():
    with pytest.raises(ConfigError, match="is larger than"):
        load_settings(Path("/dev/zero"))
    assert load(TEXT + "#" * (MAX_FILE_BYTES - len(TEXT.encode()))).server.port == 9090


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)


WRONG = {
    "repository: a helper program": (changed(REPOSITORY, "ext::sh -c x"), "services.checkout.repository"),
    "repository: a helper behind a space": (changed(REPOSITORY, " ext::sh -c x"), "services.checkout.repository"),
    "repository: a helper in capitals": (changed(REPOSITORY, "EXT::sh"), "services.checkout.repository"),
    "repository: a descriptor": (changed(REPOSITORY, "fd::17"), "services.checkout.repository"),
    "repository: an option": (changed(REPOSITORY, "-oProxyCommand=x:y"), "services.checkout.repository"),
    "repository: an option as host": (changed(REPOSITORY, "ssh://-oProxyCommand=x/y"), "services.checkout.repository"),
    "repository: two lines": (changed(REPOSITORY, r"https://x\n--upload-pack=x"), "services.checkout.repository"),
    "repository: none": (changed(REPOSITORY, ""), "services.checkout.repository"),
    "branch: an option": (service('branch = "--all"'), "services.checkout.branch"),
    "branch: a way up": (service('branch = "../../x"'), "services.checkout.branch"),
    "branch: a revision": (service('branch = "main@{1}"'), "services.checkout.branch"),
    "branch: two words": (service('branch = "a b"'), "services.checkout.branch"),
    "branch: none": (service('branch = ""'), "services.checkout.branch"),
    "service: a way up": (TEXT.replace("[services.checkout]", '[services."../../etc"]'), "services.../../etc"),
    "service: a folder": (TEXT.replace("[services.checkout]", '[services."a/b"]'), "services.a/b"),
    "service: no name": (TEXT.replace("[services.checkout]", '[services.""]'), "services."),
    "service: NUL": (TEXT.replace("[services.checkout]", r'[services."a\u0000"]'), "services.a\\x00"),
    "log: no path": (service('logs = [{ path = "" }]'), "services.checkout.logs"),
    "log: NUL": (service(r'logs = [{ path = "a\u0000b" }]'), "services.checkout.logs.0.path"),
    "command: NUL": (changed('"serve"', r'"se\u0000rve"'), "services.checkout.run.0"),
    "environment: NUL": (service(r'env = { A = "x\u0000" }'), "services.checkout.env.A"),
    "state: NUL": (changed("port = 9090", 'state_dir = "a\\u0000"'), "server.state_dir"),
    "text that reorders": (changed('"Ben"', r'"Ben\u202e"'), "people.ben.name"),
    "text that drives a terminal": (changed('"Ben"', r'"\u001b[2J"'), "people.ben.name"),
    "a key that drives a terminal": (r'"\u001b[2J\u202e" = 1' + TEXT, r"\x1b[2J\u202e"),
    "person: no name": (changed('"Ben"', '""'), "people.ben.name"),
    "person: our own": (TEXT.replace(".ben]", ".nightshift]").replace('"ben"', '"nightshift"'), "people.nightshift"),
    "account: somebody else's": (changed('"Ben"', '"Ben"\naccounts = { web = "ada" }'), "people.ben.accounts.web"),
    "account: none": (changed('"Ben"', '"Ben"\naccounts = { web = "" }'), "people.ben.accounts.web"),
    "account: hidden": (changed('"Ben"', '"Ben"\naccounts = { web = "ada\\u200b" }'), "people.ben.accounts.web"),
    "account: a space": (changed('"Ben"', '"Ben"\naccounts = { web = "ada " }'), "people.ben.accounts.web"),
    "role: unknown": (changed('"approver"', '"root"'), "people.ada.role"),
    "role: of another kind": (changed('"approver"', '["admin"]'), "people.ada.role"),
    "approver: unknown": (changed('approvers = ["ada"]', 'approvers = ["ada", "*"]'), "approval.approvers"),
    "quorum: none": (changed('approvers = ["ada"]', 'approvers = ["ada"]\nquorum = 0'), "approval.quorum"),
    "quorum: one for risky ones": (
        changed('approvers = ["ada"]', 'approvers = ["ada"]\nrisky_quorum = 1'),
        "approval.risky_quorum",
    ),
    "expiry: never": (changed('["ada"]\n', '["ada"]\nexpiry_minutes = inf\n'), "approval.expiry_minutes"),
    "expiry: no number": (changed('["ada"]\n', '["ada"]\nexpiry_minutes = nan\n'), "approval.expiry_minutes"),
    "expiry: a million years": (changed('["ada"]\n', '["ada"]\nexpiry_minutes = 1e15\n'), "approval.expiry_minutes"),
    "time: negative": (changed("after = 300", "after = -300"), "escalations.default.steps.1.after"),
    "time: endless": (changed("after = 300", "after = inf"), "escalations.default.steps.1.after"),
    "time: past every calendar": (changed("after = 300", "after = 1e308"), "escalations.default.steps.1.after"),
    "time: a date": (changed("after = 300", "after = 2026-01-01"), "escalations.default.steps.1.after"),
    "limit: bytes below zero": (TEXT + "\n[limits]\nalert_bytes = -1\n", "limits.alert_bytes"),
    "limit: no inbox": (TEXT + "\n[limits]\ninbox_pending = 0\n", "limits.inbox_pending"),
    "limit: no memory": (TEXT + "\n[limits]\nworker_bytes = 0\n", "limits.worker_bytes"),
    "limit: endless sweep": (TEXT + "\n[limits]\nsweep_seconds = inf\n", "limits.sweep_seconds"),
    "limit: idle below zero": (TEXT + "\n[limits]\nci_idle_seconds = -1\n", "limits.ci_idle_seconds"),
    "model: a file": ('model_url = "file:///etc/passwd"\n' + TEXT, "model_url"),
    "model: half an address": ('model_url = "http://[::1"\n' + TEXT, "model_url"),
    "model: a date as a field": (TEXT + "\n[model]\nurl = 'http://x'\nextra = { a = 2026-01-01 }\n", "model.extra"),
    "model: no number as a field": (TEXT + "\n[model]\nurl = 'http://x'\nextra = { a = nan }\n", "model.extra"),
    "model: endless patience": (TEXT + "\n[model]\npatience = inf\n", "model.patience"),
    "address: a script": (changed("https://nightshift.example", "javascript:alert(1)"), "public_url"),
    "address: no host": (changed("https://nightshift.example", "https://"), "public_url"),
    "address: two lines": (changed("https://nightshift.example", r"https://a\nb"), "public_url"),
    "address: no such port": (changed("https://nightshift.example", "https://x:99999"), "public_url"),
    "host: everything": (changed("port = 9090", 'allowed_hosts = ["*"]'), "server.allowed_hosts"),
    "host: a path": (changed("port = 9090", 'allowed_hosts = ["evil.example/x"]'), "server.allowed_hosts"),
    "host: two lines": (changed("port = 9090", r'host = "0.0.0.0\n"'), "server.host"),
    "port: none such": (changed("port = 9090", "port = 65536"), "server.port"),
    "port: in words": (changed("port = 9090", "port = '0x10'"), "server.port"),
    "pattern: looks ahead": (changed('"check.*"', '"(?=a)"'), "routes.0.match.service"),
    "pattern: looks back": (changed('"check.*"', r"'(a)\1'"), "routes.0.match.service"),
    "pattern: repeats repeats": (changed('"check.*"', "'(((a{100}){100}){100})'"), "routes.0.match.service"),
    "pattern: endless": (changed('"check.*"', f"'{'a?' * 200}'"), "routes.0.match.service"),
    "database: another": (f'database_url = "mysql://u:{SECRET}@x/y"\n' + TEXT, "database_url"),
    "database: half an address": (f'database_url = "postgresql://u:{SECRET}@[x/y"\n' + TEXT, "database_url"),
    "database: a list": (f'database_url = ["{SECRET}"]\n' + TEXT, "database_url"),
    "secret: a list": (f'alert_token = ["{SECRET}"]\n' + TEXT, "alert_token"),
    "secret: not quoted": (f"alert_token = {SECRET}\n" + TEXT, "not valid TOML"),
    "secret: not closed": (f'alert_token = "{SECRET}\n' + TEXT, "not valid TOML"),
    "secret: in a misspelt section": (TEXT + f'\n[senders.x]\npasword = "{SECRET}"\n', "senders.x.pasword"),
    "secret: of another kind": (TEXT + f'\n[git.tokens]\n"git.example" = ["{SECRET}"]\n', "git.tokens.git.example"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_means_harm_is_refused_where_it_stands(name):
    text, where = WRONG[name]
    assert where in refuse(text)


@pytest.mark.parametrize("kind", ["../../x", "os", "web.x", "", "__init__", "a b", "\u0661"])
def test_a_channel_s_kind_names_a_connector_and_nothing_else(kind):
    settings = load(changed('kind = "web"', f'kind = "{kind}"'))
    with pytest.raises(ConfigError, match="no chat connector"):
        make_channels(settings, Board)


@pytest.mark.parametrize("kind", ["../x", "", "LOCAL", "os", "__init__", "local_spool"])
def test_a_ci_that_does_not_exist_is_named(kind):
    with pytest.raises(ConfigError, match=r"no connector|no CI system"):
        make_platforms(load(service(f'ci = "{kind}"')))


def test_a_pattern_that_would_keep_others_busy_for_ever_costs_nothing():
    settings = load(changed('"check.*"', '"(a+)+$|(.*)*x"'))
    (route,) = settings.route_list()
    began = time.process_time()
    assert not route.matches({"service": "a" * 100_000 + "!"})
    assert time.process_time() - began < 1
    assert Matcher(label="x", pattern="(?P<").fault().isprintable()


def test_passwords_in_addresses_are_secrets_too():
    text = changed("https://git.example", "https://bot:p%40ss-in-address@git.example")
    secrets = load('model_url = "http://u:model-pass@gpu:30000"\n' + text).secrets()
    assert {"p%40ss-in-address", "p@ss-in-address", "model-pass"} <= set(secrets)


def test_a_variable_is_held_to_the_same(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_SERVICES", '{"../x": {"repository": "ext::sh", "branch": "a\\u0000"}}')
    monkeypatch.setenv("NIGHTSHIFT_ALERT_TOKEN", SECRET)
    with pytest.raises(ConfigError) as caught:
        load_settings(None)
    assert {problem.where for problem in caught.value.problems} >= {
        "services.../x", "services.../x.repository", "services.../x.branch",
    }  # fmt: skip
    assert SECRET not in str(caught.value)
