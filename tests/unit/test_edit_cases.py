"""No wrong file: of every kind of file and every mistake comes the right file, or a refusal that helps."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.edits import Edit, apply_edits
from bot.errors import Refused
from tests.edit_cases import BASES, MISTAKES

CASES = [(base, name) for base in BASES for name in MISTAKES]


def play(base, mistake):
    """Return the file that an edit with the mistake makes, or the refusal; None where the mistake changes nothing."""
    text = mistake.spoil(base) if mistake.spoil else base.text
    made = mistake.make(base)
    edits = made if isinstance(made, list) else [made]
    if not mistake.spoil and mistake.says and edits == [Edit(old=base.old, new=base.new)]:
        return None
    try:
        return apply_edits(base.path, text, edits)
    except Refused as refusal:
        return refusal


def test_the_corpus_is_large_and_holds_every_kind_of_file():
    real = [case for case in CASES if play(case[0], MISTAKES[case[1]]) is not None]
    assert len(real) >= 500
    assert len({base.path.rpartition(".")[2] for base in BASES}) == len(BASES)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_mended_or_refused_and_writes_no_wrong_file(name):

    mistake, played = MISTAKES[name], 0
    for base in BASES:
        result = play(base, mistake)
        if result is None:
            continue
        played += 1
        if isinstance(result, Refused):
            assert mistake.says is not None, (base.path, str(result))
            assert re.search(mistake.says, str(result)), (base.path, str(result))
        else:
            assert result == base.right, (base.path, result)
            assert mistake.says is None or mistake.may_fit, (base.path, result)
    assert played >= (1 if not mistake.for_all else len(BASES))


LINES = st.lists(st.sampled_from(["a", "  b", "\tc", "", "d ", "größe", "}", "  }"]), max_size=7)
ENDS = st.sampled_from(["\n", "\r\n"])


@given(LINES, ENDS, st.booleans(), st.integers(0, 6), st.integers(1, 3), LINES)
def test_an_edit_of_any_lines_changes_these_and_nothing_else(lines, end, is_ended, first, count, new):
    """Whatever is written is the file with exactly one run of lines replaced by the new ones."""
    old = lines[first : first + count]
    text = end.join(lines) + (end if is_ended else "")
    edit = Edit(old="".join(f"{line}\n" for line in old), new="".join(f"{line}\n" for line in new))
    try:
        result = apply_edits("x.txt", text, [edit])
    except Refused:
        return
    plain, made = text.replace("\r\n", "\n"), result.replace("\r\n", "\n")
    right = "\n".join([*lines[:first], *new, *lines[first + count :]])
    assert made.strip("\n") == right.strip("\n")
    assert ("\r\n" in result) == (end == "\r\n" and "\n" in made) or plain.count("\n") == 0


@given(st.text("ab \t\n+-@<=>1:|.", max_size=40), st.text("ab \t\n+-@<=>1:|.", max_size=20), st.text(max_size=20))
def test_any_text_is_applied_or_refused_and_never_fails_otherwise(text, old, new):
    try:
        assert isinstance(apply_edits("x.py", text, [Edit(old=old, new=new)]), str)
    except Refused as refusal:
        said = str(refusal)
    else:
        said = "x.py: "
    assert said.startswith("x.py: ")


def test_what_is_meant_is_not_taken_for_a_mistake():
    meant = [
        ("def f():\n    for x in y:\n        a(x)\n        return x\n", "        return x\n", "    return x\n"),
        ("if a:\n    b()\n", "if a:\n    b()\n", "b()\n"),
        ("def f():\n    return 1\n", "    return 1\n", "    return 1\n\n\ndef g():\n    return 2\n"),
        ("x = 1\n1: a\n2: b\n", "1: a\n2: b\n", "1: c\n2: b\n"),
        ("- a\n- b\n", "- a\n", "- c\n"),
        (
            "switch (x) {\n  case 1:\n    go();\n    break;\n  default:\n}\n",
            "  case 1:\n",
            "  case 0:\n    go();\n    break;\n  case 1:\n",
        ),
        ("a == b\n=====\ntext\n", "text\n", "=====\nmore\n"),
    ]
    for text, old, new in meant:
        path = "x.md" if "=====" in text else "x.py"
        assert apply_edits(path, text, [Edit(old=old, new=new)]) == text.replace(old, new, 1)
