"""Commands as people type them, and what test runners say beyond their exit code."""

import sys

import pytest

from bot.bootstrap.command import read_command
from bot.domain.checks.testing import find_failing, name_files, ran_nothing, read_verdict, widen
from bot.domain.evidence import Check
from bot.errors import Refused
from bot.worker.coverage import Seen, is_watched, merge_executed, take_executed

PYTEST = ("python", "-m", "pytest", "-q", "tests/test_a.py::test_x")
UNITTEST = ("python", "-m", "unittest", "tests.test_a.CaseA.test_x")


@pytest.mark.parametrize(
    ("command", "code", "output", "verdict"),
    [
        (PYTEST, 0, "1 passed", Check.GREEN),
        (PYTEST, 1, "1 failed", Check.RED),
        (PYTEST, 4, "ERROR: not found: tests/test_a.py::test_x", Check.UNKNOWN),
        (PYTEST, 5, "no tests ran", Check.UNKNOWN),
        (PYTEST, 1, "/usr/bin/python: No module named pytest", Check.UNKNOWN),
        (UNITTEST, 1, "FAILED (failures=1)", Check.RED),
        (UNITTEST, 1, "ERROR: tests.test_a (unittest.loader._FailedTest.tests.test_a)", Check.UNKNOWN),
        (UNITTEST, 0, "NO TESTS RAN", Check.UNKNOWN),
        (("make", "test"), 2, "", Check.RED),
        (("make", "test"), 127, "", Check.UNKNOWN),
    ],
)
def test_a_test_that_did_not_run_is_neither_red_nor_green(command, code, output, verdict):
    assert read_verdict(command, code, output) is verdict


def test_pytest_that_fails_in_another_way_than_it_did_is_not_the_same_failure():
    assert read_verdict(PYTEST, 2, "1 error", red_code=1) is Check.UNKNOWN
    assert read_verdict(PYTEST, 2, "1 error", red_code=2) is Check.RED


def test_the_files_that_a_command_names_are_known():
    assert name_files(PYTEST) == ("tests/test_a.py",)
    assert "tests/test_a.py" in name_files(UNITTEST)
    assert name_files(("python", "../out.py", "/etc/x.py", "--conf=cfg/a.toml")) == ("cfg/a.toml",)
    assert ran_nothing(PYTEST, 5, "")


def test_failing_tests_are_named_alike_by_both_runners():
    text = "FAILED tests/test_a.py::test_x[1] - KeyError: 1\nFAILED (failures=1)\nERROR tests/test_b.py\n"
    assert find_failing(text) == {"tests/test_a.py::test_x[1]", "tests/test_b.py"}
    text = "FAIL: test_x (tests.test_a.CaseA.test_x)\nERROR: test_y (tests.test_a.CaseA)\n"
    assert find_failing(text) == {"tests.test_a.CaseA.test_x", "tests.test_a.CaseA.test_y"}


def test_the_suite_is_found_out_from_one_of_its_tests():
    assert widen(UNITTEST) == ("python", "-m", "unittest", "-q")
    assert widen(PYTEST)[:3] == PYTEST[:3]
    assert "tests/test_a.py::test_x" not in widen(PYTEST)
    assert widen(("make", "test")) == ()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "check.sh").write_text("exit 1\n")
    return tmp_path


def test_python_is_the_one_that_would_run_with_its_packages_in_sight(repository):
    command = read_command(f"{sys.executable} -m pytest -q", repository)
    assert command.argv[1:] == ("-m", "pytest", "-q")
    assert any(str(folder) == sys.prefix for folder in command.readable)
    assert command.env["PYTHONPATH"] == ".:src"


def test_what_only_a_shell_understands_is_left_to_one(repository):
    assert read_command("A=1 make test && true", repository).argv == ("sh", "-c", "A=1 make test && true")


def test_files_of_the_repository_stay_relative_and_others_are_put_beside_the_tree(repository, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "check.py"
    other.write_text("import sys\n")
    command = read_command(f"python {other} {repository}/check.sh", repository)
    assert command.argv[1:] == ("/nightshift/check.py", "check.sh")
    assert command.files == {"check.py": b"import sys\n"}


@pytest.mark.parametrize("text", ["", "  ", 'python "unclosed'])
def test_what_is_no_command_is_refused(text, repository):
    with pytest.raises(Refused):
        read_command(text, repository)


def test_what_was_executed_is_taken_out_of_the_output_and_junk_is_none():
    assert take_executed("a\nnightshift-executed !!!\nb") == ("a\nb", Seen())
    merged = merge_executed([{"a.py": frozenset({"f"})}, {"a.py": frozenset({"g"})}])
    assert merged == {"a.py": frozenset({"f", "g"})}
    assert is_watched(PYTEST)
    assert not is_watched(("make", "test"))
