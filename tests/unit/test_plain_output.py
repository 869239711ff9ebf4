"""What a red check prints where no error is told in a form of its own."""

from bot.domain.checks.plain_output import tell_output
from bot.domain.checks.testing import name_folders
from bot.domain.evidence import LogLine

TAP = """TAP version 13
# Subtest: orders are routed
not ok 1 - orders are routed
  ---
  location: '/srv/gateway/test/router.test.js:5:1'
  error: "Cannot read properties of undefined (reading 'replace')"
  name: 'TypeError'
  stack: |-
    exports.resolve (/srv/gateway/lib/router.js:4:16)
    TestContext.<anonymous> (/srv/gateway/test/router.test.js:5:46)
  ...
ok 2 - three attempts are made
"""


def lines(text: str) -> list[LogLine]:
    return [LogLine(source="check", number=n, text=each) for n, each in enumerate(text.splitlines(), 1)]


def test_the_places_of_a_tap_report_are_frames_and_those_in_tests_the_outer_ones() -> None:
    record = tell_output(lines(TAP))
    assert record is not None
    assert [(frame.path.rsplit("/", 1)[-1], frame.line) for frame in record.frames][-1] == ("router.js", 4)
    assert record.frames[-1].function == "exports.resolve"
    assert record.kind == "TypeError"
    assert not any(line.text.startswith("ok ") for line in record.lines)


def test_a_script_that_says_one_line_is_told_with_the_files_that_its_command_names() -> None:
    record = tell_output(lines("FAIL: left b-01, expected b-04\n"), ["check.sh"])
    assert record is not None
    assert (record.headline, [frame.path for frame in record.frames]) == (
        "FAIL: left b-01, expected b-04",
        ["check.sh"],
    )


def test_silence_is_no_error() -> None:
    assert tell_output(lines("\nok 1 - all\n"), ["check.sh"]) is None


def test_a_command_names_folders_as_the_beginnings_of_their_paths() -> None:
    assert name_folders(("node", "--test", "./test/")) == ("test/",)
    assert name_folders(("sh", "/etc/x", "../up", "--flag")) == ()
