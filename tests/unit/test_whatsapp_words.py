"""WhatsApp's text and keywords, without WhatsApp."""

import pytest

from bot.domain.chat import Code, Form, FormField, Message, Paragraph
from connectors.chat.whatsapp.choices import Asks, Key, ask, build_interactive, read_id
from connectors.chat.whatsapp.markup import deaden, fit, render, units
from connectors.chat.whatsapp.words import read_command


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* and _it_ and ~gone~", "∗bold∗ and ˍitˍ and ∼gone∼"),
        ("snake_case_name and 2 * 3", "snake_case_name and 2 * 3"),
        ("see app.py at https://evil.example", "see app․py at https:⁄⁄evil․example"),
        ("mail ana@shop.example", "mail ana＠shop․example"),
        ("10.0.0.1", "10․0․0․1"),
        ("took 1.5 s.", "took 1.5 s."),
        ("`x` ```y```", "ˋxˋ ˋˋˋyˋˋˋ"),
        ("> quoted\n* item\n- item", "› quoted\n– item\n– item"),
        ("\x1b[2Jx\u202ey", "␛[2Jx<U+202E>y"),
    ],
)
def test_nothing_in_a_text_is_markup_or_alive(text, shown):
    assert deaden(text) == shown


def test_long_code_is_fenced_in_each_piece():
    code = "\n".join(f"+ line {number}" for number in range(2000))
    pieces = render(Message(incident="INC-7", slot="x", headline="x", blocks=(Code(text=code),)))
    assert len(pieces) > 2
    assert all(piece.count("```") % 2 == 0 for piece in pieces)


def test_wide_signs_are_counted_as_they_may_be():
    pieces = render(Message(incident="INC-7", slot="x", headline="x", blocks=(Paragraph(text="😀" * 4000),)))
    assert max(units(piece) for piece in pieces) <= 4096
    assert units(fit("😀" * 50, 20)) <= 20


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("ACK", "/incident ack INC-7"),
        ("ack INC-9", "/incident ack INC-9"),
        ("silence 4h", "/incident silence 4h INC-7"),
        ("who", "/oncall who"),
        ("patch show", "/patch show"),
        ("/ci status", "/ci status"),
        ("status of the database?", "status of the database?"),
        ("resolve it now", "resolve it now"),
        ("patch", "patch"),
        ("watch", "/incident watch INC-7"),
        ("Watch 30m 2d are the time-outs back?", "/incident watch INC-7 30m 2d are the time-outs back?"),
        ("watch INC-9 is it slow?", "/incident watch INC-9 is it slow?"),
        ("watch every 30m", "/incident watch INC-7 every 30m"),
        ("watch stop", "/incident watch stop INC-7"),
        ("watch out, Ben", "watch out, Ben"),
        ("", ""),
    ],
)
def test_a_keyword_is_a_command_and_a_sentence_is_none(text, command):
    assert read_command(text, "INC-7") == command


def test_answers_that_do_not_fit_into_a_list_are_typed():
    form = Form(title="Why?", fields=(FormField(name="reason", label="Say", choices=("x" * 300, "y")),))
    assert ask(Asks(button="reject:INC-7", confirms=False), "Reject", form).keys == ()


@pytest.mark.parametrize("text", ["", "~show|", "~more|INC-7", ">x", "a b", "ä", "x" * 65, "?", "~what"])
def test_an_id_that_nobody_made_means_nothing(text):
    assert read_id(text) is None


def test_labels_that_are_cut_alike_are_told_apart():
    made = build_interactive("x", [Key(id=str(number), label="Silence until resolved") for number in range(3)])
    titles = [button["reply"]["title"] for button in made["action"]["buttons"]]
    assert len(set(titles)) == 3
    assert max(map(len, titles)) <= 20
