from pathlib import Path

import pytest

from bot.agent.redaction import RULES, load_redactor
from bot.agent.redaction_rules import load_rules
from bot.errors import ConfigError

KEY = b"a key of the test"
GOOD = """
count = 1
[[rules]]
id = "made-up"
regex = '''\\bmade-([0-9]{4})\\b'''
keywords = ["MADE-"]
"""


def put(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_rules_are_all_there() -> None:
    assert len(load_rules(RULES)) > 217


def test_a_rule_of_a_file_is_used(tmp_path: Path) -> None:
    redactor = load_redactor([], KEY, rules=put(tmp_path, GOOD))
    assert redactor.redact("x Made-1234 made-1234").startswith("x Made-1234 made-[redacted:made-up:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds 0"),
        ("count = 0\nrules = []", "holds 0"),
        ("rules = 3\ncount = 1", "holds 0"),
        ("count = [", "cannot read"),
        ("[[rules]", "cannot read"),
        (GOOD.replace("count = 1", "count = 2"), "should hold 2"),
        (GOOD.replace("count = 1", ""), "should hold None"),
        (GOOD.replace("[0-9]{4}", "[0-9"), "rule 1"),
        (GOOD.replace("[0-9]{4}", "(?=x)"), "rule 1"),
        (GOOD.replace("[0-9]{4}", "(a)\\2"), "rule 1"),
        (GOOD.replace("made-up", "Made up"), "needs an id"),
        (GOOD.replace('id = "made-up"', ""), "needs an id"),
        (GOOD.replace("regex =", "rex ="), "needs a regex"),
        (GOOD.replace('["MADE-"]', "[]"), "needs keywords"),
        (GOOD.replace('["MADE-"]', '[""]'), "needs keywords"),
        (GOOD.replace('["MADE-"]', '"MADE-"'), "needs keywords"),
        (GOOD + 'entropy = "high"', "entropy"),
        (GOOD + "group = 2", "group 2"),
        ("count = 1\nrules = [3]", "no table"),
    ],
)
def test_wrong_rules_stop_the_program_and_say_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_redactor([], KEY, rules=put(tmp_path, text))
    assert "rules.toml" in str(caught.value)


def test_missing_rules_stop_the_program(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_redactor([], KEY, rules=tmp_path / "rules.toml")


def test_rules_that_are_no_text_stop_the_program(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load_redactor([], KEY, rules=path)


def test_a_torn_file_of_shipped_rules_is_noticed(tmp_path: Path) -> None:
    whole = RULES.read_text("utf-8")
    torn = whole[: whole.index("[[rules]]", len(whole) // 2)]
    with pytest.raises(ConfigError, match="should hold"):
        load_redactor([], KEY, rules=put(tmp_path, torn))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("count = 1", "count = 3") + "[[rules]]\nid = 'a'\n[[rules]]\nid = 'b'\n"
    with pytest.raises(ConfigError) as caught:
        load_redactor([], KEY, rules=put(tmp_path, bad))
    assert len(caught.value.problems) == 2


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="key"):
        load_redactor([], b"")
