"""Files of many kinds, one right edit of each, and the ways in which models write such an edit wrongly.

Models know four ways of writing edits (text to search and replace, unified diffs, blocks with markers, whole files),
and mix them. Each mistake says whether the file can still come out right, or what the refusal has to say.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from bot.agent.edits import Edit


@dataclass(frozen=True, kw_only=True)
class Base:
    """A file, and an edit that is right: `old` stands in it once."""

    path: str
    text: str
    old: str
    new: str

    @property
    def right(self):
        assert self.text.count(self.old) == 1
        return self.text.replace(self.old, self.new)


BASES = [
    Base(
        path="shop/cart.py",
        text='"""Prices."""\n\n\nclass Cart:\n    def total(self, items):\n        amount = 0\n'
        "        for item in items:\n            amount -= item.price\n        return amount\n\n"
        "    def names(self, items):\n        return 'x'\n",
        old="        for item in items:\n            amount -= item.price\n",
        new="        for item in items:\n            amount += item.price\n",
    ),
    Base(
        path="web/rate.ts",
        text='export function rate(code: string): number {\n  const row = table["base"];\n'
        '  const kind = "none";\n  return row.percent;\n}\n\nexport const LIMIT = 5;\n',
        old='  const row = table["base"];\n  const kind = "none";\n',
        new='  const row = table[code] ?? table["base"];\n  const kind = "given";\n',
    ),
    Base(
        path="cmd/serve.go",
        text='package main\n\nfunc serve(addr string) error {\n\tif addr == "" {\n\t\treturn errEmpty\n\t}\n'
        "\tgo listen('a')\n\treturn nil\n}\n",
        old='\tif addr == "" {\n\t\treturn errEmpty\n\t}\n',
        new='\tif addr == "" {\n\t\taddr = ":8080"\n\t}\n',
    ),
    Base(
        path="deploy/app.yaml",
        text="service:\n  name: shop\n  limits:\n    memory: '64Mi'\n    cpu: '1'\n  env:\n    - name: A-B\n"
        "      value: x\n",
        old="  limits:\n    memory: '64Mi'\n",
        new="  limits:\n    memory: '256Mi'\n",
    ),
    Base(
        path="src/Pool.cs",
        text='class Pool\r\n{\r\n    int size = 1;\r\n    string name = "pool";\r\n    void Take()\r\n'
        "    {\r\n    }\r\n}\r\n",
        old='    int size = 1;\r\n    string name = "pool";\r\n',
        new='    int size = 16;\r\n    string name = "pool";\r\n',
    ),
    Base(
        path="conf/cache.json",
        text='{\n  "cache": {\n    "host": "redis",\n    "port": 6380\n  }\n}',
        old='    "host": "redis",\n    "port": 6380\n',
        new='    "host": "redis",\n    "port": 6379\n',
    ),
    Base(
        path="lib/gruss.rb",
        text="module Gruss\n  # Größe – nach Maß\n  def self.satz(größe)\n    \"Maß: '#{größe}'\"\n    größe - 1\n"
        "  end\nend\n",
        old="    \"Maß: '#{größe}'\"\n    größe - 1\n",
        new="    \"Maß: '#{größe}'\"\n    größe + 1\n",
    ),
    Base(
        path="Makefile",
        text="all: build\n\nbuild:\n\tcc -O0 -o app 'app.c'\n\tstrip \"app\"\n\nclean:\n\trm -f app\n",
        old="\tcc -O0 -o app 'app.c'\n\tstrip \"app\"\n",
        new="\tcc -O2 -o app 'app.c'\n\tstrip \"app\"\n",
    ),
    Base(
        path="db/002.sql",
        text="CREATE TABLE orders (\n    id bigint,\n    note text DEFAULT 'a-b'\n);\n\n"
        "CREATE INDEX by_note ON orders (note);",
        old="    id bigint,\n    note text DEFAULT 'a-b'\n",
        new="    id bigint PRIMARY KEY,\n    note text DEFAULT 'a-b'\n",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """`make` writes the edit wrongly; `says` is what the refusal says, None where the file has to come out
    right. Where it `may_fit`, some files come out right."""

    make: Callable[[Base], Edit | list[Edit]]
    says: str | None = None
    spoil: Callable[[Base], str] | None = None
    for_all: bool = True
    may_fit: bool = False


def _each(text, change):
    """Change every line that is not blank; the line ends stay."""
    ends = text.splitlines(keepends=True)
    return "".join(change(number, line) if line.strip() else line for number, line in enumerate(ends))


def _lines(change, *, also_new=True):
    return lambda base: Edit(old=_each(base.old, change), new=_each(base.new, change) if also_new else base.new)


def _old(change):
    return lambda base: Edit(old=change(base.old), new=base.new)


def _new(change):
    return lambda base: Edit(old=base.old, new=change(base.new))


def _both(change):
    return lambda base: Edit(old=change(base.old), new=change(base.new))


def _dedent(text):
    margin = min(len(line) - len(line.lstrip(" \t")) for line in text.splitlines() if line.strip())
    return _each(text, lambda _, line: line[margin:])


def _first(text):
    return text.splitlines(keepends=True)[0]


def _swap_lines(text):
    return "".join(reversed(text.splitlines(keepends=True)))


def _misspell(text):
    """Change a letter in the first long word."""
    return re.sub(r"\w{3,}", lambda word: word[0][:-1] + "q" + word[0][-1], text, count=1)


def _repeat(base, times):
    return ("\r\n" if "\r\n" in base.text else "\n").join([base.text] * times)


def _overlapping(base):
    return [Edit(old=base.old, new=base.new), Edit(old=_first(base.old), new=_first(base.new) + "\n")]


def _with_next_line(base):
    """Copy the lines that follow into `new`, but not into `old`."""
    after = base.text[base.text.index(base.old) + len(base.old) :]
    return Edit(old=base.old, new=base.new + after)


def _with_lines_before(base):
    before = base.text[: base.text.index(base.old)]
    return Edit(old=base.old, new=before + base.new)


def _diff(text, sign):
    return _each(text, lambda _, line: sign + line)


def _fence(text):
    return f"```\n{text.rstrip()}\n```\n"


ABSENT = "`old`"
SAME_LETTERS = "other characters than the file"
MISTAKES = {
    # no mistake: what every way of writing it has to come to
    "as it should be": Mistake(make=_old(str)),
    "no line end": Mistake(make=_both(lambda text: text.removesuffix("\n").removesuffix("\r"))),
    "no line end on old": Mistake(make=_old(lambda text: text.removesuffix("\n").removesuffix("\r"))),
    "no line end on new": Mistake(make=_new(lambda text: text.removesuffix("\n").removesuffix("\r"))),
    "LF only": Mistake(make=_both(lambda text: text.replace("\r\n", "\n"))),
    "CRLF only": Mistake(make=_both(lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"))),
    "CRLF in old": Mistake(make=_old(lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"))),
    "CRLF in new": Mistake(make=_new(lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"))),
    # search and replace
    "moved to the left": Mistake(make=_both(_dedent)),
    "moved to the right": Mistake(make=_lines(lambda _, line: "    " + line)),
    "moved by a tab": Mistake(make=_lines(lambda _, line: "\t" + line)),
    "only the second line moved": Mistake(make=_lines(lambda number, line: " " * number + line), says=ABSENT),
    "old moved, new not": Mistake(
        make=lambda base: Edit(old=base.old, new=_dedent(base.new)), says="other indentation", for_all=False
    ),
    "white space at line ends": Mistake(
        make=_old(lambda text: _each(text, lambda _, line: line.rstrip() + "  \n")), says=ABSENT
    ),
    "a blank line between": Mistake(make=_old(lambda text: text.replace("\n", "\n\n", 1)), says=ABSENT),
    "a misspelt word": Mistake(make=_old(_misspell), says="the nearest line is|read the file again"),
    "another case": Mistake(make=_old(str.swapcase), says=ABSENT),
    "stale lines": Mistake(make=_old(str), says=ABSENT, spoil=lambda base: base.text.replace(base.old, base.new)),
    "lines swapped": Mistake(make=_old(_swap_lines), says=ABSENT),
    "a line left out at the file's side": Mistake(
        make=_old(str), says=ABSENT, spoil=lambda base: base.text.replace(_first(base.old), "")
    ),
    "there twice": Mistake(make=_old(str), says="2 times", spoil=lambda base: _repeat(base, 2)),
    "there three times": Mistake(make=_old(str), says="3 times", spoil=lambda base: _repeat(base, 3)),
    "empty old": Mistake(make=_old(lambda _: ""), says="is empty, but the file exists"),
    "blank old": Mistake(make=_old(lambda _: " \n\n"), says="has no text"),
    "same old and new": Mistake(make=lambda base: Edit(old=base.old, new=base.old), says="change nothing"),
    "cut inside a word": Mistake(
        make=_both(lambda text: text.strip()[1:]), says="inside a word|whole line|`old`", may_fit=True
    ),
    "line ends written out": Mistake(make=_old(lambda text: text.replace("\n", "\\n")), says=ABSENT),
    "overlapping edits": Mistake(make=_overlapping, says="same lines"),
    "the same edit twice": Mistake(make=lambda base: [Edit(old=base.old, new=base.new)] * 2, says="same lines"),
    "an edit of the edited text": Mistake(
        make=lambda base: [Edit(old=base.old, new=base.new), Edit(old=base.new, new=base.new + "x\n")], says=ABSENT
    ),
    "the lines before repeated": Mistake(make=_with_lines_before, says="right before the place|right after the place"),
    # look-alikes
    "typographic quotes": Mistake(
        make=_old(lambda text: text.replace("'", "\u2019").replace('"', "\u201d")), says=SAME_LETTERS, for_all=False
    ),
    "no-break spaces": Mistake(
        make=_old(lambda text: _each(text, lambda _, line: re.sub(r"(?<=\S) (?=\S)", "\u00a0", line))),
        says=SAME_LETTERS,
        for_all=False,
    ),
    "long dashes": Mistake(make=_old(lambda text: text.replace("-", "\u2013")), says=SAME_LETTERS, for_all=False),
    "a letter of another alphabet": Mistake(
        make=_old(lambda text: text.replace("e", "е").replace("o", "о")), says=SAME_LETTERS, for_all=False
    ),
    "accents taken apart": Mistake(
        make=_old(lambda text: unicodedata.normalize("NFD", text)), says=SAME_LETTERS, for_all=False
    ),
    "wide letters": Mistake(
        make=_old(lambda text: re.sub("[a-z]", lambda c: chr(ord(c[0]) + 0xFEE0), text)), says=SAME_LETTERS
    ),
    "a zero width space": Mistake(
        make=_old(lambda text: text.replace(" ", " \u200b")), says=SAME_LETTERS, for_all=False
    ),
    "look-alike letters in new": Mistake(
        make=_new(lambda text: re.sub(r"e(?=[a-z])", "е", text)), says="looks like a Latin letter", for_all=False
    ),
    # unified diffs
    "diff signs": Mistake(
        make=lambda base: Edit(old=_diff(base.old, "-"), new=_diff(base.new, "+")), says="diff signs"
    ),
    "diff signs on new": Mistake(make=_new(lambda text: _diff(text, "+")), says="diff signs"),
    "diff signs on old": Mistake(make=_old(lambda text: _diff(text, "-")), says="diff signs"),
    "context signs": Mistake(make=_both(lambda text: _diff(text, " "))),
    "a hunk's head in old": Mistake(make=_old(lambda text: f"@@ -1,2 +1,2 @@\n{text}"), says="another edit format"),
    "a hunk's head in new": Mistake(make=_new(lambda text: f"@@ -1,2 +1,2 @@\n{text}"), says="another edit format"),
    "no newline said": Mistake(make=_new(lambda text: f"{text}\\ No newline at end of file\n"), says="another edit"),
    # blocks with markers
    "markers in old": Mistake(make=_old(lambda text: f"<<<<<<< SEARCH\n{text}=======\n"), says="another edit format"),
    "markers in new": Mistake(make=_new(lambda text: f"{text}>>>>>>> REPLACE\n"), says="another edit format"),
    "a dividing line in new": Mistake(make=_new(lambda text: f"=======\n{text}"), says="another edit format"),
    "a patch's frame": Mistake(
        make=_new(lambda text: f"*** Begin Patch\n{text}*** End Patch\n"), says="another edit format"
    ),
    "tags": Mistake(make=_both(lambda text: f"<old_str>\n{text}</old_str>\n"), says="another edit format"),
    # whole files
    "a code fence around both": Mistake(make=_both(_fence), says="code fence"),
    "a code fence around old": Mistake(make=_old(_fence), says="code fence"),
    "a code fence around new": Mistake(make=_new(_fence), says="code fence"),
    "the rest left out": Mistake(make=_new(lambda text: f"{text}# ... rest of the file ...\n"), says="leaves code out"),
    "the rest left out, in slashes": Mistake(
        make=_new(lambda text: f"// ... existing code ...\n{text}"), says="leaves code out"
    ),
    "the rest left out, dots alone": Mistake(make=_new(lambda text: f"{_first(text)}...\n"), says="leaves code out"),
    "the rest left out, dots in a comment": Mistake(
        make=_new(lambda text: f"{_first(text)}  /* ... */\n"), says="leaves code out"
    ),
    "the rest left out, in words": Mistake(
        make=_new(lambda text: f"{_first(text)}  # the rest stays the same\n"), says="leaves code out"
    ),
    "line numbers in both": Mistake(make=_lines(lambda number, line: f"{number + 7}: {line}"), says="line numbers"),
    "line numbers in new": Mistake(
        make=_new(lambda text: _each(text, lambda number, line: f"{number + 7}: {line}")), says="line numbers"
    ),
    "line numbers with an arrow": Mistake(
        make=_new(lambda text: _each(text, lambda number, line: f"{number + 9:>6}→{line}")), says="line numbers"
    ),
    "line numbers with a bar": Mistake(
        make=_old(lambda text: _each(text, lambda number, line: f"{number + 7} | {line}")), says="line numbers"
    ),
    "the whole file as old": Mistake(
        make=lambda base: Edit(old=base.text, new=base.right),
    ),
    "the file twice": Mistake(make=_with_next_line, says="right after the place"),
    "a secret's mark": Mistake(make=_new(lambda text: f"{text}key = '[redacted:key:0a1b2c]'\n"), says="redacted"),
}
