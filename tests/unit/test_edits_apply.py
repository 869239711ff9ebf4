"""`nightshift edits apply`: what it takes, what it prints and writes, and how it ends."""

import json
import stat

import pytest
from typer.testing import CliRunner

from bot.cli import app

EDITS = [{"old": "a = 1\n", "new": "a = 2\n"}]


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "shop" / "cart.py"
    made.parent.mkdir()
    made.write_bytes(b"a = 1\r\nb = 1\r\n")
    made.chmod(0o750)
    return made


def invoke(file, edits, *options, typed=None):
    text = edits if isinstance(edits, str) else json.dumps(edits)
    return CliRunner().invoke(app, ["edits", "apply", "--file", str(file), "--edits", text, *options], input=typed)


def test_the_result_is_printed_byte_for_byte_and_the_file_stays(file):
    done = invoke(file, EDITS)
    assert (done.exit_code, done.stdout_bytes) == (0, b"a = 2\r\nb = 1\r\n")
    assert file.read_bytes() == b"a = 1\r\nb = 1\r\n"


def test_write_puts_it_in_the_files_place_with_its_mode(file):
    done = invoke(file, EDITS, "--write")
    assert (done.exit_code, done.output) == (0, f"{file}: 1 edit applied\n")
    assert file.read_bytes() == b"a = 2\r\nb = 1\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert [path.name for path in file.parent.iterdir()] == ["cart.py"]


def test_json_holds_the_text_and_the_patch(file):
    told = json.loads(invoke(file, EDITS, "--json").output)
    assert told["applied"]
    assert not told["written"]
    assert told["text"] == "a = 2\r\nb = 1\r\n"
    assert "+a = 2\r\n" in told["diff"]
    assert told["error"] is None


@pytest.mark.parametrize("as_json", [True, False])
def test_an_edit_that_does_not_fit_writes_nothing_and_says_what_is_right(file, as_json):
    wrong = [{"old": "a = 3\n", "new": "a = 2\n"}]
    done = invoke(file, wrong, "--write", *(["--json"] if as_json else []))
    assert done.exit_code == 3
    assert "the nearest line is 'a = 1'" in (json.loads(done.stdout)["error"] if as_json else done.stderr)
    assert file.read_bytes() == b"a = 1\r\nb = 1\r\n"


def test_edits_come_from_a_file_or_stdin_and_with_the_agents_arguments(file, tmp_path):
    named = tmp_path / "edits.json"
    named.write_text(json.dumps({"edits": [{"path": "shop/cart.py", **EDITS[0]}]}))
    assert invoke(file, str(named)).exit_code == 0
    assert invoke(file, "-", typed=json.dumps(EDITS)).exit_code == 0


def test_a_new_file_is_made_by_one_edit_with_an_empty_old(tmp_path):
    assert invoke(tmp_path / "new.py", [{"old": "", "new": "x = 1\n"}], "--write").exit_code == 0
    assert (tmp_path / "new.py").read_text() == "x = 1\n"


@pytest.mark.parametrize(
    ("edits", "code", "why"),
    [
        ("[", 2, "not JSON"),
        ("{}", 2, "give a list like"),
        ("[]", 2, "give a list like"),
        ("", 2, "give a list like"),
        ([{"old": "a"}], 2, "new is missing"),
        ([{"old": "a", "new": 1}], 2, "new must be a text"),
        ([{"old": "a", "new": "b", "where": 3}], 2, "no argument 'where'"),
        ([{"path": "other.py", "old": "a", "new": "b"}], 2, "for other.py"),
        ('[{"old": "a", "old": "b", "new": "c"}]', 2, "twice"),
        ("no-such-file.json", 1, "cannot be read"),
        ([{"old": "b = 1\n", "new": "b = '\u202e'\n"}], 3, "refused"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(file, edits, code, why):
    done = invoke(file, edits)
    assert (done.exit_code, done.stdout) == (code, "")
    assert why in done.stderr


def test_a_folder_and_what_is_no_text_are_named(file):
    assert invoke(file.parent, EDITS).exit_code == 1
    file.write_bytes(b"\xff")
    assert "not UTF-8" in invoke(file, EDITS).stderr
