"""Ranking: which commit is suspected, and why."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.evidence import ErrorRecord, FailingRequest, Frame
from bot.domain.suspects.suspicion import (
    Change,
    Clues,
    Place,
    find_line,
    gather_words,
    index_tree,
    map_path,
    rank_suspects,
    say_span,
)
from bot.domain.text.documents import is_document
from bot.domain.text.vocabulary import split_words

ERROR_AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def make_diff(path, old_start, new_start, body, heading=""):
    lines = body.strip("\n").split("\n")
    old = sum(line[:1] in " -" for line in lines)
    new = sum(line[:1] in " +" for line in lines)
    header = f"@@ -{old_start},{old} +{new_start},{new} @@ {heading}"
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{header}\n" + "\n".join(lines) + "\n"


def make_change(sha, *, minutes=60, subject="Change", files=(), diff="", parents=None):
    return Change(
        sha=sha,
        parents=("parent-of-" + sha,) if parents is None else parents,
        author="Ada",
        committed_at=ERROR_AT - timedelta(minutes=minutes),
        subject=subject,
        files=files,
        diff=diff,
    )


COUPON = ErrorRecord(
    headline="KeyError: 'percent'",
    kind="KeyError",
    frames=(
        Frame(path="/srv/app/shop/views.py", line=20, function="checkout", code="total = price(cart)"),
        Frame(path="/srv/app/shop/cart.py", line=42, function="price", code='discount = coupon["percent"]'),
    ),
    lines=(),
    count=9,
)
PLACES = (
    Place(
        path="shop/cart.py", line=42, function="price", code='discount = coupon["percent"]', weight=1, is_innermost=True
    ),
    Place(path="shop/views.py", line=20, function="checkout", code="total = price(cart)", weight=0.8),
)
CULPRIT = make_change(
    "c0ffee",
    minutes=300,
    subject="Read coupons from the new table",
    files=("shop/coupons.py",),
    diff=make_diff(
        "shop/coupons.py",
        3,
        3,
        """
 def load_coupon(code):
-    return {"code": code, "percent": TABLE[code]}
+    return {"code": code, "rate": TABLE[code]}
""",
    ),
)
INNOCENT = make_change(
    "beef",
    minutes=5,
    subject="Sort the imports",
    files=("shop/cart.py",),
    diff=make_diff("shop/cart.py", 1, 1, "-import json, abc\n+import abc\n+import json\n import os"),
)


def rank(changes, *, places=PLACES, words=None, first_error=ERROR_AT):
    words = gather_words([COUPON], [], {}) if words is None else words
    return rank_suspects(Clues(places=places, words=words, first_error=first_error), changes)


def test_innocent_newest_commit_in_the_tracebacks_file_does_not_win_by_recency():
    suspects = rank([INNOCENT, CULPRIT])
    assert [s.commit for s in suspects] == ["c0ffee", "beef"]
    assert any("percent" in reason for reason in suspects[0].reasons)


def test_touching_the_failing_line_is_said_with_file_and_line():
    body = ' def price(coupon):\n-    discount = coupon.get("percent", 0)\n+    discount = coupon["percent"]'
    direct = make_change("abc", files=("shop/cart.py",), diff=make_diff("shop/cart.py", 41, 41, body))
    first = rank([make_change("zzz", subject="Docs", files=("README.md",)), direct])[0]
    assert first.commit == "abc"
    assert "touches shop/cart.py line 42, the innermost frame" in first.reasons
    assert "committed 60 min before it began" in first.reasons


def test_line_is_followed_back_through_a_later_commit_that_moved_it():
    moved = make_change(
        "new", parents=("old",), files=("shop/cart.py",), diff=make_diff("shop/cart.py", 1, 1, "+a\n+b\n import os")
    )
    body = " def price(coupon):\n-    x = 1\n+    y = 2"
    older = make_change("old", files=("shop/cart.py",), diff=make_diff("shop/cart.py", 39, 39, body))
    place = Place(path="shop/cart.py", line=42, function="f", code="", weight=1, is_innermost=True)
    suspects = rank([moved, older], places=(place,), words={})
    assert suspects[0].commit == "old"
    assert suspects[0].reasons[0] == "touches shop/cart.py line 42, the innermost frame"


def test_reindenting_the_failing_line_does_not_take_the_blame():
    white = make_change(
        "white", parents=("real",), files=("a.py",), diff=make_diff("a.py", 5, 5, "-  total = a+b\n+    total = a+b")
    )
    real = make_change("real", files=("a.py",), diff=make_diff("a.py", 5, 5, "-  total = a\n+  total = a+b"))
    place = Place(path="a.py", line=5, function="f", code="total = a+b", weight=1, is_innermost=True)
    assert rank([white, real], places=(place,), words={})[0].commit == "real"


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (make_change("m", parents=("a", "b"), files=CULPRIT.files, diff=CULPRIT.diff), "but it is a merge"),
        (make_change("l", minutes=-30, files=CULPRIT.files, diff=CULPRIT.diff), "but it was committed after it began"),
        (make_change("root", parents=(), files=CULPRIT.files, diff=CULPRIT.diff), "but nothing before it is known"),
    ],
)  # fmt: skip
def test_doubts_lower_a_suspect_and_are_said(change, doubt):
    suspects = rank([change, CULPRIT])
    assert suspects[0].commit == "c0ffee"
    assert doubt in suspects[1].reasons


def test_tests_and_documents_alone_are_hardly_suspected():
    diff = CULPRIT.diff.replace("shop/coupons.py", "tests/test_coupons.py")
    only_tests = make_change("t", minutes=1, files=("tests/test_coupons.py",), diff=diff)
    suspects = rank([only_tests, CULPRIT])
    assert suspects[0].commit == "c0ffee"
    assert "but it changes only tests or documents" in suspects[1].reasons


def test_without_evidence_the_newest_comes_first_and_order_is_stable():
    changes = [make_change(str(n), minutes=10 + n) for n in range(5)]
    assert [s.commit for s in rank(changes, places=(), words={})] == ["0", "1", "2", "3", "4"]
    same = [make_change(str(n)) for n in range(5)]
    assert [s.commit for s in rank(same, places=(), words={}, first_error=None)] == ["0", "1", "2", "3", "4"]


def test_hostile_diffs_and_functions_cost_nothing_but_hunks():
    diff = "--- a/x\n+++ b/x\n@@ -1,999999999 +1,999999999 @@ (((\n+((((\n@@ -x +y @@\n\x00"
    place = Place(path="x", line=10**9, function="(((", code="(((", weight=1)
    assert rank([make_change("h", files=("x",), diff=diff)], places=(place,))[0].commit == "h"


@pytest.mark.parametrize(
    ("frame", "file"),
    [
        ("/srv/app/shop/cart.py", "src/shop/cart.py"),
        ("/usr/lib/python3.11/site-packages/shop/cart.py", "src/shop/cart.py"),
        ("shop/cart.py", "src/shop/cart.py"),
        ("C:\\app\\shop\\cart.py", "src/shop/cart.py"),
        ("/app/server.py", "server.py"),
        ("/usr/lib/python3.11/http/server.py", None),
        ("/venv/lib/python3.11/site-packages/other/cart.py", None),
        ("/somewhere/__init__.py", None),
        ("Cart.java", "src/main/java/Cart.java"),
        ("", None),
    ],
)
def test_frames_are_mapped_by_the_longest_common_tail(frame, file):
    tree = index_tree(
        ["src/shop/cart.py", "server.py", "a/__init__.py", "b/__init__.py", "src/main/java/Cart.java", "docs/x.md"]
    )
    assert map_path(frame, tree) == file


def test_a_frame_is_found_again_where_its_line_moved_and_only_if_it_is_unique():
    source = ["import os", "", "x = 1", "y = 2", "x = 1"]
    assert find_line(line=4, code="y = 2", source=source) == 4
    assert find_line(line=1, code="y = 2", source=source) == 4
    assert find_line(line=1, code="x = 1", source=source) == 0
    assert find_line(line=99, code="", source=source) == 0


def test_words_are_split_and_weighed():
    assert split_words("applyCoupon HTTPServer_error x1 the") == ["applycoupon", "apply", "coupon", "httpserver_error"]
    request = FailingRequest(method="POST", target="/orders/7/refund", status=500, body='{"coupon": "SPRING"}')
    words = gather_words([COUPON], [request], {"shop/cart.py": ["voucher = 1"]})
    assert words["percent"] > words["refund"] > words["spring"] > words["voucher"] > 0
    assert "error" not in words


def test_documents_are_known_by_name():
    assert all(map(is_document, ["README.md", "docs/conf.py", "CHANGELOG"]))
    assert not any(map(is_document, ["requirements.txt", "shop/readme_parser.py"]))


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (40, "40 s"), (720, "12 min"), (18_000, "5 h"), (3 * 86_400, "3 days")]
)
def test_spans_are_said_in_one_unit(seconds, text):
    assert say_span(timedelta(seconds=seconds)) == text
