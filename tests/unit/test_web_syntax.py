"""Colours of code: nothing is lost, what is open goes on, and no text can make it slow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.languages import find_language
from bot.web.syntax import Colour, colour_lines

NAMES = (
    "a.py",
    "a.ts",
    "a.go",
    "a.c",
    "a.rs",
    "a.sh",
    "a.yaml",
    "a.json",
    "a.sql",
    "a.html",
    "a.css",
    "Dockerfile",
    "a.xyz",
)
EVIL = ('"', "'", "\\", " ", "a ", "1", "1e+", "/*", "@", "$", "<", 'r"""', "=:", "#  ", "rb", "`", "-", "a" + " " * 99)


def coloured(path: str, *lines: str) -> list[tuple[str, str]]:
    """Return what is not plain, with its colour's name."""
    tokens = [token for line in colour_lines(path, lines) for token in line]
    return [(token.text, token.colour.name.lower()) for token in tokens if token.colour is not Colour.PLAIN]


@given(st.sampled_from(NAMES), st.lists(st.text(st.characters(exclude_characters="\n")) | st.sampled_from(EVIL)))
def test_the_tokens_of_a_line_are_the_line(path: str, lines: list[str]) -> None:
    found = colour_lines(path, lines)
    assert ["".join(token.text for token in line) for line in found] == lines


def test_python_shows_what_a_reader_looks_for() -> None:
    line = "    return round(amount, 2) if rate is None else f'{rate}'  # it's late"
    assert coloured("shop/total.py", "@cache", line) == [
        ("@cache", "meta"),
        ("return", "keyword"),
        ("round", "call"),
        ("2", "number"),
        ("if", "keyword"),
        ("is", "keyword"),
        ("None", "keyword"),
        ("else", "keyword"),
        ("f'{rate}'", "string"),
        ("# it's late", "comment"),
    ]


@pytest.mark.parametrize(
    ("path", "lines", "found"),
    [
        ("a.py", ('x = """first', "# second", '"""  # third'), ['"""first', "# second", '"""', "# third"]),
        ("a.go", ("a /* first", "return */ b"), ["/* first", "return */"]),
        ("a.html", ("<!-- first", "</p> -->"), ["<!-- first", "</p> -->"]),
    ],
)
def test_what_is_open_goes_on_in_the_next_line(path: str, lines: tuple[str, ...], found: list[str]) -> None:
    assert [text for text, _ in coloured(path, *lines)] == found


def test_keys_of_data_files_stand_out_and_prose_in_them_does_not() -> None:
    assert coloured("ci.yaml", "  - name: it's on time # always") == [
        ("name", "key"),
        ("on", "keyword"),
        ("# always", "comment"),
    ]
    assert coloured("ci.yaml", "runs-on: 1")[0] == ("runs-on", "key")
    assert coloured("a.json", '{"name": "value"}') == [('"name"', "key"), ('"value"', "string")]


def test_a_hash_inside_a_word_begins_no_comment() -> None:
    assert coloured("run.sh", "echo ${path#/} # done")[-1] == ("# done", "comment")


def test_an_unknown_language_and_an_endless_line_stay_plain() -> None:
    assert coloured("notes.xyz", "return None # 1") == []
    assert coloured("a.py", "return " * 300) == []
    assert find_language("py") is None


def test_after_many_tokens_the_rest_stays_plain() -> None:
    found = colour_lines("a.py", ["return 1"] * 3, most=3)
    assert [[token.colour.name for token in line] for line in found] == [
        ["KEYWORD", "PLAIN", "NUMBER"],
        ["KEYWORD", "PLAIN"],
        ["PLAIN"],
    ]


@pytest.mark.parametrize("path", NAMES)
def test_no_text_makes_it_slow(path: str) -> None:
    began = time.process_time()
    for evil in EVIL:
        colour_lines(path, [(evil * 2000)[:2000]] * 3)
    assert time.process_time() - began < 2
