"""What the pages compute: visible text, diffs, ages, links, messages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.chat import Code, File, Message, Paragraph
from bot.ports.board import BoardMessage
from bot.web.views import LineKind, age, digest_of, host_of, read_diff, reveal, reveal_html, safe_url, view_message
from tests.web_world import NOW, PATCH

HIDDEN = "\x00\x07\x1b\r\x7f\x9b\u00ad\u200b\u200d\u200e\u202e\u2066\u2028\u3164\ufeff\U000e0041\ud800"


def test_hidden_characters_become_visible_escapes() -> None:
    assert reveal("a\u202eb\x1b[2J\r\U000e0041") == "a\\u202eb\\x1b[2J\\x0d\\U000e0041"


@given(st.text())
def test_whatever_comes_in_only_visible_characters_come_out(text: str) -> None:
    shown = reveal(text + HIDDEN)
    assert not set(shown) & set(HIDDEN)
    assert reveal(shown) == shown


def test_letters_of_every_script_stay_as_they_are() -> None:
    text = "Grüße, привет, 你好, שלום, नमस्ते, 🔥 38 %\n\tindented"
    assert reveal(text) == text


def test_markup_stays_text_and_escapes_stand_out() -> None:
    html = str(reveal_html("<b onclick='x'>\u202e&amp;\""))
    assert "<b" not in html
    assert "&lt;b onclick=&#39;x&#39;&gt;" in html
    assert '<span class="hidden-char" title="U+202E RIGHT-TO-LEFT OVERRIDE">\\u202e</span>' in html
    assert html.endswith("&amp;amp;&#34;")


@pytest.mark.parametrize(
    "url",
    ["https://wiki.example/a?b=c#d", "http://127.0.0.1:8080/x", "https://user@wiki.example/", "HTTPS://WIKI.example"],
)
def test_web_addresses_may_be_linked(url: str) -> None:
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " https://wiki.example",
        "data:text/html,<script>",
        "//wiki.example",
        "/relative",
        "https://",
        "https://wiki.example/\u202egpj",
        "https://wiki.example/a b",
        "https://[half/",
        "",
    ],
)
def test_anything_else_may_not(url: str) -> None:
    assert safe_url(url) is None


def test_the_host_shown_is_the_one_a_link_leads_to() -> None:
    assert host_of("https://bank.example@evil.example/") == "evil.example"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3660, "1 h 01 min"),
        (86400 * 2 + 3600 * 4, "2 d 4 h"),
    ],
)
def test_ages_use_the_two_units_that_matter(seconds: int, text: str) -> None:
    now = datetime(2026, 3, 4, tzinfo=UTC)
    assert age(now - timedelta(seconds=seconds), now) == text


def test_a_diff_is_split_into_files_with_their_counts() -> None:
    view = read_diff(PATCH)
    found = [(file.path, file.change, file.added, file.removed) for file in view.files]
    assert found == [("checkout/total.py", "changed", 1, 1), ("checkout/coupon.py", "changed", 0, 1)]
    assert (view.added, view.removed, view.is_short) == (1, 2, True)


def test_a_changed_line_cannot_pose_as_a_file_header() -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/harmless\n+++ b/harmless\n kept\n"
    (file,) = read_diff(text).files
    assert file.path == "x"
    assert [line.kind for line in file.lines[-3:]] == [LineKind.REMOVED, LineKind.ADDED, LineKind.CONTEXT]


@pytest.mark.parametrize(
    ("text", "path", "change"),
    [
        ("diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n", "n", "added"),
        ("diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", "n", "deleted"),
        ("diff --git a/o b/n\nsimilarity index 100%\nrename from o\nrename to n\n", "n", "renamed"),
        ("diff --git a/run b/run\nold mode 100644\nnew mode 100755\n", "run", "changed"),
        ("--- a/n\n+++ b/n\n@@ -1 +1 @@\n-x\n+y\n", "n", "changed"),
    ],
)
def test_kinds_of_change_are_named(text: str, path: str, change: str) -> None:
    (file,) = read_diff(text).files
    assert (file.path, file.change) == (path, change)


@given(
    st.lists(
        st.sampled_from(
            ["diff --git a/x b/x", "--- a/x", "+++ b/x", "@@ -1,2 +1,3 @@", "+a", "-b", " c", "", "\\ No newline", "x"]
        )
        | st.text(st.characters(exclude_characters="\n"))
    ),
    st.booleans(),
)
def test_no_line_of_a_diff_is_ever_left_out(lines: list[str], ends: bool) -> None:
    text = "\n".join(lines) + ("\n" if ends else "")
    shown = [line.text for file in read_diff(text).files for line in file.lines]
    wanted = text.split("\n")
    assert shown == (wanted if wanted[-1] else wanted[:-1])


def posted(message: Message) -> BoardMessage:
    return BoardMessage(ref="r", message=message, posted_at=NOW)


def test_an_excerpt_gives_way_to_the_whole_attached_diff() -> None:
    excerpt = (
        "+++ b/checkout/total.py\n@@ -12,7 +12,7 @@ def tot\n-    return amount - amount * coupon.percent / coupon.b…\n"
    )
    file = File(name="INC-1.diff", media_type="text/x-diff", text=PATCH)
    view = view_message(
        posted(
            Message(
                incident="INC-1", slot="p", headline="h", blocks=(Code(text=excerpt, language="diff"),), files=(file,)
            )
        )
    )
    assert view.blocks == (Code(text=PATCH, language="diff"),)
    assert view.files == ()
    assert [digest_of(text) for text in view.diffs] == [digest_of(PATCH)]


def test_a_diff_that_is_no_excerpt_of_the_file_is_shown_beside_it() -> None:
    other = Code(text="+something else", language="diff")
    file = File(name="INC-1.diff", media_type="text/x-diff", text=PATCH)
    view = view_message(posted(Message(incident="INC-1", slot="p", headline="h", blocks=(other,), files=(file,))))
    assert (view.blocks, view.files) == ((other,), (file,))


def test_the_version_changes_with_the_message_and_with_nothing_else() -> None:
    message = Message(incident="INC-1", slot="p", headline="h", blocks=(Paragraph(text="a"),))
    again = Message(incident="INC-1", slot="p", headline="h", blocks=(Paragraph(text="a"),))
    other = Message(incident="INC-1", slot="p", headline="h", blocks=(Paragraph(text="b"),))
    assert view_message(posted(message)).version == view_message(posted(again)).version
    assert view_message(posted(message)).version != view_message(posted(other)).version


def test_a_name_that_looks_like_two_is_shown_whole():
    text = "diff --git a/x b/x b/x b/x\ndeleted file mode 100644\n"
    (file,) = read_diff(text).files
    assert (file.path, file.change) == ("x b/x", "deleted")
