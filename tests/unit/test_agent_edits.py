"""Edits fit exactly or are refused; never is a wrong file written."""

import contextlib
import time

import pytest

from bot.agent.edits import Edit, apply_edits
from bot.agent.patching import build_patch, diff_file
from bot.domain.patches.patch import PatchLimits, apply_hunks, parse_patch, read_patch
from bot.errors import Refused

CODE = """import os


class Cart:
    def total(self, items):
        amount = 0
        for item in items:
            amount += item.price
        return amount

    def count(self, items):
        amount = 0
        for item in items:
            amount += 1
        return amount


def load(code):
    return TABLE[code]["percent"]
"""
LOOP = "        for item in items:\n            amount += item.price\n"
NO = None

# name: (file, old, new, the expected file or NO for a refusal)
CASES = {
    "one whole line": (CODE, "import os\n", "import sys\n", CODE.replace("import os", "import sys")),
    "without line ends": (CODE, "import os", "import sys", CODE.replace("import os", "import sys")),
    "line end on old alone": (CODE, "import os\n", "import sys", CODE.replace("import os", "import sys")),
    "line end on new alone": (CODE, "import os", "import sys\n", CODE.replace("import os", "import sys")),
    "several lines": (CODE, LOOP, "        amount = 1\n", CODE.replace(LOOP, "        amount = 1\n")),
    "part of a line": (CODE, '["percent"]', '["rate"]', CODE.replace("percent", "rate")),
    "words inside a line": (CODE, "TABLE[code]", "TABLE.get(code)", CODE.replace("TABLE[code]", "TABLE.get(code)")),
    "delete whole lines": (CODE, LOOP, "", CODE.replace(LOOP, "")),
    "delete a line without its line end": (CODE, "import os", "", CODE.removeprefix("import os\n")),
    "delete the last line": ("a\nb\n", "b\n", "", "a\n"),
    "delete the last line that has no end": ("a\nb", "b", "", "a"),
    "delete part of a line": ("x = f(1, 2)\n", ", 2", "", "x = f(1)\n"),
    "add lines after": (CODE, "import os\n", "import os\nimport re\n", CODE.replace("os\n", "os\nimport re\n", 1)),
    "keep one blank line added": ("a\nb\n", "a\n", "a\n\n", "a\n\nb\n"),
    "take a blank line away": ("a\n\nb\n", "a\n\n", "a\n", "a\nb\n"),
    "file without a last line end": ("a\nb", "b", "c", "a\nc"),
    "file without a last line end, given one": ("a\nb", "b", "c\n", "a\nc"),
    "the middle of a line to its end": ("x = foo\ny = 1\n", "foo\n", "bar", "x = bar\ny = 1\n"),
    "over a line end": ("f(a,\n  b)\n", "a,\n  b", "a, b", "f(a, b)\n"),
    "first line without its indentation": (
        CODE,
        "for item in items:\n            amount += item.price",
        "for item in items:\n            amount += item.cost",
        CODE.replace("item.price", "item.cost"),
    ),
    "tabs": ("if x:\n\ty = 1\n", "\ty = 1\n", "\ty = 2\n", "if x:\n\ty = 2\n"),
    "CRLF file, LF edit": ("a\r\nb\r\n", "b\n", "c\nd\n", "a\r\nc\r\nd\r\n"),
    "CRLF file, CRLF edit": ("a\r\nb\r\n", "b\r\n", "c\r\n", "a\r\nc\r\n"),
    "unicode": ("größe = 1  # Größe\n", "größe = 1", "größe = 2", "größe = 2  # Größe\n"),
    "a new file": (None, "", "hello\n", "hello\n"),
    "a byte order mark stays before the first line": ("\ufeffa\nb\n", "a\n", "", "\ufeffb\n"),
    "a byte order mark is taken away where that is said": ("\ufeff{}\n", "\ufeff{}\n", "{}\n", "{}\n"),
    "a line of mixed ends keeps its own": ("a\r\nb\nc\r\n", "a", "x", "x\r\nb\nc\r\n"),
    "dots spread an object": ("f({\n  b,\n});\n", "  b,\n", "  ...rest,\n", "f({\n  ...rest,\n});\n"),
    "dots are a stub's body": (
        "class P:\n    x: int\n",
        "    x: int\n",
        "    x: int\n\n    def f(self) -> int:\n        ...\n",
        "class P:\n    x: int\n\n    def f(self) -> int:\n        ...\n",
    ),
    "letters of one alphabet": ("a = 'x'\n", "a = 'x'\n", "a = 'мир Δt'\n", "a = 'мир Δt'\n"),
    # moved as a whole
    "too little indentation": (
        CODE,
        "for item in items:\n    amount += item.price\n",
        "for item in items:\n    if item:\n        amount += item.price\n",
        CODE.replace(LOOP, "        for item in items:\n            if item:\n                amount += item.price\n"),
    ),
    "too much indentation": (
        "if a:\n    b()\n",
        "        if a:\n            b()\n",
        "        if a:\n            c()\n",
        "if a:\n    c()\n",
    ),
    "blank lines inside do not count": (
        "class A:\n    x = 1\n\n    y = 2\n",
        "x = 1\n\ny = 2\n",
        "x = 1\n\ny = 3\n",
        "class A:\n    x = 1\n\n    y = 3\n",
    ),
    # dots
    "dots keep what is between": (
        CODE,
        "    def total(self, items):\n...\n        for item in items:\n            amount += item.price\n",
        "    def total(self, items, rate):\n...\n        for item in items:\n            amount += item.price * rate\n",
        CODE.replace("total(self, items)", "total(self, items, rate)").replace("item.price", "item.price * rate"),
    ),
    "an Ellipsis in the code is code": (
        "def f():\n    ...\n",
        "    ...\n",
        "    return 1\n",
        "def f():\n    return 1\n",
    ),
    # refused
    "empty old, file exists": (CODE, "", "x\n", NO),
    "blank old": (CODE, "\n\n", "x\n", NO),
    "not there": (CODE, "import json\n", "import os\n", NO),
    "there twice": (CODE, "        return amount\n", "        return 0\n", NO),
    "there twice, once as the last line that has no end": ("b\na\nb", "b\n", "c\n", NO),
    "twice as part of longer lines": ("total\ntotal + 1\n", "total", "sum", NO),
    "inside a word": ("max = 10\n", "x = 10", "x = 11", NO),
    "ends inside a word": ("timeout = 50\n", "timeout = 5", "timeout = 6", NO),
    "no change": (CODE, "import os\n", "import os\n", NO),
    "uneven indentation": (CODE, "for item in items:\n  amount += item.price\n", "pass\n", NO),
    "moved, fits twice": ("if a:\n    b()\nif a:\n    b()\n", "  if a:\n      b()\n", "  pass\n", NO),
    "moved, new lines too far left": ("if a:\n    b()\n", "    if a:\n        b()\n", "if a:\n    c()\n", NO),
    "spaces for tabs": ("if x:\n\ty = 1\n\tz = 2\n", "    y = 1\n    z = 2\n", "    y = 2\n", NO),
    "other white space at the end": ("a = 1  \nb\nc\n", "a = 1\nb\n", "a = 2\nb\n", NO),
    "one stripped line, several new ones": (CODE, "amount += item.price", "if item:\n    amount += item.price", NO),
    "half the indentation in old and in new": (CODE, "    amount += item.price", "        amount += 2", NO),
    "a misspelt word": (CODE, "    def totl(self, items):\n", "    def total(self):\n", NO),
    "lines in another order": (CODE, "            amount += item.price\n        for item in items:\n", "pass\n", NO),
    "lines left out silently": (CODE, "    def total(self, items):\n        return amount\n", "pass\n", NO),
    "lazy comment": (CODE, "import os\n", "import sys\n# ... rest of the code ...\n", NO),
    "lazy comment in another language": ("a();\nb();\n", "a();\n", "a(1);\n// ... existing code\n", NO),
    "lazy dots alone": (
        CODE,
        "        amount = 0\n        for item in items:\n            amount += 1\n",
        "        ...\n",
        NO,
    ),
    "lazy dots in a comment": (CODE, LOOP, "        amount = 1\n        # ...\n", NO),
    "lazy dots in brackets": (CODE, LOOP, "[...]\n", NO),
    "a comment without dots that stands for code": (CODE, LOOP, "        # rest of the loop unchanged\n", NO),
    "the same in another language": ("a();\nb();\n", "a();\nb();\n", "a(1);\n/* existing code here */\n", NO),
    "a new file in a fence": (None, "", "```python\nx = 1\n```\n", NO),
    "a new file with diff signs": (None, "", "+x = 1\n+y = 2\n", NO),
    "letters that look alike": ("price = 1\n", "price = 1\n", "pri\u0441e = 2\n", NO),
    "a moved text of several lines": (
        "def f():\n    a = 1\n    b = 2\n",
        "a = 1\nb = 2\n",
        'a = """\ntext\n"""\nb = 2\n',
        NO,
    ),
    "dots around a part of a line": ("cab\nx\nd\n", "ab\n...\nd\n", "b\n...\ne\n", NO),
    "moved, a hundred places": ("  x\n" * 99 + "    x\n", "      x\n", "      y\n", NO),
    "longer than it may be": ("x\n" * 31_000, "x\n" * 31_000, "y\n", NO),
    "lazy dots": (CODE, "import os\n", "import sys\n... (unchanged)\n", NO),
    "dots only in old": (CODE, "class Cart:\n...\n        return amount\n", "class Cart:\n    pass\n", NO),
    "dots around what is not unique": (
        CODE,
        "class Cart:\n...\n        return amount\n",
        "class C:\n...\n        x\n",
        NO,
    ),
    "dots in the wrong order": (
        CODE,
        "def load(code):\n...\nclass Cart:\n",
        "def load(c):\n...\nclass Basket:\n",
        NO,
    ),
    "text put beside dots": (CODE, "class Cart:\n...\n", "class Cart:\n...\n    x = 1\n", NO),
    "a redacted place": ("key = 'abc'\n", "key = '[redacted:key:0a1b2c]'\n", "key = ''\n", NO),
    "a mark put into the file": (CODE, "import os\n", "KEY = '[redacted:key:0a1b2c]'\n", NO),
    "line numbers": (CODE, "1: import os\n", "1: import sys\n", NO),
    "diff signs": (CODE, "-import os\n", "+import sys\n", NO),
    "a new file's text where no file is": (None, "import os\n", "import sys\n", NO),
    "new line end in the middle of a line": ("f(a)\n", "f(", "g(\n", NO),
    "more than the file": ("a\n", "a\nb\n", "c\n", NO),
    "mixed line ends": ("a\r\nb\nc\r\n", "a\nb\n", "x\ny\n", NO),
}


@pytest.mark.parametrize("name", CASES)
def test_one_edit(name):
    text, old, new, expected = CASES[name]
    edit = Edit(old=old, new=new)
    if expected is NO:
        with pytest.raises(Refused) as caught:
            apply_edits("shop/cart.py", text, [edit])
        assert str(caught.value).startswith("shop/cart.py: ")
        return
    assert apply_edits("shop/cart.py", text, [edit]) == expected
    raw = None if text is None else text.encode()
    patch = build_patch({"cart.py": raw}, {"cart.py": [edit]})
    assert apply_hunks(read_patch(patch)[0], raw or b"") == expected.encode()


def test_several_edits_are_all_read_against_the_file_as_it_is():
    edits = [Edit(old="a\n", new="b\n"), Edit(old="b\n", new="a\n")]
    assert apply_edits("x", "a\nb\n", edits) == "b\na\n"


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(old="a\nb\n", new="x\n"), Edit(old="b\nc\n", new="y\n")],
        [Edit(old="a\n", new="x\n"), Edit(old="a\n", new="y\n")],
    ],
)
def test_edits_of_the_same_lines_are_refused(edits):
    with pytest.raises(Refused, match="same lines"):
        apply_edits("x", "a\nb\nc\n", edits)


def test_the_nearest_line_is_named():
    with pytest.raises(Refused, match=r"amount \+= item.price"):
        apply_edits("x", CODE, [Edit(old="            amount += item.prize\n", new="")])


LINES = 512 * 1024 // 2
WIDE = PatchLimits(bytes=2**20, lines=10**6)
OLD = 60_000
TWINS = [f"row {number % 150}\n" for number in range(50_000)]
HEAVY = {
    "one letter": ("a" * 2 * LINES, "a" * (OLD // 2), "b"),
    "one line, with another indentation": ("a\n" * LINES, " a\n" * (OLD // 3 - 2) + "  a\n", "b\n"),
    "one line, and another at the end": ("a\n" * LINES, " a\n" * (OLD // 3 - 2) + "b\n", "b\n"),
    "dots": ("a\n" * LINES, "...\na\n" * (OLD // 6), "...\nb\n" * (OLD // 6)),
    "white space": ("a\n", "a\n", " " * OLD + "b\n"),
    "a line that is like all others": (
        "".join(f"{number:0120b}\n".replace("0", "ab") for number in range(2000)),
        f"{1 << 100:0120b}\n".replace("0", "ab"),
        "x\n",
    ),
}


@pytest.mark.parametrize("name", HEAVY)
def test_no_edit_takes_long(name):
    """What grows with the square takes minutes here; nothing else of the worker moves meanwhile."""
    text, old, new = HEAVY[name]
    began = time.process_time()
    with contextlib.suppress(Refused):
        apply_edits("x.js", text, [Edit(old=old, new=new)])
    assert time.process_time() - began < 2


@pytest.mark.parametrize("places", [(), (0,), (25_000,), (0, 49_999), (2, 4, 49_990)])
def test_a_diff_of_a_large_file_is_right_and_takes_not_long(places):
    after = [f"new {line}" if number in places else line for number, line in enumerate(TWINS)]
    before, made = "".join(TWINS).encode(), "".join(after).encode()
    began = time.process_time()
    diff = diff_file("x.csv", before, made)
    assert time.process_time() - began < 2
    assert not places or apply_hunks(read_patch(parse_patch(diff, limits=WIDE))[0], before) == made
    assert (
        len(places) != 1
        or diff.count(b"\n") == 3 + 1 + sum(0 <= n < 50_000 for n in range(places[0] - 3, places[0] + 4)) + 1
    )


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/config", "a\nb", "", "-rf", "a/../b", "C:\\x"])
def test_a_patch_never_leaves_the_repository(path):
    with pytest.raises(Refused):
        build_patch({path: None}, {path: [Edit(old="", new="x\n")]})


@pytest.mark.parametrize("new", ["a\u202eb\n", "a\u200bb\n", "\x1b[31m\n", "a\x00\n"])
def test_hidden_characters_are_refused(new):
    with pytest.raises(Refused):
        build_patch({"x": b"a\n"}, {"x": [Edit(old="a\n", new=new)]})


def test_what_is_no_text_is_refused():
    with pytest.raises(Refused, match="UTF-8"):
        build_patch({"x": b"\xff\n"}, {"x": [Edit(old="a\n", new="b\n")]})


def test_two_files_make_one_patch_in_order():
    edits = {"b.py": [Edit(old="1\n", new="2\n")], "a.py": [Edit(old="", new="new\n")]}
    patch = build_patch({"a.py": None, "b.py": b"1\n"}, edits)
    assert [change.path for change in patch.files] == ["a.py", "b.py"]
