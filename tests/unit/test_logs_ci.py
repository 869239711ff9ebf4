"""`nightshift logs ci`: a failed log on the terminal, with line numbers that anyone can score."""

import json

import pytest
from typer.testing import CliRunner

from bot.bootstrap.commands.logs_ci import read_ci
from bot.cli import app
from bot.errors import Refused

GREEN = "test_add ... ok\nRan 1 test in 0.1s\n"
FAILED = "10%\r20%\ntest_add ... ok\nKeyError: 'rate'\nRan 2 tests in 0.3s\n"


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "green.log").write_text(GREEN)
    (tmp_path / "failed.log").write_bytes(FAILED.encode())
    return tmp_path


def test_numbers_are_of_the_lines_as_read_and_text_is_printed_with_them(logs):
    shown = CliRunner().invoke(app, ["logs", "ci", str(logs / "failed.log"), "--green", str(logs / "green.log")])
    assert shown.output == "     4  KeyError: 'rate'\n"
    assert shown.exit_code == 0


def test_json_says_what_was_compared_and_where_the_failed_command_stands(logs):
    asked = ["logs", "ci", str(logs / "failed.log"), "--green", str(logs / "green.log"), "--json"]
    assert json.loads(CliRunner().invoke(app, asked).output) == {
        "version": 1,
        "lines": 5,
        "compared": True,
        "failed_command": {"first": 1, "last": 5, "marked": False},
        "relevant": [4],
        "shown": [{"line": 4, "text": "KeyError: 'rate'"}],
    }


def test_without_a_green_log_the_failed_command_s_output_is_printed(logs):
    report = read_ci(logs / "failed.log", None)
    assert report["compared"] is False
    assert report["relevant"] == [1, 2, 3, 4, 5]


def test_secrets_and_what_nobody_sees_are_not_printed(logs):
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3kL6"
    (logs / "failed.log").write_text(f"error: \x1b[31mtoken\u202e {secret}\n")
    text = read_ci(logs / "failed.log", None)["shown"][0]["text"]
    assert secret not in text
    assert text.startswith("error: token ")


def test_gaps_and_what_is_left_out_are_said(logs):
    new = "\n".join(f"error: {chr(97 + n % 26)}{chr(97 + n // 26)}x is wrong" for n in range(300))
    (logs / "failed.log").write_text(f"test_add ... ok\n{new}\n")
    shown = CliRunner().invoke(app, ["logs", "ci", str(logs / "failed.log"), "--green", str(logs / "green.log")])
    assert shown.output.rstrip().endswith("180 more lines are new; --json lists their numbers.")


def test_an_empty_log_and_one_that_is_not_there(logs, monkeypatch):
    (logs / "failed.log").write_text("")
    assert CliRunner().invoke(app, ["logs", "ci", str(logs / "failed.log")]).output == "The log is empty.\n"
    with pytest.raises(Refused, match="cannot be read"):
        read_ci(logs / "nothing.log", None)
    monkeypatch.setattr("bot.bootstrap.commands.logs_ci.MAX_BYTES", 3)
    with pytest.raises(Refused, match="has more than"):
        read_ci(logs / "green.log", None)
