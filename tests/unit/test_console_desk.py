"""What keys mean in the console: focus, forms, typing, and presses that were not meant."""

from dataclasses import replace

import pytest

from bot.domain.chat import Button, File, Form, FormField, Message
from connectors.chat.console.desk import GUARD_SECONDS, Action, Desk, Noticed, Pressed, Shown, Spoke

REASON = FormField(name="reason", label="Why?", choices=("Wrong cause", "Too risky"))
NOTE = FormField(name="note", label="Anything else?", required=False)
REJECT = Button(id="reject", label="Reject", key="n", form=Form(title="Reject", fields=(REASON, NOTE)))


def message(incident: str, *buttons: Button, slot: str = "card") -> Message:
    return Message(incident=incident, slot=slot, headline=f"{incident} fails", buttons=buttons)


def ack(incident: str) -> Button:
    return Button(id=f"ack:{incident}", label="Acknowledge", key="a")


def feed(desk: Desk, *keys: str, at: float = 1000.0) -> list[Action]:
    return [action for key in keys if (action := desk.feed(key, at)) is not None]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put("1", message("INC-1", ack("INC-1")), 0.0)
    return desk


def test_a_key_presses_the_button_of_the_incident_in_focus(desk: Desk) -> None:
    assert feed(desk, "a") == [Pressed(button=ack("INC-1"), incident="INC-1")]


def test_the_newest_incident_takes_the_focus_but_not_a_key_already_on_its_way(desk: Desk) -> None:
    desk.put("2", message("INC-2", ack("INC-2")), 100.0)
    (said,) = feed(desk, "a", at=100.0 + GUARD_SECONDS / 2)
    assert isinstance(said, Noticed)
    assert "INC-2" in said.text
    assert feed(desk, "a", at=100.0 + GUARD_SECONDS) == [Pressed(button=ack("INC-2"), incident="INC-2")]


def test_a_focus_that_falls_to_another_incident_is_guarded_too(desk: Desk) -> None:
    desk.put("2", message("INC-2", ack("INC-2")), 0.0)
    desk.put("2", message("INC-2"), 100.0)
    assert desk.focus == "INC-1"
    assert isinstance(feed(desk, "a", at=100.1)[0], Noticed)


def test_a_chosen_incident_keeps_the_focus(desk: Desk) -> None:
    desk.put("2", message("INC-2", ack("INC-2")), 0.0)
    assert feed(desk, "1") == [Noticed(text="Keys act on INC-1 now.")]
    desk.put("3", message("INC-3", ack("INC-3")), 999.9)
    assert feed(desk, "a") == [Pressed(button=ack("INC-1"), incident="INC-1")]
    assert feed(desk, "\t") == [Noticed(text="Keys act on INC-2 now.")]
    assert feed(desk, "9") == [Noticed(text="There is no incident number 9.")]


def test_no_focus_moves_while_a_person_types_or_answers(desk: Desk) -> None:
    feed(desk, ":", "h", "i")
    desk.put("2", message("INC-2", ack("INC-2")), 1000.0)
    assert feed(desk, "\r") == [Spoke(text="hi", incident="INC-1")]


def test_one_button_on_two_messages_stands_there_once(desk: Desk) -> None:
    desk.put("2", message("INC-1", ack("INC-1"), slot="page:0"), 0.0)
    assert list(desk.keys()) == ["a"]


def test_a_key_taken_by_a_newer_button_becomes_a_capital(desk: Desk) -> None:
    newer = replace(ack("INC-1"), id="approve", label="Approve")
    desk.put("2", message("INC-1", newer, slot="patch:1"), 0.0)
    assert {key: button.id for key, button in desk.keys().items()} == {"a": "approve", "A": "ack:INC-1"}


def test_keys_of_the_console_itself_are_never_given_away(desk: Desk) -> None:
    taken = tuple(Button(id=key, label="x", key=key) for key in ("v", "1", ":", "\x1b", "?", ""))
    desk.put("1", message("INC-1", *taken), 0.0)
    given = desk.keys()
    assert len(given) == len(taken)
    assert all(key.isalpha() and key != "v" for key in given)


def test_a_form_is_asked_field_by_field(desk: Desk) -> None:
    desk.put("1", message("INC-1", REJECT), 0.0)
    (said, done) = feed(desk, "n", "7", "2", "o", "k", "x", "\x7f", "\r")
    assert said == Noticed(text="Press 1 to 2, or Esc to leave it.")
    assert done == Pressed(button=REJECT, incident="INC-1", values={"reason": "Too risky", "note": "ok"})


def test_a_form_can_be_left_and_an_optional_field_skipped(desk: Desk) -> None:
    desk.put("1", message("INC-1", REJECT), 0.0)
    assert feed(desk, "n", "\x1b") == [Noticed(text="Left. Nothing was sent.")]
    assert feed(desk, "n", "1", "\r") == [
        Pressed(button=REJECT, incident="INC-1", values={"reason": "Wrong cause", "note": ""})
    ]


def test_a_required_answer_cannot_be_empty(desk: Desk) -> None:
    form = Form(title="Why", fields=(FormField(name="why", label="Why?"),))
    desk.put("1", message("INC-1", replace(REJECT, form=form)), 0.0)
    assert isinstance(feed(desk, "n", "\r")[0], Noticed)
    (done,) = feed(desk, "b", "\r")
    assert isinstance(done, Pressed)
    assert done.values == {"why": "b"}


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("/incident list\n", Spoke(text="/incident list", incident="INC-1")),
        (":what is wrong?\r", Spoke(text="what is wrong?", incident="INC-1")),
        ("what is wrong?\n", Spoke(text="what is wrong?", incident="INC-1")),
        ("a\n", Pressed(button=ack("INC-1"), incident="INC-1")),
    ],
)
def test_whole_lines_are_keys_or_words(desk: Desk, text: str, action: Action) -> None:
    assert feed(desk, text) == [action]


def test_pasted_text_presses_nothing(desk: Desk) -> None:
    (said,) = feed(desk, "ayr")
    assert isinstance(said, Noticed)
    assert "presses nothing" in said.text
    assert feed(desk, "/inc", "ident", " list\r") == [Spoke(text="/incident list", incident="INC-1")]


def test_leaving_the_command_line_sends_nothing(desk: Desk) -> None:
    assert feed(desk, "/", "x", "\x1b") == [Noticed(text="Left. Nothing was sent.")]
    assert feed(desk, ":", "\r") == []


def test_files_are_shown_on_request(desk: Desk) -> None:
    assert feed(desk, "v") == [Noticed(text="There is no file to show.")]
    file = File(name="a.diff", media_type="text/x-diff", text="+a")
    desk.put("2", replace(message("INC-1", slot="patch:1"), files=(file,)), 0.0)
    assert feed(desk, "v") == [Shown(files=(file,))]


def test_unknown_keys_say_so_and_an_empty_desk_is_calm() -> None:
    desk = Desk()
    assert isinstance(feed(desk, "a")[0], Noticed)
    assert feed(desk, "1") == [Noticed(text="No incident waits for anybody.")]
    assert feed(desk, "\x00", "\x1b", "\r") == []


def test_the_desk_forgets_what_is_long_done(desk: Desk) -> None:
    for number in range(2000):
        desk.put(f"n{number}", message(f"INC-{number + 10}"), 0.0)
    assert desk.get("n0") is None
    assert desk.get("n1999") is not None
    assert desk.incidents() == ["INC-1"]
