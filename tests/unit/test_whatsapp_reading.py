"""WhatsApp's calls as others recorded them, and what is none."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.chat.whatsapp.reading import Event, Fate, Tapped, Typed, parse, read
from tests.whatsapp_server import SPECS

PHONE = "1122334455667"
RECORDED = SPECS / "pywa-updates"


def recorded(file: str, name: str) -> list[Event]:
    path: Path = RECORDED / f"{file}.json"
    if not path.exists():
        pytest.skip("the recorded calls are not beside this checkout")
    call = json.loads(path.read_text())[name]
    value = call["entry"][0]["changes"][0]["value"]
    times = [int(one["timestamp"]) for one in value.get("messages", value.get("statuses", []))]
    return read(call, PHONE, datetime.fromtimestamp(times[0], UTC) + timedelta(minutes=1))


def test_what_people_tap():
    (pressed,) = recorded("callback_button", "button")
    (quick,) = recorded("callback_button", "quick_reply")
    (bare,) = recorded("callback_button", "quick_reply_without_context")
    (row,) = recorded("callback_selection", "description")
    assert all(isinstance(event, Tapped) for event in (pressed, quick, bare, row))
    assert {(event.choice, event.label) for event in (pressed, quick, bare, row)} == {("callback_data", "title")}
    assert (pressed.under, quick.under, bare.under) == ("wamid.xyzxyz", "wamid.xyzxyz==", "")


def test_what_people_write_and_send_besides():
    (said,) = recorded("message", "text")
    assert isinstance(said, Typed)
    assert (said.number, said.text, said.under) == ("972987654321", "Body Text", "")
    (pictured,) = recorded("message", "image")
    assert isinstance(pictured, Typed)
    assert (pictured.text, [(file.media_type, file.ref) for file in pictured.files]) == (
        "",
        [("image/jpeg", "65463453")],
    )


def test_what_became_of_our_messages():
    (sent,), (read_,) = recorded("message_status", "sent"), recorded("message_status", "read")
    (failed,) = recorded("message_status", "failed")
    assert isinstance(sent, Fate)
    assert (sent.status, read_.status, failed.status) == ("sent", "read", "failed")
    assert failed.code > 0


@pytest.mark.parametrize("file", ["account_update", "call_connect", "deleted_message", "edited_message", "system"])
def test_whatever_else_whatsapp_says_is_left_out(file):
    path = RECORDED / f"{file}.json"
    if not path.exists():
        pytest.skip("the recorded calls are not beside this checkout")
    for call in json.loads(path.read_text()).values():
        assert read(parse(json.dumps(call).encode()), PHONE, datetime.now(UTC)) == []


@pytest.mark.parametrize("value", [None, 7, "x", [], {"messages": 7}, {"messages": [[]]}, {"statuses": {"a": 1}}])
def test_what_is_malformed_is_left_out(value):
    call = {"entry": [{"changes": [{"field": "messages", "value": value}, None, 7]}, "x", None]}
    assert read(call, PHONE, datetime.now(UTC)) == []
    if isinstance(value, dict):
        value |= {"metadata": {"phone_number_id": PHONE}}
        assert read(call, PHONE, datetime.now(UTC)) == []
