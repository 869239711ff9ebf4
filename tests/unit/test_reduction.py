"""Kinds of lines, found with no format given: own corpora, and properties over generated ones."""

import json
import random
from array import array
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.reduction.blocks import fold_blocks, sample_layout
from bot.reduction.folding import choose_fold, fold_with_python, split_block
from bot.reduction.layout import PLAIN, find_layout
from bot.reduction.merging import MAX_FINE, merge
from bot.reduction.templates import MAX_TEXTS, Texts

CHANCE = random.Random(11)


def _id(size: int) -> str:
    return CHANCE.randbytes(size).hex()


def _number(most: int = 99_999) -> int:
    return CHANCE.randrange(1, most)


MESSAGES: dict[str, Callable[[], str]] = {
    "order": lambda: f"order {_number()} of {_id(8)} stored in {_number(900)} ms",
    "job": lambda: f"job {_id(4)}-{_id(2)}-{_id(2)} picked up by worker-{_number(40)}",
    "cache": lambda: f"cache holds {_number()} entries ({_number(900)}.{_number(99)} MB), {_number(99)}% full",
    "request": lambda: f'10.0.{_number(250)}.{_number(250)} "GET /v1/cart/{_id(3)} HTTP/1.1" 200 {_number(9_000)}',
    "retry": lambda: f"retrying https://pay.example/{_id(4)} in {_number(60)} s, attempt {_number(9)}",
    "slow": lambda: "the database answers slowly",
    "config": lambda: f"read /etc/shop/part-{_number(50)}.toml",
}

HEADERS: dict[str, Callable[[str], str]] = {
    "ISO, level, logger": lambda m: f"2026-11-20T12:{_clock()}.{_number(999):03}Z INFO shop.web: {m}",
    "comma, thread": lambda m: f"2026-11-20 12:{_clock()},{_number(999):03} WARN  [pool-{_number(9)}] a.b.C: {m}",
    "syslog": lambda m: f"Nov  {_number(9)} 12:{_clock()} web-{_number(9)} shopd[{_number()}]: {m}",
    "brackets": lambda m: f"[Fri Nov 20 12:{_clock()} 2026] [notice] {m}",
    "pipes": lambda m: f"20261120-12:{_clock()}:{_number(999)}|Shop_Main|{_number()}|{m}",
    "epoch and columns": lambda m: f"- 17{_number(99_999_999):08} {_number()} node-{_number(99)} shop state 1 {m}",
    "two numbers, letter": lambda m: f"11-20 12:{_clock()}.{_number(999):03}  {_number()}  {_number()} D Shop: {m}",
    "program and dash": lambda m: f"[11.20 12:{_clock()}] shop.exe *64 - {m}",
    "padded columns": lambda m: f"2026-11-20 12:{_clock()}, Info                  SHOP    {m}",
    "packed, number": lambda m: f"261120 12{_number(59):02}{_number(59):02} {_number()} INFO shop.Main: {m}",
    "container": lambda m: (
        f"2026-11-20T12:{_clock()}.{_number(10**9 - 1):09}Z stdout F 2026-11-20 12:{_clock()} INFO {m}"
    ),
    "dashes": lambda m: f"2026-11-20 12:{_clock()},{_number(999):03} - shop.web - INFO - {m}",
    "Spring": lambda m: f"2026-11-20 12:{_clock()}.{_number(999):03}  INFO {_number()} --- [  main] a.b.C    : {m}",
    "access log": lambda m: f"10.0.0.{_number(250)} - - [20/Nov/2026:12:{_clock()} +0000] {m}",
    "RFC 5424": lambda m: (
        f"<34>1 2026-11-20T12:{_clock()}.{_number(999):03}Z web-{_number(9)} shop {_number()} ID47 - {m}"
    ),
    "Go": lambda m: f"2026/11/20 12:{_clock()} {m}",
    "journal": lambda m: f"Nov 20 12:{_clock()} web shopd[{_number()}]: 2026-11-20 12:{_clock()} INFO {m}",
    "level only": lambda m: f"INFO: {m}",
    "JSON": lambda m: json.dumps({"ts": f"2026-11-20T12:{_clock()}", "pid": _number(), "msg": m}),
    "logfmt": lambda m: f"ts=2026-11-20T12:{_clock()} level=info pid={_number()} msg={json.dumps(m)}",
}


def _clock() -> str:
    return f"{_number(59):02}:{_number(59):02}"


def _ids(lines: Sequence[str]) -> list[int]:
    """Return the template of each line."""
    blocks = iter(["\n".join(lines).encode() + b"\n"])
    layout, blocks = sample_layout(blocks)
    texts, codes = Texts(), array("I")
    for folded in fold_blocks(blocks, layout):
        codes.extend(texts.add(folded.texts, folded.codes))
    templates, places = texts.find_templates()
    return [templates[places[code]].id for code in codes]


def _partition(ids: Sequence[object]) -> list[int]:
    """Return the ids renamed in the order of their first use: two ways of grouping compare equal where they are."""
    names: dict[object, int] = {}
    return [names.setdefault(one, len(names)) for one in ids]


@pytest.mark.parametrize("header", HEADERS)
def test_raw_lines_group_as_their_messages_do(header: str) -> None:
    kinds = [CHANCE.choice(list(MESSAGES)) for _ in range(300)]
    raw = [HEADERS[header](MESSAGES[kind]()) for kind in kinds]
    assert _partition(_ids(raw)) == _partition(kinds)


def test_bare_messages_have_no_header() -> None:
    kinds = [CHANCE.choice(list(MESSAGES)) for _ in range(300)]
    messages = [MESSAGES[kind]() for kind in kinds]
    assert find_layout(messages) == PLAIN
    assert _partition(_ids(messages)) == _partition(kinds)


def test_two_formats_in_one_file_are_both_found() -> None:
    kinds = [CHANCE.choice(list(MESSAGES)) for _ in range(400)]
    ways = ("brackets", "two numbers, letter")
    raw = [HEADERS[ways[number % 2]](MESSAGES[kind]()) for number, kind in enumerate(kinds)]
    assert _partition(_ids(raw)) == _partition(kinds)


def test_lines_that_go_on_with_a_traceback_keep_their_own_kind() -> None:
    lines = []
    for number in range(60):
        lines.append(f"2026-11-20 12:00:{number:02},000 ERROR shop: order {number} failed")
        lines += [
            "Traceback (most recent call last):",
            f'  File "/app/shop.py", line {number}, in total',
            "KeyError: 'XAF'",
        ]
    assert _partition(_ids(lines)) == [0, 1, 2, 3] * 60


# Merging --------------------------------------------------------------------------------------------------------------
def _templates(texts: Sequence[str]) -> set[str]:
    return set(merge(dict.fromkeys(texts, 1)).values())


def test_a_word_with_many_values_after_a_naming_word_is_variable() -> None:
    names = ("ana", "bo", "cy", "dee", "eva", "finn")
    assert _templates([f"session opened for {name} by <*>" for name in names]) == {"session opened for <*> by <*>"}


def test_few_values_stay_apart() -> None:
    states = [f"vm {state} (event)" for state in ("Started", "Paused", "Resumed", "Halted")]
    assert _templates(states) == set(states)


def test_how_something_ended_is_never_a_variable() -> None:
    ends = [f"job of {name}" for name in ("ana", "bo", "cy", "dee", "eva", "failed", "succeeded")]
    assert _templates(ends) == {"job of <*>", "job of failed", "job of succeeded"}


def test_the_first_word_of_a_line_is_a_constant_unless_it_takes_very_many_values() -> None:
    few = [f"{name} startup done" for name in ("cron", "dns", "mail", "ntp", "web", "ftp", "ssh", "log", "net")]
    assert _templates(few) == set(few)
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert _templates([f"{letter}x joined the room" for letter in letters]) == {"<*> joined the room"}


def test_capitals_beside_a_variable_stay_a_kind_of_their_own() -> None:
    assert merge({"open through proxy <*> <*>": 50, "open through proxy <*> HTTPS": 60})[
        "open through proxy <*> HTTPS"
    ] == ("open through proxy <*> HTTPS")


def test_dotted_names_that_alone_differ_are_variable() -> None:
    names = ("a.b.Reader", "a.b.Writer", "a.c.Closer")
    assert _templates([f"registering {name} with {name}" for name in names]) == {"registering <*> with <*>"}


def test_very_many_texts_are_merged_in_bounded_time() -> None:
    words = ["".join(chr(97 + number // 26**place % 26) for place in range(4)) for number in range(4 * MAX_FINE)]
    assert _templates([f"user {word} did {word[::-1]} here" for word in words]) == {"user <*> did <*> here"}


def test_more_texts_than_are_told_apart_become_coarse() -> None:
    texts, letters = Texts(), str.maketrans("0123456789", "ghijklmnop")
    for start in range(0, MAX_TEXTS + 30_000, 10_000):
        words = [f"word{number:x}".translate(letters) for number in range(start, start + 10_000)]
        texts.add([f"{word} {word}" for word in words], array("I", range(10_000)))
    assert len(texts.texts) <= MAX_TEXTS + 10_001
    assert sum(texts.counts.values()) == MAX_TEXTS + 30_000


# Properties -----------------------------------------------------------------------------------------------------------
LINES = st.lists(
    st.one_of(
        st.sampled_from([HEADERS[header](MESSAGES[kind]()) for header in HEADERS for kind in MESSAGES]),
        st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=60),
        st.text("0aZ=:,;()[]{}\"'|<>*. /\\-", max_size=40),
    ),
    max_size=40,
)


def _fold_all(blocks: Iterator[bytes], lines: Sequence[str]) -> tuple[list[str], list[int]]:
    layout = find_layout(lines)
    texts, codes = Texts(), array("I")
    for block in blocks:
        folded = fold_with_python(block, layout)
        codes.extend(texts.add(folded.texts, folded.codes))
    return [template.text for template in texts.find_templates()[0]], list(codes)


@given(LINES)
@settings(max_examples=60, deadline=None)
def test_every_line_has_exactly_one_template(lines: list[str]) -> None:
    assert len(_ids(lines)) == max(1, len(lines))


@given(LINES, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_how_a_log_comes_in_pieces_changes_nothing(lines: list[str], size: int) -> None:
    whole = iter(["".join(f"{line}\n" for line in lines).encode()])
    pieces = ("".join(f"{line}\n" for line in lines[at : at + size]).encode() for at in range(0, len(lines), size))
    assert _fold_all(whole, lines) == _fold_all(pieces, lines)


@given(LINES)
@settings(max_examples=100, deadline=None)
def test_both_engines_fold_alike(lines: list[str]) -> None:
    pytest.importorskip("polars")
    block = "".join(f"{line}\n" for line in lines).encode()
    layout = find_layout(split_block(block))
    fast, plain = choose_fold()(block, layout), fold_with_python(block, layout)
    assert (list(fast.texts), fast.codes) == (list(plain.texts), plain.codes)


@given(LINES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_lines_does_not_change_their_groups(lines: list[str], chance: random.Random) -> None:
    order = list(range(len(lines)))
    chance.shuffle(order)
    layout = find_layout(lines)

    def group(taken: Sequence[str]) -> list[str]:
        texts = Texts()
        folded = fold_with_python("".join(f"{line}\n" for line in taken).encode(), layout)
        codes = texts.add(folded.texts, folded.codes)
        templates, places = texts.find_templates()
        return [templates[places[code]].text for code in codes]

    assert [group(lines)[number] for number in order] == group([lines[number] for number in order])
