"""The terminal is given back, text is harmless and fits, and a dead terminal is said to be dead."""

import asyncio
import io
import os
import pty
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.chat import Bullets, Button, Form, FormField, Message, Reply
from bot.domain.text.unseen import make_harmless
from bot.errors import Unavailable
from bot.ports import hand
from connectors.chat.console import Connector, Settings
from connectors.chat.console.paint import Ink, paint_message
from connectors.chat.console.plain import break_hard, fit, measure, wrap_words
from connectors.chat.console.terminal import Writer, raw_keys, read_keys

TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)


@given(TEXTS)
def test_harmless_text_is_printable(text: str) -> None:
    assert all(character == "\n" or character.isprintable() for character in make_harmless(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("a\tb", "a    b"),
        ("\u202eevil", "<U+202E>evil"),
        ("\x9b31m", "<U+009B>31m"),
        ("a\u00a0b\u3000c", "a b c"),
        ("zero\u200bwidth", "zero<U+200B>width"),
        ("naïve 宽 👍🏽", "naïve 宽 👍🏽"),
    ],
)
def test_what_could_act_is_written_out(text: str, shown: str) -> None:
    assert make_harmless(text) == shown


@given(TEXTS.map(make_harmless), st.integers(2, 60))
def test_wrapping_fits_and_keeps_every_visible_character(text: str, width: int) -> None:
    lines = wrap_words(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(measure(line) <= width for line in lines if len(line) > 1)
    assert "".join(break_hard(text.replace("\n", ""), width)) == text.replace("\n", "")
    assert measure(fit(text, width)) <= width + 1


def test_deep_indentation_survives_wrapping() -> None:
    assert wrap_words("  two spaces", 20) == ["  two spaces"]
    assert wrap_words("", 20) == [""]


def test_without_colour_nothing_is_styled() -> None:
    message = Message(incident="INC-1", slot="card", headline="x", blocks=(Bullets(items=("a",)),))
    assert "\x1b" not in "".join(paint_message(message, 40, Ink(colour=False)))
    assert "\x1b[" in "".join(paint_message(message, 40, Ink(colour=True)))


def _fail_in_raw_mode(follower: int, error: type[BaseException]) -> None:
    assert not termios.tcgetattr(follower)[3] & termios.ICANON
    raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, asyncio.CancelledError])
def test_the_terminal_is_given_back_whatever_happens(error: type[BaseException]) -> None:
    leader, follower = pty.openpty()
    try:
        before = termios.tcgetattr(follower)
        with pytest.raises(error), raw_keys(follower):
            _fail_in_raw_mode(follower, error)
        assert termios.tcgetattr(follower) == before
    finally:
        os.close(leader)
        os.close(follower)


async def test_the_loop_goes_on_between_keys_and_ends_with_the_terminal() -> None:
    leader, follower = pty.openpty()
    keys = read_keys(follower)
    try:
        async with asyncio.timeout(5):
            for key in ("a", "y"):
                following = asyncio.ensure_future(anext(keys))
                await asyncio.sleep(0)  # it is listening now; with the bug the loop would stand still from here
                os.write(leader, key.encode())
                assert await following == key
    finally:
        await keys.aclose()
        os.close(leader)
        os.close(follower)


async def test_a_dead_terminal_is_unavailable() -> None:
    out = io.StringIO()
    connector = Connector(Settings(person="ana"), out=out)
    assert (await connector.check()).ok
    out.close()
    message = Message(incident="INC-1", slot="card", headline="x")
    with pytest.raises(Unavailable, match="terminal is gone"):
        await connector.post("console", message, "k", None)
    assert not (await connector.check()).ok


async def test_a_post_that_failed_is_posted_at_the_next_try() -> None:
    class Broken(io.StringIO):
        faults = 1

        def write(self, text: str) -> int:
            if self.faults:
                self.faults -= 1
                raise OSError("no room")
            return super().write(text)

    out = Broken()
    connector = Connector(Settings(person="ana"), out=out)
    message = Message(incident="INC-1", slot="card", headline="hello")
    with pytest.raises(Unavailable):
        await connector.post("console", message, "k", None)
    assert await connector.post("console", message, "k", None) == "k"
    assert out.getvalue().count("hello") == 1


async def test_a_narrow_encoding_loses_marks_not_messages() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    await Writer(out).write("✓ done\n")
    assert raw.getvalue() == b"? done\n"


async def test_plain_output_asks_the_questions_of_a_form() -> None:
    form = Form(title="Reject", fields=(FormField(name="why", label="Why?", choices=("Wrong", "Late")),))
    button = Button(id="reject:INC-1:0123456789ab", label="Reject", key="n", form=form)

    async def lines():  # type: ignore[no-untyped-def]  # a list of lines
        for line in ("n\n", "2\n"):
            yield line

    class Inbox:
        async def receive(self, event: object) -> Reply:
            return Reply(text=f"why: {event.values}")  # type: ignore[attr-defined]  # a press

    out = io.StringIO()
    connector = Connector(Settings(person="ana"), out=out, keys=lines(), width=lambda: 60)
    await connector.post("console", Message(incident="INC-1", slot="card", headline="x", buttons=(button,)), "k", None)
    task = asyncio.create_task(connector.run(Inbox()))
    async with asyncio.timeout(5):
        while "why:" not in out.getvalue():
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "INC-1 Reject: Why?" in out.getvalue()
    assert "[1] Wrong  [2] Late" in out.getvalue()
    assert "why: {'why': 'Late'}" in out.getvalue()


async def test_a_stop_while_a_text_gets_out_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = hand._settle
    writing = asyncio.create_task(Writer(io.StringIO()).write("x"))

    def settle_and_stop(done: asyncio.Future[None], fault: Exception | None) -> None:
        settle(done, fault)
        writing.cancel()

    monkeypatch.setattr(hand, "_settle", settle_and_stop)
    with pytest.raises(asyncio.CancelledError):
        await writing
