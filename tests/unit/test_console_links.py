"""Addresses in the terminal: one that fits a line of its own is never broken, wherever it stands."""

import pytest

from bot.domain.chat import Bullets, Code, Fields, Link, Message, Paragraph, Tone
from connectors.chat.console.paint import Ink, paint_message
from connectors.chat.console.plain import break_verbatim, measure, wrap_words

WIDTH = 80


def fill(length: int) -> str:
    start = "https://traces.example/trace/"
    return start + ("4bf92f3577b34da6a3ce929d0e0e4736" * 9)[: length - len(start)]


@pytest.mark.parametrize("length", [58, 60, 74, 75, 76, 77, 78])
def test_a_link_is_whole_on_its_line(length):
    url = fill(length)
    blocks = (
        Link(label="Trace 4bf92f35", url=url),
        Fields(items=(("Runbook", url),)),
        Bullets(items=(f"see {url} and ({url}), then {url}.", url)),
        Paragraph(text=f"Look at {url}"),
    )
    message = Message(
        incident="INC-1", slot="findings", headline="Found", tone=Tone.CALM, blocks=blocks, in_thread=False
    )
    lines = paint_message(message, WIDTH, Ink(colour=False))
    assert all(measure(line) <= WIDTH for line in lines)
    assert sum(line.count(url) for line in lines) == 7
    assert sum("https://" in line for line in lines) == sum(url in line for line in lines)


def test_in_code_an_address_moves_to_the_next_piece_and_nothing_is_lost():
    text = f"GET {'x' * 30} {fill(70)} answered 500"
    assert break_verbatim(text, 76)[1].startswith(fill(70))
    assert "".join(break_verbatim(text, 76)) == text
    message = Message(incident="INC-1", slot="s", headline="H", tone=Tone.CALM, blocks=(Code(text=text),))
    assert any(fill(70) in line for line in paint_message(message, WIDTH, Ink(colour=False)))


@pytest.mark.parametrize("text", ["https://a.example/" + "x" * 300, "x" * 300, "  " + fill(79), "(" * 90 + fill(60)])
def test_what_fits_no_line_is_broken_and_whole_together(text):
    lines = wrap_words(text, WIDTH - 2)
    assert all(measure(line) <= WIDTH - 2 for line in lines)
    assert "".join(lines).strip() == text.strip()
