"""A patch laid out for reading: nothing but its own lines, in order, with what changed in them."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bot.domain.draft import Patch
from bot.domain.patches.patch import parse_patch, read_patch
from bot.web import diff_view
from bot.web.diff_view import FileView, PatchView, Run, view_patch
from bot.web.word_diff import Budget, find_changes
from tests.web_world import PATCH

TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=30)
WORDS = st.lists(st.sampled_from(["a", "b", "return", " ", "  ", "(", ".", "é", "1"])).map("".join)


def canonical(text: str) -> Patch:
    return parse_patch(text.encode(), allowed_existing=lambda _path, _character: True)


@st.composite
def patches(draw: st.DrawFn) -> Patch:
    """Patches of one to three files whose hunks have lines of all kinds in any order."""
    parts = []
    for number in range(draw(st.integers(1, 3))):
        lines = draw(st.lists(st.tuples(st.sampled_from(" -+"), line()), min_size=1, max_size=12))
        if all(sign == " " for sign, _ in lines):
            lines.append(("+", "more"))
        old = sum(sign != "+" for sign, _ in lines)
        new = sum(sign != "-" for sign, _ in lines)
        name = draw(st.sampled_from(["a.py", "b.ts", "c"]))
        body = "".join(f"{sign}{text}\n" for sign, text in lines)
        header = f"@@ -{5 if old else 4},{old} +{5 if new else 4},{new} @@\n"
        parts.append(f"--- a/{number}{name}\n+++ b/{number}{name}\n{header}{body}")
    return canonical("".join(parts))


def line() -> SearchStrategy[str]:
    safe = st.characters(codec="utf-8", exclude_characters="\n\x00")
    return st.text(safe, max_size=20) | st.sampled_from(["<b>", "&amp;", "'", "return 1", "\u202e", "\x1b[2J"])


def lines_of(view: PatchView) -> list[str]:
    """Read the lines back from what is shown, as they stand in the patch."""
    return [
        {" ": " ", "+": "+"}.get(shown.sign, "-") + shown.text
        for file in view.files
        for hunk in file.hunks
        for run in hunk.runs
        for shown in (*run.old, *run.new)
    ]


@given(patches())
def test_the_lines_shown_are_the_lines_of_the_patch_in_their_order(patch: Patch) -> None:
    wanted = [
        (line.sign + line.text.removesuffix(b"\n")).decode()
        for diff in read_patch(patch)
        for hunk in diff.hunks
        for line in hunk.lines
    ]
    view = view_patch(patch)
    assert lines_of(view) == wanted
    assert view.left_out == 0


@given(patches())
def test_both_sides_are_numbered_as_the_hunks_say(patch: Patch) -> None:
    for diff, file in zip(read_patch(patch), view_patch(patch).files, strict=True):
        for hunk, shown in zip(diff.hunks, file.hunks, strict=True):
            lines = [line for run in shown.runs for line in (*run.old, *run.new)]
            old = [line.old for line in lines if line.old is not None]
            new = [line.new for line in lines if line.new is not None]
            assert old == list(range(hunk.old_index + 1, hunk.old_index + 1 + hunk.count(b"-")))
            assert new == list(range(hunk.new_index + 1, hunk.new_index + 1 + hunk.count(b"+")))


def only_file(text: str) -> FileView:
    (file,) = view_patch(canonical(text)).files
    return file


def only_run(old: str, new: str) -> Run:
    (run,) = only_file(f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-{old}\n+{new}\n").hunks[0].runs
    return run


def test_the_words_that_changed_stand_out_and_the_others_do_not() -> None:
    run = only_run("    return amount / coupon.base", "    return amount / 100")
    assert [piece.text for piece in run.old[0].pieces if piece.changed] == ["coupon.base"]
    assert [(piece.text, piece.colour) for piece in run.new[0].pieces if piece.changed] == [("100", "m")]
    assert [piece.text for piece in run.new[0].pieces if piece.colour == "k"] == ["return"]


def test_lines_that_share_nothing_are_not_compared_word_by_word() -> None:
    run = only_run("import os", "total = 0")
    assert not any(piece.changed for line in (*run.old, *run.new) for piece in line.pieces)


@given(TEXT | WORDS, TEXT | WORDS)
def test_what_did_not_change_is_the_same_on_both_sides(old: str, new: str) -> None:
    changes = find_changes(old, new, Budget())
    if changes == ((), ()):
        return
    kept = [_without(text, spans) for text, spans in zip((old, new), changes, strict=True)]
    assert re.sub(r"\s", "", kept[0]) == re.sub(r"\s", "", kept[1])


def _without(text: str, spans: object) -> str:
    assert isinstance(spans, tuple)
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


def test_a_used_up_budget_still_tells_the_ends_apart() -> None:
    assert find_changes("total(a, b, c)", "total(x, b, y)", Budget(0)) == (((6, 13),), ((6, 13),))
    assert find_changes("total(a, b, c)", "total(x, b, y)", Budget()) == (((6, 7), (12, 13)), ((6, 7), (12, 13)))


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n", ("new file",)),
        ("diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", ("deleted",)),
        ("diff --git a/o b/n\nsimilarity index 100%\nrename from o\nrename to n\n", ("was o",)),
        ("diff --git a/run b/run\nold mode 100644\nnew mode 100755\n", ("mode 644→755",)),
    ],
)
def test_what_happens_to_a_file_beside_its_lines_is_said(text: str, about: tuple[str, ...]) -> None:
    assert only_file(text).about == about


def test_there_is_room_for_the_longest_line_number() -> None:
    assert only_file("--- a/n\n+++ b/n\n@@ -7 +7 @@\n-x\n+y\n").digits == 3
    assert only_file("--- a/n\n+++ b/n\n@@ -9999,0 +10000 @@\n+y\n").digits == 5


def test_a_missing_line_end_shows() -> None:
    text = "--- a/n\n+++ b/n\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n"
    (run,) = only_file(text).hunks[0].runs
    assert (run.old[0].ends, run.new[0].ends) == (False, True)


def test_a_huge_patch_is_shown_from_its_beginning_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_view, "_MAX_LINES", 6)
    view = view_patch(canonical(PATCH))
    assert [file.left_out for file in view.files] == [0, 7]
    assert len(lines_of(view)) == 6
    assert view.left_out == 7


def test_one_endless_line_is_left_out_with_all_that_follows() -> None:
    body = f"+{'x' * 400_000}\n+y\n"
    view = view_patch(canonical(f"--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n{body}"))
    assert (lines_of(view), view.left_out) == ([], 2)


@given(patches())
def test_a_hostile_patch_makes_no_markup_and_hides_nothing(patch: Patch) -> None:
    for file in view_patch(patch).files:
        for hunk in file.hunks:
            for run in hunk.runs:
                for shown in (*run.old, *run.new):
                    made = str(diff_view.show_line(shown))
                    assert set(re.findall(r"<(/?\w+)", made)) <= {"span", "/span", "ins", "/ins", "del", "/del"}
                    assert not re.search("[\u202e\x1b\u200b]", made)
                    plain = html.unescape(re.sub(r"<[^>]*>", "", made))
                    assert plain == diff_view.reveal(shown.text)
