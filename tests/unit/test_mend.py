"""Fixes smaller than a revert: in real repositories, with the real sandbox, as `triage` drafts them."""

import json
import subprocess
from dataclasses import replace

import pytest

from bot.bootstrap.commands import triage
from bot.bootstrap.commands.triage_options import triage_main
from bot.domain.patches.patch import parse_patch
from bot.domain.patches.risk import RiskFacts, classify_risk

LOG = """Traceback (most recent call last):
  File "/app/shop.py", line 5, in charge
    raise TimeoutError(f"no answer in {timeout} s")
TimeoutError: no answer in 3 s
"""
SHOP = """import tomllib


def charge(timeout):
    if timeout < 20:
        raise TimeoutError(f"no answer in {timeout} s")
    return "charged"


def read():
    with open("app.toml", "rb") as file:
        return tomllib.load(file)["http"]["timeout"]
"""
TOML = """[http]
retries = 3
timeout = 30  # seconds
hosts = ["a"]
"""
KIT = """import re, sys
pin = re.search("kit==(.*)", open("requirements.txt").read())[1]
sys.path.insert(0, f"lib/kit-{pin}")
import kit
assert kit.spell("ü") == "ue"
assert f'version = "{pin}"' in open("uv.lock").read(), "the lock file says otherwise"
"""
LOCK = """[[package]]
name = "kit"
version = "1.4"

[[package]]
name = "zed"
version = "2.0"
"""


class Repository:
    def __init__(self, folder):
        self.folder = folder / "shop"
        self.folder.mkdir()
        self.log = folder / "app.log"
        self.log.write_text(LOG)
        self._git("init", "-q", "-b", "main")

    def _git(self, *args):
        who = ("-c", "user.name=Ada", "-c", "user.email=a@b.example")
        done = subprocess.run(["git", *who, *args], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-q", "-m", message)
        return self._git("rev-parse", "HEAD")

    def triage(self, capsys, check):
        capsys.readouterr()
        code = triage_main(["--repo", str(self.folder), "--log", str(self.log), "--run", check, "--json"])
        return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def shop(tmp_path):
    made = Repository(tmp_path)
    made.commit("Begin", shop__py=SHOP, app__toml=TOML)
    made.commit("Say what it is", README__md="The shop.\n")
    return made


CHARGE = 'python3 -c "import shop; shop.charge(shop.read())"'


def test_only_the_guilty_setting_goes_back_and_what_came_with_and_after_it_stays(shop, capsys):
    code = SHOP + '\n\ndef refund():\n    return "refunded"\n'
    changed = TOML.replace("timeout = 30", "timeout = 3").replace("retries = 3", "retries = 5")
    culprit = shop.commit("Give up sooner, and refund", shop__py=code, app__toml=changed)
    shop.commit("More hosts", app__toml=changed.replace('["a"]', '["a", "b"]  # both'))
    ended, said = shop.triage(capsys, CHARGE)
    assert ended == 0
    assert said["culprit"]["commit"] == culprit
    revert = said["revert"]
    assert (revert["commit"], revert["scope"], revert["put_back"]) == (
        culprit,
        "settings",
        ["http.timeout in app.toml"],
    )
    assert (revert["check"], revert["breaks"]) == ("green", [])
    assert "so it was preferred to the revert of the whole commit" in revert["why"][0]
    patch = said["patch"]
    assert (patch["title"], patch["verified"]) == ("Put http.timeout in app.toml back", True)
    lines = [line for line in patch["diff"].splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert lines == ["-timeout = 3  # seconds", "+timeout = 30  # seconds"]


def test_who_asks_for_the_revert_gets_all_of_it(shop, capsys, monkeypatch):
    plan = triage._plan_job
    monkeypatch.setattr(triage, "_plan_job", lambda *args, **more: replace(plan(*args, **more), wants_revert=True))
    shop.commit("Give up sooner", shop__py=SHOP + "NAME = 1\n", app__toml=TOML.replace("timeout = 30", "timeout = 3"))
    _, said = shop.triage(capsys, CHARGE)
    assert said["revert"]["scope"] == "whole"


def test_where_the_code_is_guilty_its_settings_stay_out_of_it(shop, capsys):
    code = SHOP.replace("timeout < 20", "timeout < 60")
    shop.commit("Expect more of time-outs", shop__py=code, app__toml=TOML.replace("retries = 3", "retries = 5"))
    ended, said = shop.triage(capsys, CHARGE)
    assert ended == 0
    assert (said["revert"]["scope"], said["revert"]["put_back"]) == ("whole", [])
    assert said["patch"]["title"] == 'Revert "Expect more of time-outs"'


def test_a_commit_that_changed_settings_alone_is_reverted_as_a_whole(shop, capsys):
    shop.commit("Give up sooner", app__toml=TOML.replace("30", "3").replace("retries = 3", "retries = 5"))
    _, said = shop.triage(capsys, CHARGE)
    assert said["revert"]["scope"] == "whole"


def test_where_later_changes_are_in_the_way_of_the_revert_the_setting_still_goes_back(shop, capsys):
    changed = TOML.replace("30", "3").replace("retries = 3", "retries = 5")
    shop.commit("Give up sooner", app__toml=changed)
    shop.commit("Try more often", app__toml=changed.replace("retries = 5", "retries = 7"))
    ended, said = shop.triage(capsys, CHARGE)
    assert ended == 0
    assert (said["revert"]["scope"], said["revert"]["put_back"]) == ("settings", ["http.timeout in app.toml"])
    assert said["revert"]["why"][0].endswith("and the revert of the whole commit does not hold")
    assert "+timeout = 30  # seconds" in said["patch"]["diff"]
    assert " retries = 7" in said["patch"]["diff"]


def test_a_package_is_pinned_back_with_its_lock_file_and_the_rest_stays(tmp_path, capsys):
    made = Repository(tmp_path)
    kits = {
        "lib_in_kit-1.4_in_kit__py": "def spell(text):\n    return text.replace('ü', 'ue')\n",
        "lib_in_kit-1.5_in_kit__py": "def spell(text):\n    return text\n",
    }
    made.commit("Begin", requirements__txt="zed==2.0\nkit==1.4\n", uv__lock=LOCK, check__py=KIT, shop__py=SHOP, **kits)
    made.commit("Say what it is", README__md="The shop.\n")
    culprit = made.commit(
        "Bump kit, and say why",
        requirements__txt="zed==2.0\nkit==1.5\n",
        uv__lock=LOCK.replace("1.4", "1.5"),
        shop__py=SHOP + "# kit 1.5 is quicker\nNAME = 1\n",
    )
    made.commit(
        "Bump zed", requirements__txt="zed==2.1\nkit==1.5\n", uv__lock=LOCK.replace("1.4", "1.5").replace("2.0", "2.1")
    )
    ended, said = made.triage(capsys, "python3 check.py")
    assert ended == 0
    assert said["culprit"]["commit"] == culprit
    revert, patch = said["revert"], said["patch"]
    assert (revert["scope"], revert["put_back"]) == ("pin", ["kit in requirements.txt", "uv.lock"])
    assert (patch["title"], patch["culprit"], patch["verified"]) == ("Pin kit back to 1.4", culprit, True)
    lines = [line for line in patch["diff"].splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert lines == ["-kit==1.5", "+kit==1.4", '-version = "1.5"', '+version = "1.4"']
    risk = classify_risk(parse_patch(patch["diff"].encode()), facts=RiskFacts(is_verified=True))
    assert risk.reasons == ("changes dependencies: requirements.txt", "changes dependencies: uv.lock")


def test_of_a_hunk_that_was_changed_again_the_changes_apart_from_that_go_back(shop, capsys):
    guilty, read = SHOP.replace("timeout < 20", "timeout < 60"), "tomllib.load(file)"
    culprit = shop.commit("Expect more of time-outs", shop__py=guilty.replace(read, f"dict({read})"))
    shop.commit("Read the settings as they are", shop__py=guilty.replace(read, f"({read})"))
    ended, said = shop.triage(capsys, CHARGE)
    assert (ended, said["culprit"]["commit"]) == (0, culprit)
    assert said["revert"]["scope"] == "part"
    assert said["patch"]["title"] == 'Revert part of "Expect more of time-outs"'
    lines = [line for line in said["patch"]["diff"].splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert lines == ["-    if timeout < 60:", "+    if timeout < 20:"]
    assert said["patch"]["notes"] == ["not taken back: shop.py: lines 9–12 were changed again since"]
