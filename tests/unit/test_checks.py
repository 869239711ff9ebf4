"""`.nightshift.toml`: what a repository may say about its checks, and what is refused as a whole."""

import pytest

from bot.domain.checks.named import MAX_CHECKS, MAX_FILE, CheckKind, CheckSpec, parse_checks, plan_checks

GOOD = b"""
[checks.tests]
command = ["python", "-m", "unittest"]
kind = "test"
repeat = 3
timeout_seconds = 90
[checks.style]
command = ["ruff", "check"]
kind = "lint"
required = false
"""


def test_a_good_file_is_read():
    tests, style = parse_checks(GOOD)
    assert tests == CheckSpec(
        name="tests", command=("python", "-m", "unittest"), kind=CheckKind.TEST, repeat=3, seconds=90.0
    )
    assert (style.kind, style.required, style.repeat) == (CheckKind.LINT, False, 1)
    assert parse_checks(b"") == ()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\xff", "not TOML"),
        (b"[checks", "not TOML"),
        (b"x = " + b"[" * 5_000, "not TOML"),
        (b"#" * (MAX_FILE + 1), "larger than"),
        (b'env = { PATH = "/tmp" }', "something other than"),
        (b"checks = 3", "must be a table"),
        ("".join(f'[checks.c{n}]\ncommand = ["x"]\n' for n in range(MAX_CHECKS + 1)).encode(), "at most 12"),
        (b'[checks."../x"]\ncommand = ["x"]', "not a name"),
        (b'[checks."\xe2\x80\xae"]\ncommand = ["x"]', r"\\u202e is not a name"),
        (b'[checks.reproduction]\ncommand = ["x"]', "not a name"),
        (b'[checks.a]\ncommand = ["x"]\nnetwork = true', "nothing else"),
        (b'[checks.a]\ncommand = "make test"', "must be a list"),
        (b"[checks.a]\ncommand = []", "must be a list"),
        (b'[checks.a]\ncommand = [""]', "no text"),
        (b'[checks.a]\ncommand = ["x", 3]', "no text"),
        (b'[checks.a]\ncommand = ["x\\u0000"]', "no text"),
        (b"[checks.a]\nkind = 'test'", "must be a list"),
        (b'[checks.a]\ncommand = ["x"]\nkind = "e2e"', "must be one of"),
        (b'[checks.a]\ncommand = ["x"]\nkind = []', "must be one of"),
        (b'[checks.a]\ncommand = ["x"]\nrepeat = 6', "from 1 to 5"),
        (b'[checks.a]\ncommand = ["x"]\nrepeat = true', "from 1 to 5"),
        (b'[checks.a]\ncommand = ["x"]\ntimeout_seconds = 1e9', "from 1 to 3,600"),
        (b'[checks.a]\ncommand = ["x"]\nrequired = 0', "true or false"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(raw, why):
    with pytest.raises(ValueError, match=why):
        parse_checks(GOOD + raw if raw.startswith(b"[checks.a]") else raw)


def test_the_operator_s_command_wins_and_is_always_required():
    theirs = parse_checks(GOOD.replace(b'kind = "test"', b'kind = "test"\nrequired = false'))
    plan = plan_checks({"tests": ("make", "test"), "types": ("mypy",)}, theirs)
    assert list(plan) == ["tests", "types", "style"]
    assert (plan["tests"].command, plan["tests"].required, plan["tests"].repeat) == (("make", "test"), True, 3)
    assert (plan["types"].kind, plan["types"].command) == (CheckKind.TYPES, ("mypy",))
    assert not plan["style"].required
