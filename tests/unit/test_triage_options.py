"""`triage` and `suspects`: what they take, what they refuse, and how they end."""

import json
import subprocess

import pytest

from bot.bootstrap.commands.triage import Case, run_triage
from bot.bootstrap.commands.triage_options import suspects_main, triage_main
from bot.errors import Refused, Rejected

ALERT = {
    "version": "4",
    "alerts": [
        {"status": "resolved", "labels": {"alertname": "Old"}, "startsAt": "2026-03-01T00:00:00Z"},
        {
            "status": "firing",
            "labels": {"alertname": "Errors", "service": "shop"},
            "annotations": {"summary": "The shop answers 500"},
            "startsAt": "2026-03-04T12:00:00Z",
        },
    ],
}
LOG = """2026-03-04T12:00:00Z ERROR request failed
Traceback (most recent call last):
  File "/app/shop.py", line 2, in rate
    return RATES[country]
KeyError: 'SE'
"""


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()

    def git(*args):
        who = ("-c", "user.name=Ada", "-c", "user.email=a@b.example")
        subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    for number, text in enumerate(("RATES = {'SE': 25}", "RATES = {'DE': 19}")):
        (folder / "shop.py").write_text(f"def rate(country):\n    return RATES[country]\n\n\n{text}\n")
        git("add", "-A")
        git("commit", "-q", "-m", f"Rates {number}")
    (tmp_path / "app.log").write_text(LOG)
    return tmp_path


def where(shop):
    return ["--repo", str(shop / "shop"), "--log", str(shop / "app.log"), "--json"]


def test_suspects_are_ranked_with_reasons_and_the_code_is_shown(shop, capsys):
    assert suspects_main(where(shop)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["version"] == 1
    assert said["suspects"][0]["subject"] == "Rates 1"
    assert said["suspects"][0]["reasons"]
    assert said["changes"][0]["kind"] == "code"


def test_a_shallow_clone_is_said_to_be_one(shop, capsys):
    shallow = shop / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", (shop / "shop").as_uri(), str(shallow)], check=True)
    assert suspects_main(["--repo", str(shallow), *where(shop)[2:]]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("shallow clone" in note for note in said["notes"])


@pytest.mark.parametrize("wrap", [lambda alert: alert, lambda alert: {"note": "kept", "payload": alert}])
def test_without_a_check_nothing_is_confirmed_and_it_says_what_to_look_at(shop, capsys, wrap):
    (shop / "alert.json").write_text(json.dumps(wrap(ALERT)))
    assert triage_main([*where(shop), "--alert", str(shop / "alert.json")]) == 4
    said = json.loads(capsys.readouterr().out)
    assert (said["title"], said["service"]) == ("The shop answers 500", "shop")
    assert said["began_at"] == "2026-03-04T12:00:00+00:00"
    assert said["culprit"] is None
    first = said["findings"][0]
    assert first["next"].startswith("which check or request is red")
    assert any(piece["kind"] == "code" and "shop.py:2" in piece["cite"] for piece in said["evidence"])


def test_a_check_names_the_culprit_and_its_revert_is_tested(shop, capsys):
    check = "python3 -c \"import shop; shop.rate('SE')\""
    assert triage_main([*where(shop), "--run", check]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["culprit"]["rank"] == 1
    assert said["revert"]["scope"] == "whole"
    assert said["revert"]["is_clean"] is True
    assert (said["patch"]["before"], said["patch"]["after"]) == ("red", "green")


def test_a_package_that_drifted_is_said_where_no_commit_can_be_blamed(shop, capsys):
    (shop / "app.log").write_text(
        "Successfully installed kit-1.5.0\n"
        + LOG.replace("/app/shop.py", "/venv/lib/python3.11/site-packages/kit/rates.py")
    )
    (shop / "shop" / "requirements.txt").write_text("kit>=1.4\n")
    who = ("-c", "user.name=Ada", "-c", "user.email=a@b.example")
    subprocess.run(["git", "add", "-A"], cwd=shop / "shop", check=True)
    subprocess.run(["git", *who, "commit", "-q", "-m", "Ask for kit"], cwd=shop / "shop", check=True)
    assert triage_main([*where(shop), "--run", "python3 -c 'raise SystemExit(1)'"]) == 4
    said = json.loads(capsys.readouterr().out)
    drift = next(finding for finding in said["findings"] if "kit 1.5.0" in finding["claim"])
    assert drift["confidence"] == "inconclusive"
    assert "requirements.txt asks for kit>=1.4" in drift["claim"]
    assert drift["next"].startswith("which version of kit was installed when it was green last")
    assert said["patch"] is None


@pytest.mark.parametrize(
    "wrong",
    [["--log", "/no/such"], ["--seconds", "1"], ["--commits", "x"], ["--nonsense"], ["--repo", "/no/such"]],
)
def test_wrong_options_end_with_two(shop, wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        triage_main([*where(shop), *wrong])
    assert ended.value.code == 2


def test_what_is_no_repository_or_no_alert_is_said(shop, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Rejected, match="is not a git repository"):
        suspects_main(["--repo", str(tmp_path / "empty"), "--log", str(shop / "app.log")])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "body is no object"),
        ('{"alerts": 5}', "alerts is no list"),
        ('{"alerts": []}', "alerts is empty"),
        ('{"alerts": [{"status": "on", "labels": {}}]}', "alerts.0.status is neither firing nor resolved"),
        ("nope", r"the body is not JSON \(line 1, column 1\)"),
    ],
)
def test_a_file_that_is_no_alert_says_what_is_wrong_and_what_to_give(shop, content, why):
    (shop / "alert.json").write_text(content)
    with pytest.raises(Refused, match=f"cannot be read as an alert: {why}.*Alertmanager's webhook"):
        triage_main([*where(shop), "--alert", str(shop / "alert.json")])


@pytest.mark.parametrize("check", [[], ["--run", "no-such-program"]])
def test_why_nothing_was_confirmed_is_said_once(shop, capsys, check):
    assert triage_main([*where(shop), *check]) == 4
    notes = json.loads(capsys.readouterr().out)["notes"]
    why = "could not be run" if check else "no check of shop is named"
    assert len([note for note in notes if why in note]) == 1
    assert any("--run CMD" in note for note in notes) is not bool(check)


def test_a_check_that_takes_all_the_time_leaves_the_log_and_the_ranking(shop, capsys):
    case = Case(
        repository=shop / "shop", logs=(shop / "app.log",), run="sleep 30", seconds=2, as_json=True, use_model=False
    )
    assert run_triage(case) == 4
    said = json.loads(capsys.readouterr().out)
    assert any("it was not finished: " in note for note in said["notes"])
    assert said["suspects"][0]["subject"] == "Rates 1"
    assert any("KeyError" in finding["claim"] for finding in said["findings"])


def test_a_log_that_is_a_folder_or_a_pipe_is_not_called_missing(shop, capsys):
    for name in (str(shop), "/dev/null"):
        with pytest.raises(SystemExit):
            suspects_main(["--repo", str(shop / "shop"), "--log", name])
        assert f"{name} is no file" in capsys.readouterr().err
