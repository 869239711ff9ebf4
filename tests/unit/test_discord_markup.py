"""Discord's text: nothing lost, nothing live, every piece within its limits."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.chat import Bullets, Button, Code, Fields, Form, FormField, Link, Message, Paragraph
from bot.domain.text.unseen import make_harmless
from bot.errors import Rejected
from connectors.chat.discord.commands import are_same, build_commands, suggest, write_text
from connectors.chat.discord.components import build_modal, build_rows, fit_line, read_button, read_modal, read_values
from connectors.chat.discord.gateway import Ledger
from connectors.chat.discord.markup import LIMIT, TITLE, escape, read_incident, render, render_ring, units
from connectors.chat.discord.reference import Reference, read_reference

TEXT = st.text(
    alphabet=st.one_of(st.sampled_from("\\*_~`|>#-+[]()<@:./\n 1a"), st.characters(exclude_categories=["Cs"]))
)


def message(*blocks: Paragraph | Bullets | Code | Fields | Link, headline: str = "checkout is failing") -> Message:
    return Message(incident="INC-7", slot="status", headline=headline, blocks=blocks)


def unescape(text: str) -> str:
    return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", text)


@settings(max_examples=80, deadline=None)
@given(TEXT, st.integers(1, 400))
def test_no_character_is_lost_and_every_piece_fits(text: str, times: int) -> None:
    pieces = render(message(Paragraph(text=text * times)))
    assert all(units(piece.title) <= TITLE and units(piece.text) <= LIMIT for piece in pieces)
    shown = unescape("".join(piece.text for piece in pieces))
    assert "".join(shown.split()) == "".join(make_harmless(text * times).split())


@settings(max_examples=80, deadline=None)
@given(TEXT, st.integers(1, 300))
def test_code_is_shown_as_it_is_but_for_what_would_end_it(text: str, times: int) -> None:
    pieces = render(message(Code(text=text * times, language="diff")))
    bodies = [body for piece in pieces for body in re.findall(r"```diff\n(.*?)\n```", piece.text, re.DOTALL)]
    wanted = re.sub("`{2,}", lambda run: "ˋ" * len(run.group()), make_harmless(text * times))
    assert "".join("".join(bodies).split()) == "".join(wanted.split())


@settings(max_examples=80, deadline=None)
@given(TEXT)
def test_escaped_text_reads_as_before(text: str) -> None:
    assert unescape(escape(text)) == text


def test_a_cut_tears_no_escape() -> None:
    for lead in range(3):
        pieces = render(message(Paragraph(text="a" * lead + "*" * 6000)))
        assert all(re.fullmatch(r"a*(?:\\\*)*", piece.text) for piece in pieces)
        assert sum(piece.text.count("*") for piece in pieces) == 6000


def test_later_pieces_say_whose_they_are() -> None:
    pieces = render(message(Paragraph(text="word " * 2000)))
    assert [unescape(piece.title) for piece in pieces[1:]] == [
        f"INC-7 · {number}/{len(pieces)}" for number in range(2, len(pieces) + 1)
    ]


def test_a_long_headline_goes_on_below() -> None:
    (piece,) = render(message(headline="H" * 300))
    assert units(piece.title) <= TITLE
    assert (piece.title + piece.text).count("H") == 300


def test_links_lead_to_web_addresses_alone() -> None:
    (piece,) = render(
        message(Link(label="Run [it]", url="https://x.example/a(b)"), Link(label="No", url="javascript:x"))
    )
    assert "[Run \\[it\\]](<https://x.example/a%28b%29>)" in piece.text
    assert "No: javascript:x" in piece.text


def test_only_people_with_an_account_ring() -> None:
    page = Message(incident="INC-7", slot="page:0", headline="@everyone", rings=("ana", "ben", "eve"))
    assert render_ring(page, {"ana": "7", "eve": "everyone"}) == "<@7> INC-7 · \\@everyone"
    assert render_ring(message(), {"ana": "7"}) == ""


@pytest.mark.parametrize(
    ("text", "incident"), [("INC-7 · checkout", "INC-7"), ("general", None), ("INC-7x", None), ("INC-77", "INC-77")]
)
def test_a_thread_is_read_by_its_name(text: str, incident: str | None) -> None:
    assert read_incident(text) == incident


def test_a_reference_is_read_as_it_was_written() -> None:
    ref = Reference(channel=5, thread=6, parts=[6, 7], files="0123456789abcdef")
    assert read_reference(ref.write()) == ref
    with pytest.raises(Rejected):
        read_reference("t0m5")


def test_buttons_stand_five_in_a_row_and_ask_where_they_have_a_form() -> None:
    sure = Form(title="Approve?", fields=(FormField(name="sure", label="Sure?", choices=("Yes",)),))
    why = Form(title="Reject", fields=(FormField(name="reason", label="Why?"),))
    buttons = [Button(id=f"a:{number}", label="x", key="a") for number in range(4)]
    buttons += [Button(id="b", label="x" * 100, key="b", form=sure), Button(id="c", label="", key="c", form=why)]
    rows = build_rows(buttons)
    assert [len(row["components"]) for row in rows] == [5, 1]
    assert [key["custom_id"] for row in rows for key in row["components"]][4:] == ["!b", "?c"]
    assert read_button("!b") == ("!", "b")
    assert read_button("") is None
    assert read_modal("b") is None
    modal = build_modal("!", "b", "Approve", sure)
    assert read_modal(modal["custom_id"]) == "b"
    assert modal["components"][0]["component"]["options"][0]["default"] is True


def test_a_filled_in_form_is_read_and_a_forged_one_is_not() -> None:
    typed = {"type": 18, "component": {"custom_id": "reason", "value": "x" * 5000}}
    assert read_values([typed]) == {"reason": "x" * 4000}
    with pytest.raises(ValueError, match="no field"):
        read_values([{"component": {"custom_id": "a b", "value": "x"}}])


def test_labels_fit_and_hide_nothing() -> None:
    assert fit_line("a\u202eb\nc", 80) == "a<U+202E>b c"
    assert units(fit_line("😀" * 100, 45)) <= 45


def test_commands_are_the_same_whatever_discord_adds() -> None:
    there = [{**command, "id": "1", "version": "2", "nsfw": False} for command in reversed(build_commands())]
    assert are_same(there, build_commands())
    assert not are_same(there[1:], build_commands())


def test_suggestions_follow_what_was_typed() -> None:
    assert suggest("incident", "action", "ESC", {}) == [{"name": "escalate", "value": "escalate"}]
    assert [one["value"] for one in suggest("ci", "incident", "", {"INC-2": "INC-2 disk", "INC-1": "INC-1"})] == [
        "INC-2",
        "INC-1",
    ]
    assert suggest("unknown", "action", "", {}) == []


def test_a_command_is_written_as_elsewhere() -> None:
    options = {"words": "too\nrisky", "incident": "INC-7", "action": "reject"}
    assert write_text("patch", options) == "/patch reject INC-7 too risky"
    assert write_text("ask", {"words": "why?"}) == "why?"


def test_an_event_counts_when_all_before_it_are_dealt_with() -> None:
    ledger = Ledger(4)
    numbers = []
    for newest in (5, 6, 7):
        ledger.newest = newest
        numbers.append(ledger.begin())
    ledger.end(numbers[1])
    assert ledger.safe == 4
    ledger.end(numbers[0])
    assert ledger.safe == 6
    ledger.end(numbers[2])
    assert ledger.safe == 7
