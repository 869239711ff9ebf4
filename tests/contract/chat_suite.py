"""What every chat connector must do, whatever its service: subclass `ChatContract` and give it a rig.

    class TestChatWeb(ChatContract):
        @pytest.fixture
        async def rig(self, inbox): ...      # yields a ChatRig that already listens: presses reach `inbox`

        @pytest.fixture
        def idle(self): ...                  # one more connector of the kind, on which `run` was not called yet

A rig is the connector together with the far side of its service in the test's hands.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from bot.domain.chat import (
    Bullets,
    Button,
    Code,
    Fields,
    File,
    Form,
    FormField,
    Link,
    Message,
    Paragraph,
    Picture,
    Press,
    Reply,
    Said,
    Style,
    Tone,
    Undelivered,
)
from bot.errors import Reason, Rejected
from bot.ports.chat import ChatConnector
from bot.render.wish import changes_button
from tests.images import PNG

ACK = Button(id="ack:INC-7", label="Acknowledge", key="a", style=Style.PRIMARY)
ESCALATE = Button(id="escalate:INC-7", label="Escalate", key="e")
REJECT = Button(
    id="reject:INC-7:0123456789ab",
    label="Reject",
    key="r",
    style=Style.DANGER,
    form=Form(
        title="Reject this patch",
        fields=(FormField(name="reason", label="Why?", choices=("Wrong cause", "Too risky", "Other")),),
    ),
)
HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> &lt;b&gt; <!channel> <!everyone> <@U123> <#C1> "
    "<https://evil.example|click> [click](https://evil.example) *bold* _it_ `tick` ```fence``` ~~gone~~ "
    "@everyone @here @ana </pre></code> \x1b[2J\x1b]0;title\x07\x1b]8;;https://evil.example\x07x\x9b31m \x00\x08\r "
    "\u202eright-to-left\u2066 \u200bzero\u200d\ufeff"
)


class RecordingInbox:
    """An inbox that keeps what it was handed and answers `reply`."""

    def __init__(self) -> None:
        self.events: list[Press | Said] = []
        self.missed: list[Undelivered] = []
        self.reply = Reply(text="Noted.")
        self.summary: Message | None = None
        self.standing: dict[str, Message] = {}
        self._arrived = asyncio.Condition()

    async def receive(self, event: Press | Said) -> Reply:
        async with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()
        return self.reply

    async def look(self, channel: str, account: str) -> Message | Reply:
        return self.summary or self.reply

    async def show(self, channel: str, account: str, incident: str) -> Sequence[Message] | Reply:
        found = [message for message in self.standing.values() if message.incident == incident]
        return sorted(found, key=lambda message: message.in_thread) or self.reply

    async def report(self, missed: Undelivered) -> None:
        self.missed.append(missed)

    async def wait(self, count: int) -> list[Press | Said]:
        """Return the events once `count` have arrived; fails after five seconds."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.events) >= count)
        return self.events

    async def wait_presses(self, count: int) -> list[Press]:
        return [event for event in await self.wait(count) if isinstance(event, Press)]


class ChatRig(ABC):
    """A connector that listens, and what a reader of its service sees and does."""

    connector: ChatConnector
    channel: str
    account: str
    #: whether the service can deliver one event twice (a terminal cannot)
    repeats_events: bool = True
    #: whether people can type to the bot there
    speaks: bool = True
    #: whether what is about no incident has a place there
    shows_apart: bool = True
    #: whether others see what stands there
    is_shared: bool = True

    @abstractmethod
    async def shown(self, ref: str) -> str:
        """Return all text that a reader sees of the message now, its continuations included, without markup."""

    @abstractmethod
    async def file(self, ref: str, name: str) -> str:
        """Return the text of a message's file as the reader gets it."""

    async def picture(self, ref: str, name: str) -> tuple[bytes, str]:
        """Return a message's picture as the reader gets it, and what the service says in words beside or instead."""
        pytest.fail("the subclass has to give this")

    @abstractmethod
    async def buttons(self, ref: str) -> Sequence[str]:
        """Return the labels of the buttons that can be pressed on the message now."""

    @abstractmethod
    async def live(self, ref: str) -> Sequence[str]:
        """Return everything in the message's delivered form that is not plain text though its text asked for it:
        mentions that notify, markup, links, scripts, terminal control characters, bidi overrides."""

    @abstractmethod
    async def copies(self, text: str) -> int:
        """Return how many messages hold this text now."""

    @abstractmethod
    async def is_under(self, ref: str, card: str) -> bool:
        """Return whether the message stands in the thread of the card."""

    @abstractmethod
    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        """Press a button as a person would, and fill in its form."""

    @abstractmethod
    async def told(self) -> str:
        """Return what the person was answered since the rig was made."""

    async def pinned(self) -> int:
        """Return how many messages are pinned there."""
        pytest.fail("the subclass has to give this")

    async def remove(self, ref: str) -> None:
        """Delete a message, as people may."""
        pytest.fail("the subclass has to give this")

    async def repeat(self) -> None:
        """Deliver the last event again, byte for byte, as the service does when it got no answer."""
        pytest.fail("the subclass has to give this")

    async def say(self, text: str) -> None:
        """Type a command or a sentence."""
        pytest.fail("the subclass has to give this")


def card(**changes: object) -> Message:
    message = Message(
        incident="INC-7",
        slot="card",
        headline="checkout is failing",
        tone=Tone.BAD,
        blocks=(Paragraph(text="Half of all requests fail."), Fields(items=(("Since", "4 min ago"),))),
        buttons=(ACK, ESCALATE),
        in_thread=False,
    )
    return replace(message, **changes)  # type: ignore[arg-type]  # tests name real fields


def note(slot: str = "status", **changes: object) -> Message:
    return card(**{"slot": slot, "headline": "Reading logs", "buttons": (), "in_thread": True, **changes})


def plotted(caption: str) -> Message:
    picture = Picture(name="rule.png", caption=caption, sha256=sha256(PNG).hexdigest(), data=PNG)
    return note("plots:1", headline="Plotted: Errors", blocks=(), pictures=(picture,))


def numbered(prefix: str, count: int) -> list[str]:
    """Return words that are found again one by one after any wrapping or splitting."""
    return [f"{prefix}{index:04d}" for index in range(count)]


class ChatContract:
    """Subclass in tests/contract/test_chat_<name>.py as `TestChat<Name>`."""

    @pytest.fixture
    def inbox(self) -> RecordingInbox:
        return RecordingInbox()

    @pytest.fixture
    def rig(self, inbox: RecordingInbox) -> ChatRig:
        pytest.fail("the subclass has to give this")

    @pytest.fixture
    def idle(self) -> ChatConnector:
        pytest.fail("the subclass has to give this")

    async def _post(self, rig: ChatRig, message: Message, key: str = "key-1", thread: str | None = None) -> str:
        return await rig.connector.post(rig.channel, message, key, thread)

    # what is shown

    async def test_a_card_shows_everything_it_says(self, rig: ChatRig) -> None:
        message = card(
            blocks=(
                Paragraph(text="Half of all requests fail."),
                Fields(items=(("Service", "checkout"), ("Since", "02:14 UTC"))),
                Bullets(items=("38 errors", "one kind")),
                Code(text="-    a = 1\n+    a = 2", language="diff"),
                Link(label="Runbook", url="https://runbooks.example/checkout"),
            )
        )
        ref = await self._post(rig, message)
        shown = await rig.shown(ref)
        expected = ["checkout is failing", "Half of all requests fail.", "Service", "02:14 UTC", "38 errors"]
        expected += ["one kind", "a = 1", "a = 2", "Runbook"]
        assert [text for text in expected if text not in shown] == []
        assert {"Acknowledge", "Escalate"} <= set(await rig.buttons(ref))

    async def test_an_edit_replaces_the_message(self, rig: ChatRig) -> None:
        ref = await self._post(rig, card())
        await rig.connector.edit(rig.channel, card(headline="checkout works again", buttons=(ESCALATE,)), ref)
        shown = await rig.shown(ref)
        assert "checkout works again" in shown
        assert "Acknowledge" not in await rig.buttons(ref)
        if rig.connector.limits.can_edit:
            assert "checkout is failing" not in shown
            assert await rig.copies("checkout works again") == 1

    async def test_an_edit_may_be_repeated(self, rig: ChatRig) -> None:
        ref = await self._post(rig, card())
        for _ in range(3):
            await rig.connector.edit(rig.channel, card(headline="checkout works again"), ref)
        if rig.connector.limits.can_edit:
            assert await rig.copies("checkout works again") == 1

    async def test_messages_stand_in_the_thread_of_their_card(self, rig: ChatRig) -> None:
        head = await self._post(rig, card())
        ref = await self._post(rig, note(), "key-2", head)
        assert ref != head
        if rig.connector.limits.can_thread:
            assert await rig.is_under(ref, head)
        else:
            assert "INC-7" in await rig.shown(ref)

    async def test_a_post_under_the_same_key_makes_at_most_one_extra_copy(self, rig: ChatRig) -> None:
        await self._post(rig, card(headline="only once please"))
        await self._post(rig, card(headline="only once please"))
        assert 1 <= await rig.copies("only once please") <= 2

    # limits without loss

    async def test_declared_limits_are_usable(self, rig: ChatRig) -> None:
        limits = rig.connector.limits
        assert limits.text >= 100
        assert limits.buttons >= 1
        assert limits.file_bytes > 0 if limits.files else limits.file_bytes == 0

    async def test_long_text_loses_nothing(self, rig: ChatRig) -> None:
        words, points, lines = numbered("word", 3000), numbered("point", 60), numbered("line", 400)
        code = "\n".join(f"+ {line} = '```'" for line in lines)
        blocks = (
            Paragraph(text=" ".join(words)),
            Fields(items=tuple((f"label{index}", f"value{index:04d}") for index in range(40))),
            Bullets(items=tuple(points)),
            Code(text=code, language="diff"),
        )
        ref = await self._post(rig, note(headline="H" * 300, blocks=blocks), thread=await self._post(rig, card(), "k0"))
        shown = await rig.shown(ref)
        values = [f"value{index:04d}" for index in range(40)]
        assert [text for text in (*words, *points, *lines, *values) if text not in shown] == []
        assert "".join(shown.split()).count("H" * 20) >= 1

    async def test_a_long_edit_loses_nothing(self, rig: ChatRig) -> None:
        ref = await self._post(rig, card())
        words = numbered("word", 3000)
        await rig.connector.edit(rig.channel, card(blocks=(Paragraph(text=" ".join(words)),)), ref)
        shown = await rig.shown(ref)
        assert [word for word in words if word not in shown] == []

    async def test_every_one_of_many_buttons_works(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        many = tuple(Button(id=f"ack:INC-{n}", label=f"Take {n}", key=chr(ord("a") + n)) for n in range(12))
        ref = await self._post(rig, card(buttons=many))
        for button in many:
            await rig.press(ref, button, {})
        assert [press.button for press in await inbox.wait_presses(12)] == [button.id for button in many]

    async def test_a_file_arrives_whole(self, rig: ChatRig) -> None:
        text = "".join(f"+{line}\n" for line in numbered("row", 500))
        message = note("patch:0123456789ab", files=(File(name="INC-7.diff", media_type="text/x-diff", text=text),))
        ref = await self._post(rig, message, thread=await self._post(rig, card(), "k0"))
        assert numbered("row", 500) == [
            line.strip().lstrip("+") for line in (await rig.file(ref, "INC-7.diff")).split()
        ]

    async def test_a_picture_arrives_whole_under_its_incident_with_its_caption(self, rig: ChatRig) -> None:
        if not rig.connector.limits.shows_pictures:
            pytest.skip("no picture is seen there")
        head = await self._post(rig, card(), "k0")
        ref = await self._post(rig, plotted("Errors rose at 02:14"), thread=head)
        data, caption = await rig.picture(ref, "rule.png")
        assert data == PNG
        assert "Errors rose at 02:14" in caption
        assert "Plotted: Errors" in await rig.shown(ref)
        assert await rig.is_under(ref, head) or not rig.connector.limits.can_thread

    async def test_a_picture_s_caption_stays_text(self, rig: ChatRig) -> None:
        if not rig.connector.limits.shows_pictures:
            pytest.skip("no picture is seen there")
        ref = await self._post(rig, plotted(HOSTILE), thread=await self._post(rig, card(), "k0"))
        _, caption = await rig.picture(ref, "rule.png")
        assert list(await rig.live(ref)) == []
        assert "alert(1)" in caption
        assert [character for character in caption if not character.isprintable()] == []

    # hostile text

    @pytest.mark.parametrize("place", ["headline", "paragraph", "fields", "bullets", "code", "link", "button", "file"])
    async def test_hostile_text_stays_text(self, rig: ChatRig, place: str) -> None:
        changes: dict[str, dict[str, object]] = {
            "headline": {"headline": HOSTILE},
            "paragraph": {"blocks": (Paragraph(text=HOSTILE),)},
            "fields": {"blocks": (Fields(items=((HOSTILE, HOSTILE),)),)},
            "bullets": {"blocks": (Bullets(items=(HOSTILE,)),)},
            "code": {"blocks": (Code(text=HOSTILE, language="diff"),)},
            "link": {"blocks": (Link(label=HOSTILE, url=f"https://x.example/?q={HOSTILE}"),)},
            "button": {"buttons": (replace(ACK, label=HOSTILE[:60]),)},
            "file": {"files": (File(name="a.diff", media_type="text/x-diff", text=HOSTILE),)},
        }
        ref = await self._post(rig, card(**changes[place]))
        assert list(await rig.live(ref)) == []
        await rig.connector.edit(rig.channel, card(**changes[place]), ref)
        assert list(await rig.live(ref)) == []
        if place in {"headline", "paragraph", "bullets", "code"}:
            shown = await rig.shown(ref)
            assert "alert(1)" in shown
            assert "everyone" in shown

    async def test_a_link_that_is_no_web_address_is_never_followed(self, rig: ChatRig) -> None:
        ref = await self._post(rig, card(blocks=(Link(label="Runbook", url="javascript:alert(1)"),)))
        assert list(await rig.live(ref)) == []

    # what people do

    async def test_a_press_comes_back_as_it_was_sent(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        (press,) = await inbox.wait_presses(1)
        assert (press.button, press.channel, press.account) == (ACK.id, rig.channel, rig.account)
        assert press.event
        assert press.pressed_at.utcoffset() is not None

    async def test_a_press_works_in_a_thread_and_after_an_edit(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        head = await self._post(rig, card(buttons=()))
        ref = await self._post(rig, note(), "key-2", head)
        await rig.connector.edit(rig.channel, note(buttons=(ESCALATE,)), ref)
        await rig.press(ref, ESCALATE, {})
        (press,) = await inbox.wait_presses(1)
        assert press.button == ESCALATE.id

    async def test_a_form_comes_back_filled_in(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card(buttons=(REJECT,)))
        await rig.press(ref, REJECT, {"reason": "Too risky"})
        (press,) = await inbox.wait_presses(1)
        assert press.button == REJECT.id
        assert dict(press.values) == {"reason": "Too risky"}

    async def test_what_somebody_writes_into_a_form_comes_back_letter_for_letter(
        self, rig: ChatRig, inbox: RecordingInbox
    ) -> None:
        button = changes_button("INC-7", "0123456789ab" * 5)
        ref = await self._post(rig, card(buttons=(button,)))
        wish = "Keep <b>the coupon</b> & *test* it at 100 %, like @ana said: `x > 0`"
        await rig.press(ref, button, {"wish": wish})
        (press,) = await inbox.wait_presses(1)
        assert (press.button, [*press.values.values()]) == (button.id, [wish])

    async def test_two_presses_are_two_events(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await rig.press(ref, ESCALATE, {})
        first, second = await inbox.wait_presses(2)
        assert first.event != second.event

    async def test_the_same_event_twice_has_the_same_id(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        if not rig.repeats_events:
            pytest.skip("this service delivers each event once")
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await rig.repeat()
        first, second = await inbox.wait_presses(2)
        assert first.event == second.event

    async def test_the_answer_reaches_the_person(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        inbox.reply = Reply(text="You are not on the roster. Ask Ana.", ok=False)
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while "You are not on the roster. Ask Ana." not in " ".join((await rig.told()).split()):
                await asyncio.sleep(0.01)

    async def test_words_reach_the_inbox(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        if not rig.speaks:
            pytest.skip("nobody can type there")
        await self._post(rig, card())
        await rig.say("/incident status")
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.channel, said.account) == ("/incident status", rig.channel, rig.account)
        assert said.event
        assert said.said_at.utcoffset() is not None

    async def test_a_secret_answer_reaches_its_person_alone(self, rig: ChatRig, inbox: RecordingInbox) -> None:
        if not rig.speaks:
            pytest.skip("nobody can type there")
        inbox.reply = Reply(text="/link 7Q2M-X0VD-9KHT", is_secret=True)
        await self._post(rig, card())
        await rig.say("/link")
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while "7Q2M" not in await rig.told():
                await asyncio.sleep(0.01)
        if rig.is_shared:
            assert await rig.copies("7Q2M") == 0

    async def test_a_message_about_no_incident_is_shown_as_it_is(self, rig: ChatRig) -> None:
        if not rig.shows_apart:
            pytest.skip("only incidents have a place there")
        ref = await self._post(rig, note("linked:9", incident="", headline="Ana has a new account", tells=("ana",)))
        shown = await rig.shown(ref)
        assert "Ana has a new account" in shown
        assert "· Ana" not in shown

    async def test_what_is_broadcast_stands_in_its_thread_all_the_same(self, rig: ChatRig) -> None:
        head = await self._post(rig, card())
        raised = note("raised:critical", headline="INC-7 is critical now", is_broadcast=True)
        ref = await self._post(rig, raised, "key-2", head)
        assert "is critical now" in await rig.shown(ref)
        assert await rig.is_under(ref, head) or not rig.connector.limits.can_thread
        assert await rig.copies("is critical now") == 1

    # what stays at hand

    async def test_a_summary_is_pinned_once_edited_in_place_and_given_up_when_it_is_gone(self, rig: ChatRig) -> None:
        if not rig.connector.limits.pins:
            pytest.skip("nothing is pinned there")
        first = note("summary", incident="", headline="1 incident is open", is_pinned=True)
        ref = await self._post(rig, first)
        assert await rig.pinned() == 1
        await rig.connector.edit(rig.channel, replace(first, headline="No incident is open"), ref)
        assert "No incident is open" in await rig.shown(ref)
        assert await rig.pinned() == 1
        await rig.remove(ref)
        with pytest.raises(Rejected) as caught:
            await rig.connector.edit(rig.channel, first, ref)
        assert caught.value.reason is Reason.NOT_FOUND
        again = await self._post(rig, first, "key-2")
        assert "1 incident is open" in await rig.shown(again)
        assert await rig.copies("1 incident is open") == 1

    # its life

    async def test_run_warns_of_nothing_and_stops_when_cancelled(
        self, idle: ChatConnector, inbox: RecordingInbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        task = asyncio.create_task(idle.run(inbox))
        await asyncio.sleep(0.05)
        task.cancel()
        async with asyncio.timeout(5):
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        assert inbox.events == []
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    async def test_check_says_that_it_works(self, rig: ChatRig) -> None:
        health = await rig.connector.check()
        assert health.ok
        assert health.text
