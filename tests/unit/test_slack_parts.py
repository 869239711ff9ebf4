"""What Slack's connector decides by itself: its proxy, what a button carries, and what a person typed."""

import pytest

from bot.domain.chat import Button, Form, FormField
from bot.errors import Rejected
from connectors.chat.slack.api import find_proxy, make_app, make_client, make_socket
from connectors.chat.slack.blocks import read_value, write_value
from connectors.chat.slack.events import unescape
from connectors.chat.slack.settings import Settings


def settings(**changes: object) -> Settings:
    values = {"chat": "C0123", "bot_token": "xoxb-1", "app_token": "xapp-1", **changes}
    return Settings.model_validate(values)


@pytest.mark.parametrize(
    ("without", "own", "expected"),
    [("", "", "http://all.example:1"), ("slack.com", "", None), ("slack.com", "http://own.example:2", "own")],
)
async def test_calls_and_the_socket_go_through_the_proxy_that_is_meant_for_slack(
    monkeypatch: pytest.MonkeyPatch, without: str, own: str, expected: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://all.example:1")
    monkeypatch.setenv("NO_PROXY", without)
    chosen = settings(proxy=own)
    wanted = own if expected == "own" else expected
    client = make_client(chosen)
    socket = make_socket(make_app(client, "xoxb-1"), chosen, "xapp-1")
    try:
        assert (find_proxy(chosen), client.proxy, socket.client.proxy) == (wanted, wanted, wanted)
    finally:
        await socket.close_async()


def test_a_ca_file_of_no_use_is_refused() -> None:
    with pytest.raises(Rejected, match="CA file"):
        make_client(settings(ca_file="/nowhere.pem"))


@pytest.mark.parametrize("changes", [{"bot_token": "xapp-1"}, {"app_token": "xoxb-1"}, {"chat": "general"}])
def test_a_token_or_an_id_in_the_wrong_place_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"begins with|should match"):
        settings(**changes)


@pytest.mark.parametrize("count", [3, 100])
def test_a_button_carries_its_form_within_what_slack_takes(count: int) -> None:
    field = FormField(name="reason", label="Why?", choices=tuple(f"choice {number:030d}" for number in range(count)))
    button = Button(id="reject:INC-7", label="Reject", key="r", form=Form(title="Reject", fields=(field,)))
    value = write_value(button)
    found, form = read_value(value)
    assert len(value) <= 2000
    assert (found, form and [one.name for one in form.fields]) == ("reject:INC-7", ["reason"])


@pytest.mark.parametrize("value", ["{", "{}", '{"id": 1, "title": "x", "fields": [[1]]}', '{"fields": 7}'])
def test_a_button_that_is_not_ours_is_refused(value: str) -> None:
    with pytest.raises(Rejected):
        read_value(value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("<@U0BOT> why?", "why?"),
        ("is &lt;a&gt; &amp;lt; b", "is <a> &lt; b"),
        ("see <https://x.example/a|x.example>", "see https://x.example/a"),
    ],
)
def test_what_a_person_typed_is_read_as_they_meant_it(typed: str, meant: str) -> None:
    assert unescape(typed) == meant
