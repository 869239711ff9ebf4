"""What a patch looks like in its one canonical form, and what applying it does."""

import pytest

from bot.domain.draft import ChangeKind
from bot.domain.patches.patch import PatchLimits, apply_hunks, parse_patch, read_patch
from bot.errors import Reason, Refused

GIT_DIFF = b"""diff --git a/src/app.py b/src/app.py
index 0123456789..abcdef0123 100644
--- a/src/app.py
+++ b/src/app.py
@@ -1,3 +1,3 @@ def total(items):
 import os
-x = 1
+x = 2
 y = 3
"""
CANONICAL = b"""diff --git a/src/app.py b/src/app.py
--- a/src/app.py
+++ b/src/app.py
@@ -1,3 +1,3 @@
 import os
-x = 1
+x = 2
 y = 3
"""


def one(path: bytes, body: bytes = b"@@ -1 +1 @@\n-a\n+b\n") -> bytes:
    return b"diff --git a/%b b/%b\n--- a/%b\n+++ b/%b\n%b" % (path, path, path, path, body)


def test_index_lines_and_section_texts_are_left_out():
    patch = parse_patch(GIT_DIFF)
    assert patch.text == CANONICAL
    assert (patch.added, patch.removed) == (1, 1)
    assert [(c.path, c.kind, c.old_path, c.mode) for c in patch.files] == [("src/app.py", ChangeKind.MODIFIED, "", "")]


@pytest.mark.parametrize(
    "raw",
    [
        CANONICAL,
        CANONICAL.split(b"\n", 1)[1],
        CANONICAL.split(b"\n", 1)[1].replace(b"a/src", b"src").replace(b"b/src", b"src"),
        CANONICAL.split(b"\n", 1)[1].replace(b"app.py\n", b"app.py\t2026-01-01 00:00:00.000000000 +0000\n"),
        CANONICAL.removesuffix(b"\n"),
        CANONICAL + b"\n\n",
        GIT_DIFF.replace(b"a/src/app.py b/src/app.py", b'"a/src/app.py" "b/src/app.py"'),
        GIT_DIFF.replace(b"--- a/src/app.py", b'--- "a/src/\\141pp.py"'),
    ],
    ids=["canonical", "plain", "no prefix", "with times", "no last line end", "blank end", "quoted", "octal"],
)
def test_every_spelling_of_a_change_has_the_same_digest(raw):
    assert parse_patch(raw).digest == parse_patch(GIT_DIFF).digest


def test_files_are_sorted_by_name():
    patch = parse_patch(one(b"b.py") + one(b"a.py") + one("ä.py".encode()))
    assert [change.path for change in patch.files] == ["a.py", "b.py", "ä.py"]
    assert parse_patch(patch.text).text == patch.text


def test_an_empty_context_line_that_lost_its_space_gets_it_back():
    patch = parse_patch(one(b"a", b"@@ -1,3 +1,4 @@\n x\n\n+new\n\n"))
    assert patch.text.endswith(b"@@ -1,3 +1,4 @@\n x\n \n+new\n \n")


def test_added_deleted_renamed_and_mode_changes_are_named():
    raw = (
        b"diff --git a/new.sh b/new.sh\nnew file mode 100755\nindex 0000000..1234567\n--- /dev/null\n+++ b/new.sh\n"
        b"@@ -0,0 +1,2 @@\n+one\n+two\n"
        b"diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        b"diff --git a/old name b/new name\nsimilarity index 90%\nrename from old name\nrename to new name\n"
        b"--- a/old name\t\n+++ b/new name\t\n@@ -1 +1 @@\n-a\n+b\n"
        b"diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"
        b"diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
    )
    patch = parse_patch(raw)
    assert [(c.path, c.kind.value, c.old_path, c.mode, c.added, c.removed) for c in patch.files] == [
        ("empty", "added", "", "", 0, 0),
        ("gone", "deleted", "", "", 0, 1),
        ("new name", "renamed", "old name", "", 1, 1),
        ("new.sh", "added", "", "", 2, 0),
        ("run", "modified", "", "644→755", 0, 0),
    ]
    assert parse_patch(patch.text) == patch


def test_plain_diffs_add_and_delete_files():
    patch = parse_patch(
        b"--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n"
    )
    assert [(c.path, c.kind) for c in patch.files] == [
        ("new.py", ChangeKind.ADDED),
        ("old.py", ChangeKind.DELETED),
    ]
    assert b"new file mode 100644\n" in patch.text


def test_a_missing_last_line_end_is_kept():
    raw = one(b"a", b"@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n")
    patch = parse_patch(raw)
    assert patch.text == raw
    assert apply_hunks(read_patch(patch)[0], b"a") == b"b"


def test_carriage_returns_at_line_ends_are_content():
    raw = one(b"a", b"@@ -1 +1 @@\n-a\r\n+b\r\n")
    patch = parse_patch(raw)
    assert patch.text == raw
    assert apply_hunks(read_patch(patch)[0], b"a\r\nc\r\n") == b"b\r\nc\r\n"


@pytest.mark.parametrize("path", [b".github/workflows/ci.yml", b".gitlab-ci.yml", b".gitignore", b"a/.gitkeep"])
def test_files_that_only_sound_like_gits_own_are_allowed(path):
    assert parse_patch(one(path)).files[0].path == path.decode()


@pytest.mark.parametrize("text", ["tab\there", "Grüße, 世界", "⚠️ careful", "עברית", "ﷺ", "e\u0301"])
def test_text_of_every_language_is_allowed(text):
    patch = parse_patch(one(b"a", b"@@ -1 +1 @@\n-a\n+" + text.encode() + b"\n"))
    assert text.encode() in patch.text


def test_a_hidden_character_passes_where_the_file_already_has_it():
    raw = one(b"a", "@@ -1 +1 @@\n-a\n+b\u200dc\u200dd\n".encode())
    asked = []

    def has_already(path: str, character: str) -> bool:
        asked.append((path, character))
        return True

    assert parse_patch(raw, allowed_existing=has_already).text == raw
    assert asked == [("a", "\u200d")]
    with pytest.raises(Refused):
        parse_patch(raw, allowed_existing=lambda path, character: False)


def test_an_added_line_may_hold_what_the_patch_shows_the_file_to_hold_already():
    joined = "\u200d".encode()
    raw = one(b"a", b"@@ -1,2 +1,2 @@\n k\n-a" + joined + b"b\n+a" + joined + b"c\n")
    assert parse_patch(raw).text == raw
    with pytest.raises(Refused, match=r"U\+202E"):
        parse_patch(one(b"a", b"@@ -1,2 +1,2 @@\n k\n-a" + joined + b"b\n+a" + "\u202e".encode() + b"c\n"))
    elsewhere = one(b"b", b"@@ -1 +1 @@\n-x\n+" + joined + b"y\n")
    with pytest.raises(Refused, match="added to b holds"):
        parse_patch(raw + elsewhere)


def test_removed_and_context_lines_may_hold_anything_the_file_has():
    raw = one(b"a", b"@@ -1,2 +1,2 @@\n \xff\x1b[0m\n-\xe2\x80\xae\n+b\n")
    assert parse_patch(raw).text == raw


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (PatchLimits(bytes=50), "at most 50"),
        (PatchLimits(files=1), "changes 2 files"),
        (PatchLimits(lines=3), "changes 4 lines"),
    ],
)
def test_size_limits_are_said_in_numbers(limits, words):
    with pytest.raises(Refused, match=words) as caught:
        parse_patch(one(b"a") + one(b"b"), limits)
    assert caught.value.reason is Reason.HOSTILE_PATCH


@pytest.mark.parametrize(
    ("old", "why"),
    [
        (b"zero\nimport os\nx = 1\ny = 3\n", "other text at line 1"),
        (b"import os\nx = 9\ny = 3\n", "other text at line 1"),
        (b"import os\n", "other text at line 1"),
        (b"", "other text at line 1"),
        (b"import os\nx = 1\ny = 3", "other text at line 1"),
    ],
    ids=["shifted", "changed", "shorter", "empty", "no line end"],
)
def test_hunks_apply_at_their_own_lines_or_not_at_all(old, why):
    (diff,) = read_patch(parse_patch(GIT_DIFF))
    with pytest.raises(Refused, match=why):
        apply_hunks(diff, old)


def test_hunks_apply_in_order():
    (diff,) = read_patch(parse_patch(one(b"a", b"@@ -1,2 +1,3 @@\n+0\n 1\n 2\n@@ -4,2 +5,1 @@\n-4\n 5\n")))
    assert apply_hunks(diff, b"1\n2\n3\n4\n5\n") == b"0\n1\n2\n3\n5\n"
