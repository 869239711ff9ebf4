"""Splitting loses nothing and tears nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.text.split import find_graphemes, split_text

PIECES = st.sampled_from(
    [
        "word ",
        "a",
        "\n",
        "\n\n",
        " ",
        "é",
        "e\u0301",
        "👨‍👩‍👧",
        "🇩🇪",
        "👍🏽",
        "```\ncode\n```\n",
        "```",
        "\r\n",
        "한",
        "ᄒ\u1161",
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


@given(text=TEXTS, limit=st.integers(min_value=1, max_value=50))
def test_nothing_is_lost_and_every_piece_fits(text: str, limit: int) -> None:
    pieces = split_text(text, limit)
    assert "".join(pieces) == text
    assert all(len(piece) <= limit for piece in pieces)
    assert pieces == [""] or all(pieces)


@given(text=TEXTS, limit=st.integers(min_value=24, max_value=50))
def test_no_grapheme_is_torn(text: str, limit: int) -> None:
    spans = list(find_graphemes(text))
    if any(end - begin > limit for begin, end in spans):
        return
    inside = {at for begin, end in spans for at in range(begin + 1, end)}
    cut = 0
    for piece in split_text(text, limit)[:-1]:
        cut += len(piece)
        assert cut not in inside


@given(before=st.text("ab \n", max_size=80), after=st.text("ab \n", max_size=80), rows=st.integers(1, 4))
def test_a_fenced_block_that_fits_stays_whole(before: str, after: str, rows: int) -> None:
    block = "```diff\n" + "+ line\n" * rows + "```\n"
    pieces = split_text(f"{before}\n{block}{after}", 60)
    assert any(block in piece for piece in pieces)


@given(ticks=st.integers(1, 6), lead=st.integers(0, 20))
def test_a_run_of_backticks_is_not_cut(ticks: int, lead: int) -> None:
    pieces = split_text("x" * lead + "`" * ticks + "y" * 30, 12)
    assert any("`" * ticks in piece for piece in pieces)


def test_it_cuts_where_a_reader_would() -> None:
    assert split_text("one two three", 8) == ["one two ", "three"]
    assert split_text("one\ntwo three", 12) == ["one\n", "two three"]
    assert split_text("", 5) == [""]


def test_graphemes_cover_the_text() -> None:
    text = "ae\u0301🇩🇪🇫🇷"
    assert [text[begin:end] for begin, end in find_graphemes(text)] == ["a", "e\u0301", "🇩🇪", "🇫🇷"]


def test_a_limit_below_one_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        split_text("a", 0)
