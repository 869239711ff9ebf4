"""Diffs that would let something through which a reader does not see: every one is refused, in words."""

import pytest

from bot.domain.patches.patch import parse_patch
from bot.errors import Reason, Refused

HUNK = b"@@ -1 +1 @@\n-a\n+b\n"
ADDED = b"@@ -0,0 +1 @@\n+b\n"


def git(old: bytes, new: bytes | None = None, *, extra: bytes = b"", hunk: bytes = HUNK) -> bytes:
    new = old if new is None else new
    return b"diff --git a/%b b/%b\n%b--- a/%b\n+++ b/%b\n%b" % (old, new, extra, old, new, hunk)


def plain(old: bytes, new: bytes, hunk: bytes = HUNK) -> bytes:
    return b"--- %b\n+++ %b\n%b" % (old, new, hunk)


def new_file(mode: bytes, path: bytes = b"x") -> bytes:
    return b"diff --git a/%b b/%b\nnew file mode %b\n--- /dev/null\n+++ b/%b\n%b" % (path, path, mode, path, ADDED)


def adding(text: bytes) -> bytes:
    return git(b"x", hunk=b"@@ -1 +1 @@\n-a\n+%b\n" % text)


NAMES = {
    "absolute": (b"/etc/passwd", "is absolute"),
    "drive": (b"C:/x", "is absolute"),
    "up": (b"../x", "leaves the repository"),
    "up inside": (b"a/../../x", "leaves the repository"),
    "dot": (b"./x", "leaves the repository"),
    "double slash": (b"a//x", "empty part"),
    "folder": (b"a/", "empty part"),
    "empty": (b"", "empty"),
    "git": (b".git/config", "belongs to git"),
    "git hooks below": (b"sub/.git/hooks/post-checkout", "belongs to git"),
    "git upper case": (b".GIT/config", "belongs to git"),
    "git mixed case": (b"a/.Git/x", "belongs to git"),
    "git wide letters": ("．git/config".encode(), "belongs to git"),
    "git short name": (b"git~1/config", "belongs to git"),
    "git short name upper": (b"GIT~2/config", "belongs to git"),
    "gitmodules short name": (b"gitmod~1", "belongs to git"),
    "gitmodules hashed short name": (b"gi7eba~1", "belongs to git"),
    "gitmodules": (b".gitmodules", "belongs to git"),
    "gitattributes": (b"a/.gitattributes", "belongs to git"),
    "git stream": (b".git::$INDEX_ALLOCATION/x", "belongs to git"),
    "github in capitals": (b".GitHub/workflows/x.yml", "belongs to git"),
    "git trailing space": (b".git /config", "ends with a space"),
    "git trailing dot": (b".git./config", "ends with a dot"),
    "trailing dot": (b"a./x", "ends with a dot"),
    "trailing space": (b"a /x", "ends with a space"),
    "leading space": (b"a/ x", "begins or ends with a space"),
    "backslash": (b"a\\b", "backslash"),
    "quotation mark": (b'a"b', "quotation mark"),
    "option": (b"-rf", "option"),
    "escape": (b"a\x1b[31m", "ANSI escape"),
    "carriage return": (b"a\rb", "control character"),
    "delete": (b"a\x7f", "control character"),
    "c1 control": ("a\u009bm".encode(), "control character"),
    "bidi": ("a\u202egpj.py".encode(), "bidirectional"),
    "bidi isolate": ("a\u2066b".encode(), "bidirectional"),
    "zero width": ("a\u200bb".encode(), "zero-width"),
    "zero width in git": (".g\u200cit/config".encode(), "zero-width"),
    "byte order mark": ("\ufeffa".encode(), "zero-width"),
    "soft hyphen": ("a\u00adb".encode(), "zero-width"),
    "tag": ("a\U000e0041b".encode(), "tag character"),
    "line separator": ("a\u2028b".encode(), "control character"),
    "odd space": ("a\u00a0b".encode(), "looks like another"),
    "not utf-8": (b"a\xff", "not UTF-8"),
    "overlong slash": (b"a\xc0\xafb", "not UTF-8"),
    "long": (b"a" * 300, "too long"),
}

LINES = {
    "bidi override": ("x = 'a\u202eb'".encode(), "bidirectional"),
    "bidi embedding": ("\u202bx".encode(), "bidirectional"),
    "bidi isolate": ("\u2067x\u2069".encode(), "bidirectional"),
    "arabic letter mark": ("\u061cx".encode(), "bidirectional"),
    "zero width space": ("ad\u200bmin".encode(), "zero-width"),
    "zero width joiner": ("ad\u200dmin".encode(), "zero-width"),
    "word joiner": ("ad\u2060min".encode(), "zero-width"),
    "byte order mark": ("\ufeffx".encode(), "zero-width"),
    "hangul filler": ("\u3164 = 1".encode(), "blank"),
    "tag": ("x\U000e0020\U000e0041".encode(), "tag character"),
    "variation selectors": ("x\U000e0101".encode(), "variation selector"),
    "emoji style after a letter": ("x\ufe0f".encode(), "zero-width"),
    "ansi colour": (b"x\x1b[8mhidden\x1b[0m", "ANSI escape"),
    "ansi erase": (b"evil()\x1b[2K\rok()", "ANSI escape"),
    "carriage return": (b"evil()\rok()", "control character"),
    "carriage return twice at the end": (b"ok()\r\r", "control character"),
    "backspace": (b"evil\x08\x08", "control character"),
    "form feed": (b"\x0c", "control character"),
    "bell": (b"\x07", "control character"),
    "c1 csi": ("\u009b31m".encode(), "control character"),
    "line separator": ("# note\u2028evil()".encode(), "control character"),
    "invisible format": ("x\ufff9y".encode(), "invisible format"),
    "not utf-8": (b"caf\xe9", "not UTF-8 text"),
}

MODES = {
    "symlink": (new_file(b"120000"), "a symbolic link"),
    "submodule": (new_file(b"160000"), "a submodule"),
    "group writable": (new_file(b"100664"), "mode 100664"),
    "setuid": (new_file(b"104755"), "mode 104755"),
    "world writable": (new_file(b"100777"), "mode 100777"),
    "folder": (new_file(b"040000"), "a folder"),
    "short mode": (new_file(b"644"), "mode 644"),
    "symlink edited": (git(b"x", extra=b"index 1234567..89abcde 120000\n"), "a symbolic link"),
    "symlink deleted": (
        b"diff --git a/x b/x\ndeleted file mode 120000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
        "a symbolic link",
    ),
    "file becomes symlink": (git(b"x", extra=b"old mode 100644\nnew mode 120000\n"), "a symbolic link"),
    "file becomes setuid": (git(b"x", extra=b"old mode 100644\nnew mode 104755\n"), "mode 104755"),
    "submodule moved": (git(b"x", extra=b"index 1234567..89abcde 160000\n"), "a submodule"),
    "mode without its pair": (git(b"x", extra=b"new mode 100755\n"), "mode lines disagree"),
    "same mode": (git(b"x", extra=b"old mode 100755\nnew mode 100755\n"), "changes nothing"),
    "mode twice": (git(b"x", extra=b"new mode 100755\nnew mode 100644\n"), "stands twice"),
    "new and mode": (
        b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\nnew file mode 100644\n--- /dev/null\n+++ b/x\n" + ADDED,
        "mode lines disagree",
    ),
}

SHAPES = {
    "empty": (b"", "empty"),
    "blank": (b"\n\n\n", "empty"),
    "prose": (b"I would fix it like this:\n" + git(b"x"), "belongs to no file"),
    "mail signature": (git(b"x") + b"-- \n2.39.5\n", "belongs to no file"),
    "text behind": (git(b"x") + b"That is all.\n", "belongs to no file"),
    "fence": (b"```diff\n" + git(b"x") + b"```\n", "belongs to no file"),
    "NUL in a line": (adding(b"a\x00b"), "NUL"),
    "NUL in a name": (git(b"a\x00b"), "NUL"),
    "NUL in a quoted name": (git(b"x").replace(b"a/x b/x", b'"a/x\\000" "b/x\\000"'), "disagree|NUL|control"),
    "newline in a quoted name": (plain(b'"a/x\\ny"', b'"b/x\\ny"'), "control character"),
    "escape in a quoted name": (plain(b'"a/x\\033y"', b'"b/x\\033y"'), "ANSI escape"),
    "up in a quoted name": (plain(b'"a/\\056\\056/y"', b'"b/\\056\\056/y"'), "leaves the repository"),
    "quoted name does not end": (plain(b'"a/x', b'"b/x'), "does not end"),
    "unknown escape": (plain(b'"a/\\x41"', b'"b/\\x41"'), "unknown escape"),
    "git line names another": (b"diff --git a/y b/y\n" + plain(b"a/x", b"b/x"), "disagree"),
    "git line names two": (git(b"x", b"y"), "disagree"),
    "new name differs": (b"diff --git a/x b/x\n" + plain(b"a/x", b"b/y"), "disagree"),
    "plain names differ": (plain(b"a/x", b"b/y"), "name different files"),
    "plain prefix twice": (plain(b"a/x", b"a/x"), "must begin with a/ and b/"),
    "no file": (plain(b"/dev/null", b"/dev/null"), "names no file"),
    "rename against names": (git(b"x", b"y", extra=b"rename from x\nrename to z\n"), "disagree"),
    "half a rename": (git(b"x", b"y", extra=b"rename from x\n"), "names only one file"),
    "rename to itself": (git(b"x", extra=b"rename from x\nrename to x\n"), "renamed to itself"),
    "rename out": (git(b"x", b"../y", extra=b"rename from x\nrename to ../y\n"), "leaves the repository"),
    "rename into git": (git(b"x", b".git/y", extra=b"rename from x\nrename to .git/y\n"), "belongs to git"),
    "rename and add": (
        git(b"x", b"y", extra=b"rename from x\nrename to y\nnew file mode 100644\n"),
        "renamed and added",
    ),
    "copy": (git(b"x", b"y", extra=b"copy from x\ncopy to y\n"), "copies a file"),
    "binary": (b"diff --git a/x b/x\nindex 1234567..89abcde\nGIT binary patch\nliteral 1\nIcmZ\n", "binary file"),
    "binary differs": (b"diff --git a/x b/x\nBinary files a/x and b/x differ\n", "binary file"),
    "combined": (b"diff --cc x\n--- a/x\n+++ b/x\n@@@ -1,1 -1,1 +1,1 @@@\n--a\n++b\n", "belongs to no file"),
    "too few lines": (git(b"x", hunk=b"@@ -1,2 +1,2 @@\n-a\n+b\n"), "fewer lines"),
    "too many lines": (git(b"x", hunk=b"@@ -1 +1 @@\n-a\n+b\n+c\n"), "more lines"),
    "too many context lines": (git(b"x", hunk=b"@@ -1 +1 @@\n-a\n+b\n c\n"), "more lines"),
    "too many removed lines": (git(b"x", hunk=b"@@ -1 +1 @@\n-a\n-c\n+b\n"), "other lines"),
    "removed behind the end": (git(b"x", hunk=HUNK + b"-c\n"), "belongs to no file"),
    "counts of the other side": (git(b"x", hunk=b"@@ -1,0 +1,2 @@\n-a\n+b\n"), "other lines"),
    "no hunk header": (git(b"x", hunk=b"@@ -1 +1 @ \n-a\n+b\n"), "no hunk header"),
    "huge line number": (git(b"x", hunk=b"@@ -99999999999 +1 @@\n-a\n+b\n"), "no hunk header"),
    "negative line number": (git(b"x", hunk=b"@@ --1 +1 @@\n-a\n+b\n"), "no hunk header"),
    "line zero": (git(b"x", hunk=b"@@ -0 +0 @@\n-a\n+b\n"), "out of order"),
    "hunk changes nothing": (git(b"x", hunk=b"@@ -1 +1 @@\n a\n"), "changes nothing"),
    "no hunk": (b"diff --git a/x b/x\n--- a/x\n+++ b/x\n", "changes nothing"),
    "no change": (b"diff --git a/x b/x\n", "changes nothing"),
    "overlap": (
        git(b"x", hunk=b"@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n@@ -3,2 +3,2 @@\n d\n-e\n+f\n"),
        "overlap",
    ),
    "unsorted": (git(b"x", hunk=b"@@ -9 +9 @@\n-a\n+b\n@@ -1 +1 @@\n-a\n+b\n"), "overlap or are out of order"),
    "new numbers lie": (git(b"x", hunk=b"@@ -1 +7 @@\n-a\n+b\n"), "do not add up"),
    "second hunk lies": (
        git(b"x", hunk=b"@@ -1 +1,2 @@\n-a\n+b\n+c\n@@ -9 +9 @@\n-a\n+b\n"),
        "do not add up",
    ),
    "lines joined": (
        git(b"x", hunk=b"@@ -1 +1,2 @@\n-a\n+b\n\\ No newline at end of file\n+c\n"),
        "before the end",
    ),
    "lines joined in an earlier hunk": (
        git(b"x", hunk=b"@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n@@ -9 +9 @@\n-a\n+b\n"),
        "before the end",
    ),
    "other backslash text": (git(b"x", hunk=HUNK + b"\\ evil hidden text\n"), "belongs to no file"),
    "same file twice": (git(b"x") + git(b"x"), "changes x twice"),
    "same file in capitals": (git(b"x") + git(b"X"), "twice"),
    "renamed and changed": (git(b"x", b"y", extra=b"rename from x\nrename to y\n") + git(b"x"), "changes x twice"),
    "second file without a git line": (git(b"x") + plain(b"a/y", b"b/y"), "second file inside another"),
    "git file behind a plain one": (plain(b"a/x", b"b/x") + git(b"y"), "second file inside another"),
    "second header in a file": (
        b"diff --git a/x b/x\n" + plain(b"a/x", b"b/x") + plain(b"a/../y", b"b/../y"),
        "second file inside another",
    ),
    "minus without plus": (b"--- a/x\n" + HUNK, "without"),
    "hunks without names": (b"diff --git a/x b/x\n" + HUNK, "without '---'"),
    "stray index": (git(b"x", extra=b"index 1234567..89abcde 100644 evil\n"), "stray text"),
    "stray similarity": (git(b"x", b"y", extra=b"similarity index evil\nrename from x\nrename to y\n"), "stray text"),
    "unknown header": (git(b"x", extra=b"evil header\n"), "changes nothing"),
    "new file with old text": (
        b"diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n" + HUNK,
        "another text",
    ),
    "new file by its old name": (git(b"x", extra=b"new file mode 100644\n", hunk=ADDED), "disagree"),
    "deleted but kept": (
        b"diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1,2 +1 @@\n-a\n b\n",
        "another text",
    ),
    "deleted and added": (
        b"diff --git a/x b/x\nnew file mode 100644\ndeleted file mode 100644\n--- /dev/null\n+++ b/x\n" + ADDED,
        "added and deleted|disagree",
    ),
    "text behind a rename": (
        git(b"x", b"y", extra=b'rename from "x" evil\nrename to y\n'),
        "text behind a file name",
    ),
    "carriage returns in headers": (git(b"x").replace(b"\n", b"\r\n"), "no hunk header"),
}


def check(raw: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        parse_patch(raw)
    assert caught.value.reason is Reason.HOSTILE_PATCH
    text = str(caught.value)
    assert text.startswith("This patch is refused: ")
    assert text.replace("…", "").replace("'", "").isprintable()
    assert "\n" not in text


def test_the_corpus_is_large():
    assert sum(map(len, (NAMES, LINES, MODES, SHAPES))) >= 120


@pytest.mark.parametrize(("path", "words"), NAMES.values(), ids=NAMES.keys())
def test_a_hostile_name_is_refused(path, words):
    check(git(path), f"{words}|disagree")
    check(plain(b"a/" + path, b"b/" + path), words)
    check(plain(b"/dev/null", b"b/" + path, ADDED), words)


@pytest.mark.parametrize(("line", "words"), LINES.values(), ids=LINES.keys())
def test_a_hidden_character_in_an_added_line_is_refused(line, words):
    check(adding(line), words)


@pytest.mark.parametrize(("raw", "words"), MODES.values(), ids=MODES.keys())
def test_any_kind_of_file_but_a_plain_one_is_refused(raw, words):
    check(raw, words)


@pytest.mark.parametrize(("raw", "words"), SHAPES.values(), ids=SHAPES.keys())
def test_a_diff_that_says_two_things_is_refused(raw, words):
    check(raw, words)
