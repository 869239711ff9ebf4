"""Telegram's text: nothing lost, nothing live, entities where they belong."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.chat import Bullets, Button, Code, Fields, Form, FormField, Link, Message, Paragraph
from bot.domain.text.unseen import make_harmless
from bot.ports.chat import ChatPlace
from connectors.chat.telegram.keyboard import (
    Answered,
    Asks,
    ask,
    build_keys,
    fit_label,
    read_data,
    read_note,
    write_note,
)
from connectors.chat.telegram.markup import LIMIT, MAX_ENTITIES, Piece, read_incident, render, units
from connectors.chat.telegram.reference import Reference, read_reference

KEY = b"a secret"
PLACE = ChatPlace(name="telegram")


def message(*blocks: Paragraph | Code | Fields | Link, headline: str = "checkout is failing") -> Message:
    return Message(incident="INC-7", slot="status", headline=headline, blocks=blocks)


def styled(piece: Piece, kind: str) -> list[str]:
    return [piece.text[span.begin : span.end] for span in piece.spans if span.kind == kind]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=3000), st.integers(1, 4))
def test_no_character_is_lost_and_every_piece_fits(text: str, times: int) -> None:
    pieces = render(message(Paragraph(text=text * times)), PLACE)
    assert all(units(piece.text) <= LIMIT for piece in pieces)
    assert all(0 <= s.begin < s.end <= len(piece.text) for piece in pieces for s in piece.spans)
    assert all(len(piece.spans) <= MAX_ENTITIES for piece in pieces)
    bodies = [pieces[0].text, *(piece.text.partition("\n")[2] for piece in pieces[1:])]
    assert make_harmless(text * times).split() == "".join(bodies).split()[5:] or not text.split()


def test_wide_characters_count_twice() -> None:
    pieces = render(message(Paragraph(text="😀" * 5000)), PLACE)
    assert sum(piece.text.count("😀") for piece in pieces) == 5000
    assert all(units(piece.text) <= LIMIT for piece in pieces)


def test_what_telegram_would_make_live_is_code() -> None:
    text = "ask @ana, see evil.example/x or http://a, mail a@b.de, #tag $USD /resolve 10.0.0.1 but 4.5 % and a/b stay"
    (piece,) = render(message(Paragraph(text=text)), PLACE)
    assert styled(piece, "code") == [
        "@ana,",
        "evil.example/x",
        "http://a,",
        "a@b.de,",
        "#tag",
        "$USD",
        "/resolve",
        "10.0.0.1",
    ]


def test_more_live_words_than_entities_are_one_block_of_code() -> None:
    (piece,) = render(message(Paragraph(text="x @a " * 300)), PLACE)
    assert [span.kind for span in piece.spans] == ["pre"]
    assert styled(piece, "pre") == [piece.text]


def test_every_piece_begins_with_its_incident() -> None:
    pieces = render(message(Paragraph(text="word " * 3000)), PLACE)
    assert len(pieces) > 3
    assert {read_incident(piece.text) for piece in pieces} == {"INC-7"}


def test_what_has_a_sign_of_its_own_gets_no_second_one() -> None:
    plan = Bullets(items=("✓ Read the log", "→ Read the cart", "· Propose a fix", "playbook: http-5xx"))
    (piece,) = render(message(plan), PLACE)
    assert piece.text.splitlines()[-4:] == [*plan.items[:3], "• playbook: http-5xx"]


def test_a_link_needs_a_plain_web_address() -> None:
    urls = [
        "https://runbooks.example/x",
        "javascript:alert(1)",
        "https://u:p@h.example",
        "https://a b",
        "tg://user?id=1",
    ]
    linked = [styled(render(message(Link(label="Runbook", url=url)), PLACE)[0], "text_link") for url in urls]
    assert linked == [["Runbook"], [], [], [], []]


def test_a_press_says_whether_it_asks_first() -> None:
    why = Form(title="Reject", fields=(FormField(name="reason", label="Why?", choices=("Wrong", "Risky")),))
    sure = Form(title="Merge", fields=(FormField(name="confirm", label="Sure?", choices=("Yes",)),))
    buttons = [Button(id="ack:INC-7", label="Take", key="a")]
    buttons += [Button(id=f"reject:INC-{n}", label="No", key="n", form=form) for n, form in enumerate((why, sure))]
    plain, asks, confirms = (read_data(key.data, {}) for key in build_keys(buttons))
    assert plain == Answered(button="ack:INC-7", values={})
    assert asks == Asks(button="reject:INC-0", confirms=False)
    assert confirms == Asks(button="reject:INC-1", confirms=True)
    keys = ask("reject:INC-0", "No", why, confirms=False).keys
    labels = {key.data: key.label for key in keys}
    assert [read_data(key.data, labels) for key in keys] == [
        Answered(button="reject:INC-0", values={"reason": choice}) for choice in ("Wrong", "Risky")
    ]


def test_the_longest_button_still_fits_and_can_be_answered() -> None:
    longest = "a" * 64
    form = Form(title="Why", fields=(FormField(name="reason", label="Why?", choices=("One", "Two")),))
    (key,) = build_keys([Button(id=longest, label="x" * 300, key="x", form=form)])
    assert len(key.data.encode()) <= 64
    assert units(key.label) <= 64
    question = ask("b" * 62, "No", form, confirms=False)
    assert question.keys == ()
    assert read_note("Why?\n" + write_note(question.note, KEY), KEY) == ("reason", "b" * 62)


def test_a_question_that_we_did_not_seal_is_none() -> None:
    note = write_note("reason|approve:INC-7", KEY)
    assert read_note(note, b"another") is None
    assert read_note(note.replace("INC-7", "INC-8"), KEY) is None
    assert read_note("reason|approve:INC-7", KEY) is None


def test_hostile_callback_data_means_nothing() -> None:
    assert [read_data(data, {}) for data in ("", "a b", ">1reason|ack:INC-7", "?" + "é", "!")] == [None] * 4 + [
        Answered(button="!", values={})
    ]


def test_a_label_is_one_visible_line() -> None:
    assert fit_label("Take\u202e it\nnow") == "Take<U+202E> it now"


def test_a_reference_is_read_as_it_was_written() -> None:
    ref = Reference(topic=5, parts=[10, 11], files=[(12, "0f0f0f0f"), (13, "ffffffff")])
    assert read_reference(ref.write()) == ref
