"""Which changes of a diff can change nothing."""

import pytest

from bot.domain.suspects.blame import LooseHunk


def hunk(path: str, before: str, after: str) -> LooseHunk:
    return LooseHunk(path=path, old_path=path, old_start=1, new_start=1, heading="", lines=(f"-{before}", f"+{after}"))


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.py", "total = 0", "total = 0  # in cents"),
        ("a.py", "name = 'x'  # old", "name = 'x'  # the customer's"),
        ("a.js", "let total = 0;", "let total = 0; // in cents"),
    ],
)
def test_a_comment_behind_code_changes_nothing(path: str, before: str, after: str) -> None:
    assert hunk(path, before, after).is_cosmetic


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.py", "half = a // 2", "half = a // 3"),
        ("a.py", "title = 'a # b'", "title = 'a # c'"),
        ("a.js", "const u = ` // a`;", "const u = ` // b`;"),
        ("a.py", "total = 0  # in cents", "total = 1  # in cents"),
    ],
)
def test_what_only_looks_like_a_comment_may_change_something(path: str, before: str, after: str) -> None:
    assert not hunk(path, before, after).is_cosmetic
