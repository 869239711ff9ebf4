"""Binary files in a patch: one canonical form, exact bytes, and what people are told of them."""

import gzip
import hashlib
import zlib

import pytest

from bot.domain.draft import BinaryChange, ChangeKind
from bot.domain.patches.binary import render_binary
from bot.domain.patches.file import BinaryDiff
from bot.domain.patches.patch import PatchLimits, apply_hunks, parse_patch, read_patch
from bot.errors import Refused
from bot.render.excerpt import cut_excerpt
from bot.web.diff_view import view_patch
from tests.patches.hostile_binary import LOGO, NEW_LOGO, NONE, encode, half, oid, whole

LIMITS = PatchLimits(binary_paths=("assets/", "*.png"))


def packed(content: bytes, level: int) -> bytes:
    return b"literal %d\n%b\n" % (len(content), encode(zlib.compress(content, level)))


def test_how_the_bytes_were_packed_is_no_part_of_the_patch():
    patches = {
        parse_patch(whole(LOGO, NEW_LOGO, halves=packed(NEW_LOGO, level) + packed(LOGO, level)), LIMITS).text
        for level in range(10)
    }
    assert len(patches) == 1


def test_the_canonical_form_is_written_without_zlib_and_read_again():
    patch = parse_patch(whole(LOGO, NEW_LOGO), LIMITS)
    assert parse_patch(patch.text, LIMITS) == patch
    assert patch.text.startswith(
        b"diff --git a/assets/logo.png b/assets/logo.png\nindex %b..%b\nGIT binary patch\nliteral %d\n"
        % (oid(LOGO), oid(NEW_LOGO), len(NEW_LOGO))
    )


@pytest.mark.parametrize("size", [0, 1, 51, 52, 53, 65_534, 65_535, 65_536, 131_071, 150_000])
def test_every_size_is_written_and_read_as_it_is(size):
    content = b"\0" * size
    patch = parse_patch(whole(LOGO, content), LIMITS)
    (diff,) = read_patch(patch)
    assert apply_hunks(diff, LOGO) == content
    assert parse_patch(patch.text, LIMITS) == patch


def test_a_repository_of_sha256_names_its_files_by_sha256():
    ids = (oid(LOGO, hashlib.sha256), oid(NEW_LOGO, hashlib.sha256))
    patch = parse_patch(whole(LOGO, NEW_LOGO, ids=ids), LIMITS)
    assert b"index %b..%b\n" % ids in patch.text


def test_a_binary_file_applies_to_exactly_the_bytes_that_it_names():
    (diff,) = read_patch(parse_patch(whole(LOGO, NEW_LOGO), LIMITS))
    assert apply_hunks(diff, LOGO) == NEW_LOGO
    with pytest.raises(Refused, match="has other bytes than the patch expects"):
        apply_hunks(diff, LOGO + b"\0")


@pytest.mark.parametrize(
    ("old", "new", "kind", "seen"),
    [
        (LOGO, NEW_LOGO, ChangeKind.MODIFIED, NEW_LOGO),
        (None, NEW_LOGO, ChangeKind.ADDED, NEW_LOGO),
        (LOGO, None, ChangeKind.DELETED, LOGO),
    ],
)
def test_sizes_and_sha256_are_told(old, new, kind, seen):
    (change,) = parse_patch(whole(old, new), LIMITS).files
    assert change.kind is kind
    assert change.binary == BinaryChange(
        old_size=len(old or b""), new_size=len(new or b""), sha256=hashlib.sha256(seen).hexdigest()
    )
    assert (change.added, change.removed) == (0, 0)


def test_the_words_name_both_sizes_and_the_whole_sha256():
    said = str(BinaryChange(old_size=1_234, new_size=2_345, sha256="ab" * 32))
    assert said == f"binary, 1,234 → 2,345 bytes, sha256 {'ab' * 32}"


def test_without_the_setting_a_binary_file_is_refused_and_the_setting_named():
    with pytest.raises(Refused, match=r"binary file: assets/logo\.png; .*binary_paths"):
        parse_patch(whole(LOGO, NEW_LOGO))


def test_a_difference_is_refused_by_its_setting_first():
    raw = whole(LOGO, NEW_LOGO, halves=b"delta 10\nzzz\n\n" + half(LOGO))
    with pytest.raises(Refused, match="binary_paths"):
        parse_patch(raw)
    with pytest.raises(Refused, match="delta"):
        parse_patch(raw, LIMITS)


def test_a_stream_of_another_kind_is_refused():
    raw = b"literal %d\n%b\n" % (len(NEW_LOGO), encode(gzip.compress(NEW_LOGO)))
    with pytest.raises(Refused, match="cannot be unpacked"):
        parse_patch(whole(LOGO, NEW_LOGO, halves=raw + half(LOGO)), LIMITS)


def test_stored_blocks_are_a_stream_that_zlib_reads():
    lines = b"".join(render_binary(BinaryDiff(old=b"", new=b"\0" * 70_000, id_length=40), ChangeKind.ADDED))
    raw = b"diff --git a/x.png b/x.png\nnew file mode 100644\n" + lines
    assert b"index %b..%b\n" % (NONE, oid(b"\0" * 70_000)) in lines
    assert parse_patch(raw, LIMITS).text == raw


def test_text_and_binary_files_stand_in_one_patch():
    text = b"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    patch = parse_patch(text + whole(LOGO, NEW_LOGO), LIMITS)
    assert [change.path for change in patch.files] == ["assets/logo.png", "x.py"]
    assert patch.text.endswith(text)


def test_the_card_shows_the_text_and_no_bytes():
    text = b"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    shown = cut_excerpt(parse_patch(text + whole(LOGO, NEW_LOGO), LIMITS).text.decode(), "it.diff")
    assert "+b" in shown
    assert "literal" not in shown
    assert shown.endswith("… the whole diff is in it.diff")


def test_the_page_says_what_nobody_can_read():
    (file,) = view_patch(parse_patch(whole(LOGO, NEW_LOGO), LIMITS)).files
    assert file.hunks == ()
    assert file.about == (str(file.change.binary),)
