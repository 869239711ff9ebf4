"""Button ids: what is written is read back, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.presses import MAX_BYTES, SILENCE_CHOICES, ButtonPress, Verb, encode_press, parse_press
from bot.errors import Reason, Refused

INCIDENTS = st.builds("INC-{}".format, st.integers(min_value=1, max_value=10**10 - 1))
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


DECISIONS = [verb for verb in Verb if verb.needs_digest and verb not in {Verb.AGAIN, Verb.LOOK}]


@given(incident=INCIDENTS, digest=DIGESTS, verb=st.sampled_from(DECISIONS))
def test_patch_buttons_carry_the_digest(incident: str, digest: str, verb: Verb) -> None:
    text = encode_press(verb, incident, digest=digest)
    assert len(text.encode("ascii")) <= MAX_BYTES
    assert parse_press(text) == ButtonPress(verb=verb, incident=incident, digest=digest[:12])


@given(incident=INCIDENTS, arg=st.sampled_from(SILENCE_CHOICES))
def test_silence_carries_how_long(incident: str, arg: str) -> None:
    text = encode_press(Verb.SILENCE, incident, arg=arg)
    assert parse_press(text) == ButtonPress(verb=Verb.SILENCE, incident=incident, arg=arg)


def test_escalation_may_name_its_level() -> None:
    assert parse_press("escalate:INC-1") == ButtonPress(verb=Verb.ESCALATE, incident="INC-1")
    assert parse_press(encode_press(Verb.ESCALATE, "INC-1", arg="2")).arg == "2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ack",
        "ack:",
        "ack:INC-1:",
        "ack:INC-1:1h",
        "ACK:INC-1",
        " ack:INC-1",
        "ack:INC-1\n",
        "ack:INC-١",
        "ack:../../x",
        "ack:INC-" + "1" * 80,
        "approve:INC-1",
        "approve:INC-1:abc",
        "approve:INC-1:ABCDEF012345",
        "approve:INC-1:abcdef012345:x",
        "silence:INC-1",
        "silence:INC-1:2h",
        "silence:INC-1:1h:4h",
        "escalate:INC-1:x",
        "escalate:INC-1:1:1",
        "again:INC-1:abcdef012345",
        "again:INC-1:abcdef012345:ci0",
        "look:INC-1:abcdef012345:push1",
        "merge:INC-1",
        "revert:INC-1:abcdef012345:ci1",
        "drop:INC-1",
        "needs_digest:INC-1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_press(text)
    assert caught.value.reason is Reason.BAD_INPUT
    assert "Nothing was done" in str(caught.value)


@given(st.text(max_size=80))
def test_parsing_never_breaks(text: str) -> None:
    try:
        press = parse_press(text)
    except Refused:
        return
    assert encode_press(press.verb, press.incident, digest=press.digest, arg=press.arg) == text


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(Refused):
        encode_press(Verb.APPROVE, "INC-1")
    with pytest.raises(Refused):
        encode_press(Verb.ACK, "INC-1:x")
