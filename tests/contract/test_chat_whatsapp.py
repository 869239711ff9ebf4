"""WhatsApp as a chat service: our client of the Cloud API against a server on the loopback."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.chat import Button, File, Message, Paragraph, Press, Reply, Said
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from bot.ports.http import Webhook, WebRequest
from connectors.chat.whatsapp import Connector, Settings
from connectors.chat.whatsapp.reference import read_reference
from tests.contract.chat_suite import ACK, ESCALATE, REJECT, ChatContract, ChatRig, RecordingInbox, card, note
from tests.whatsapp_server import ANA, BEN, PHONE, SECRET, TOKEN, VERIFY, Got, WhatsAppServer

PLACE = ChatPlace(name="whatsapp", accounts={"ana": f"+{ANA}"})
HEAD = "~more|"


class Watched(Connector):
    """Keeps which messages an edit sent: the newest ones are what a reader sees of a message. What it is to tell stands
    in the store, which it asks for it."""

    def __init__(self, settings: Settings, place: ChatPlace, server: WhatsAppServer, inbox: RecordingInbox) -> None:
        super().__init__(settings, place)
        self._server = server
        self._inbox = inbox
        self.edits: dict[str, list[Got]] = {}

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:
        self._inbox.standing[message.slot] = message
        return await super().post(channel, message, key, thread)

    async def edit(self, channel: str, message: Message, ref: str) -> None:
        self._inbox.standing[message.slot] = message
        before = len(self._server.sent)
        await super().edit(channel, message, ref)
        if sent := self._server.sent[before:]:
            self.edits[ref] = sent


class WhatsAppRig(ChatRig):
    channel = "whatsapp"
    account = f"+{ANA}"
    is_shared = False

    def __init__(self, connector: Watched, server: WhatsAppServer) -> None:
        self.connector: Watched = connector
        self.server = server

    def parts(self, ref: str) -> list[Got]:
        ids = read_reference(ref).sent[ANA]
        return self.connector.edits.get(ref) or [got for got in self.server.sent if got.id in ids]

    async def shown(self, ref: str) -> str:
        return "\n".join(got.text for got in self.parts(ref) if not got.name)

    async def file(self, ref: str, name: str) -> str:
        (found,) = [got for got in self.parts(ref) if got.name == f"{name}.txt"]
        return found.content

    async def picture(self, ref: str, name: str) -> tuple[bytes, str]:
        (found,) = [got for got in self.parts(ref) if got.name == name]
        return found.content.encode(errors="surrogateescape"), found.text

    async def buttons(self, ref: str) -> Sequence[str]:
        return [title for got in self.parts(ref) for _, title in got.keys]

    async def live(self, ref: str) -> Sequence[str]:
        return [text for got in self.parts(ref) for text in got.live()]

    async def copies(self, text: str) -> int:
        return sum(text in got.text for got in self.server.sent)

    async def is_under(self, ref: str, card: str) -> bool:
        return self.parts(ref)[0].under == self.parts(card)[0].id

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        shown = self.parts(ref)
        found = _key(shown, button)
        if found is None:
            before = len(self.server.sent)
            (more,) = [(got, key) for got in shown for key, _ in got.keys if key.startswith(HEAD)]
            await self.server.tap(*more)
            await self.server.wait(lambda got: _key([*self.server.sent[before:]], button) is not None)
            found = _key(self.server.sent[before:], button)
        assert found is not None
        before = len(self.server.sent)
        await self.server.tap(*found)
        for value in values.values():
            await self.fill(before, value)

    async def fill(self, before: int, value: str) -> None:
        """Answer the question that comes after the first `before` messages: by a row, or by typing."""
        async with asyncio.timeout(5):
            while len(self.server.sent) <= before:
                await asyncio.sleep(0.005)
        asked = self.server.sent[before]
        keys = [key for key, _ in asked.keys if key.endswith(value)]
        await (self.server.tap(asked, keys[0]) if keys else self.server.say(value))

    async def told(self) -> str:
        return "\n".join(got.text for got in self.server.sent)

    async def say(self, text: str) -> None:
        await self.server.say(text)

    async def repeat(self) -> None:
        await self.server.repeat()


class Notebook:
    """A memory that outlives its connector."""

    text = ""

    def change(self, change: Callable[[str], str]) -> str:
        self.text = change(self.text)
        return self.text


def signed_words(text: str) -> WebRequest:
    """Return a call of WhatsApp in which Ana says something."""
    return signed_call("wamid." + text.replace(" ", "-"), {"type": "text", "text": {"body": text}})


def signed_call(event: str, content: Mapping[str, object]) -> WebRequest:
    message = {"from": ANA, "id": event, "timestamp": str(int(time.time())), **content}
    value = {"metadata": {"phone_number_id": PHONE}, "messages": [message]}
    body = json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={signature}"}
    return WebRequest(method="POST", path="/v1/chat/whatsapp", headers=headers, body=body)


def _key(shown: Sequence[Got], button: Button) -> tuple[Got, str] | None:
    return next(((got, key) for got in shown for key, _ in got.keys if key.lstrip("?!") == button.id), None)


def settings(server: TestServer, **more: object) -> Settings:
    secrets = {"token": TOKEN, "app_secret": SECRET, "verify_token": VERIFY}
    values = {**secrets, "phone_number_id": PHONE, "url": str(server.make_url("/v23.0")), **more}
    return Settings.model_validate(values)


async def _mount(hooks: Callable[[], Sequence[Webhook]], app: web.Application) -> None:
    async def handle(request: web.Request) -> web.Response:
        asked = WebRequest(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            query=dict(request.query),
        )
        (hook,) = [hook for hook in hooks() if (hook.method, hook.path) == (request.method, request.path)]
        answer = await hook.handle(asked)
        return web.Response(status=answer.status, text=answer.body)

    app.router.add_route("*", "/{path:.*}", handle)


@pytest.fixture
def world() -> WhatsAppServer:
    return WhatsAppServer()


@pytest.fixture
async def served(world: WhatsAppServer) -> AsyncIterator[TestServer]:
    async with TestServer(world.app()) as server:
        yield server
    assert world.violations == []


async def _rig(
    world: WhatsAppServer, served: TestServer, inbox: RecordingInbox, place: ChatPlace = PLACE, **more: object
) -> AsyncIterator[WhatsAppRig]:
    """A connector that listens, to which Ana wrote today."""
    connector = Watched(settings(served, **more), place, world, inbox)
    app = web.Application(client_max_size=10_000_000)
    await _mount(lambda: connector.webhooks(inbox), app)
    async with TestServer(app) as hook:
        world.hook = str(hook.make_url("/v1/chat/whatsapp"))
        task = asyncio.create_task(connector.run(inbox))
        await world.say("id")
        await world.wait(lambda got: f"+{ANA}" in got.text)
        world.sent.clear()
        yield WhatsAppRig(connector, world)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestChatWhatsApp(ChatContract):
    """Everything is told, to somebody who wrote today."""

    @pytest.fixture
    async def rig(self, world: WhatsAppServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[WhatsAppRig]:
        async for rig in _rig(world, served, inbox, tell="all"):
            yield rig

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served), PLACE)

    async def test_a_picture_in_answer_to_a_message_comes_with_its_incident(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        ref = await self._post(rig, card())
        under = {"context": {"from": PHONE, "id": rig.parts(ref)[0].id}}
        await rig.server.deliver_message(
            ANA, {"type": "image", "image": {"id": "M1", "mime_type": "image/png"}, **under}
        )
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert [(one.ref, one.media_type) for one in said.attachments] == [("M1", "image/png")]
        assert (said.text, said.incident) == ("", "INC-7")

    async def test_a_change_is_told_in_answer_to_the_message(self, rig: WhatsAppRig) -> None:
        ref = await self._post(rig, card())
        head = rig.parts(ref)[0]
        await rig.connector.edit(rig.channel, card(headline="checkout works again"), ref)
        assert [got.under for got in rig.parts(ref)] == [head.id]

    async def test_a_file_is_one_that_phones_open(self, rig: WhatsAppRig) -> None:
        await self._post(rig, note(files=(File(name="a.diff", media_type="text/x-diff", text="+1\n"),)))
        (got,) = [got for got in rig.server.sent if got.name]
        assert (got.name, got.content, got.under) == ("a.diff.txt", "+1\n", rig.server.sent[0].id)

    async def test_a_file_is_sent_again_only_where_it_changed(self, rig: WhatsAppRig) -> None:
        first, second = (File(name="a.diff", media_type="text/x-diff", text=text) for text in ("+1", "+2"))
        ref = await self._post(rig, note(files=(first,)))
        await rig.connector.edit(rig.channel, note(headline="Approved", files=(first,)), ref)
        await rig.connector.edit(rig.channel, note(headline="Another one", files=(second,)), ref)
        assert [got.content for got in rig.server.sent if got.name] == ["+1", "+2"]

    async def test_a_long_answer_is_a_file_that_lost_nothing(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        inbox.reply = Reply(text="+ line of a patch\n" * 3000)
        await rig.say("/patch show INC-7")
        got = await rig.server.wait(lambda got: bool(got.name))
        assert got.content == inbox.reply.text

    async def test_a_form_without_choices_is_answered_by_the_next_message(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        other = Watched(rig.connector._settings, PLACE, rig.server, inbox)  # its forms are lost to the one that listens
        other._memory.heard.update(rig.connector._memory.heard)
        await other.post("whatsapp", card(buttons=(REJECT,)), "key-1", None)
        await other.close()
        await rig.server.tap(rig.server.sent[0], f"?{REJECT.id}")
        await rig.fill(1, "Too risky for a Friday")
        (press,) = await inbox.wait_presses(1)
        assert (press.button, *press.values.values()) == (REJECT.id, "Too risky for a Friday")

    async def test_an_event_that_comes_twice_is_answered_once(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await rig.repeat()
        await rig.say("help")
        await inbox.wait(3)
        await rig.server.wait(lambda _: len([got for got in rig.server.sent if got.text == "Noted."]) == 2)
        assert rig.server.answered[-3:] == [200, 200, 200]
        assert len(set(rig.server.read)) == len(rig.server.read)

    async def test_a_second_try_goes_on_where_the_first_one_stopped(self, rig: WhatsAppRig) -> None:
        message = card(headline="only once", files=(File(name="a.diff", media_type="text/x-diff", text="+1"),))
        rig.server.faults = [(0, {}, {}), (500, {"code": 131000, "message": "no"}, {})]
        with pytest.raises(Unavailable):
            await self._post(rig, message)
        ref = await self._post(rig, message)
        assert (await rig.copies("only once"), await rig.file(ref, "a.diff")) == (1, "+1")

    async def test_a_message_whose_answer_was_lost_is_not_sent_again_once_whatsapp_reports_it(
        self, rig: WhatsAppRig
    ) -> None:
        rig.server.lost = 1
        with pytest.raises(Unavailable):
            await self._post(rig, card(headline="only once"))
        await rig.server.report(rig.server.sent[0], "sent")
        await self._post(rig, card(headline="only once"))
        assert await rig.copies("only once") == 1

    @pytest.mark.parametrize(
        ("status", "code", "kind", "reason"),
        [
            (400, 131056, Unavailable, Reason.RATE_LIMITED),
            (429, 130429, Unavailable, Reason.RATE_LIMITED),
            (401, 190, Rejected, Reason.REVOKED),
            (403, 10, Rejected, Reason.NOT_ALLOWED),
            (400, 131026, Rejected, Reason.NOT_FOUND),
            (400, 100, Rejected, Reason.BAD_INPUT),
            (500, 131000, Unavailable, Reason.SERVER_ERROR),
            (503, 2, Unavailable, Reason.SERVER_ERROR),
        ],
    )
    async def test_errors_say_whether_a_retry_helps(
        self, rig: WhatsAppRig, status: int, code: int, kind: type[Unavailable], reason: Reason
    ) -> None:
        rig.server.faults = [(status, {"code": code, "message": f"(#{code}) no"}, {"Retry-After": "7"})]
        with pytest.raises(kind) as caught:
            await self._post(rig, card())
        assert caught.value.reason is reason
        assert TOKEN not in str(caught.value)
        if reason is Reason.RATE_LIMITED:
            assert caught.value.retry_after == 7

    async def test_the_commands_are_offered(self, rig: WhatsAppRig) -> None:
        async with asyncio.timeout(5):
            while not rig.server.commands:
                await asyncio.sleep(0.005)
        assert {"incident", "oncall", "patch", "ci"} <= {one["command_name"] for one in rig.server.commands}


class TestWhatsAppByDefault:
    """Only what rings is told."""

    @pytest.fixture
    def inbox(self) -> RecordingInbox:
        return RecordingInbox()

    @pytest.fixture
    async def rig(self, world: WhatsAppServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[WhatsAppRig]:
        place = ChatPlace(name="whatsapp", accounts={"ana": f"+{ANA}", "ben": BEN})
        async for rig in _rig(world, served, inbox, place):
            yield rig

    def page(self, **changes: object) -> Message:
        given = {"slot": "page:0", "headline": "Ana: checkout", "rings": ("ana",), "buttons": (ACK, ESCALATE)}
        return note(**{**given, **changes})

    async def test_only_what_rings_is_told_and_only_to_those_it_names(self, rig: WhatsAppRig) -> None:
        ref = await rig.connector.post("whatsapp", card(), "k1", None)
        await rig.connector.edit("whatsapp", card(headline="changed"), ref)
        await rig.connector.post("whatsapp", note("findings"), "k2", ref)
        assert rig.server.sent == []
        await rig.connector.post("whatsapp", self.page(), "k3", ref)
        assert [(got.to, [title for _, title in got.keys]) for got in rig.server.sent] == [
            (ANA, ["Acknowledge", "Escalate"])
        ]

    async def test_whoever_was_called_is_told_how_it_went_on_once(self, rig: WhatsAppRig) -> None:
        ref = await rig.connector.post("whatsapp", self.page(), "k1", None)
        ended = self.page(headline="Page ended: checkout", buttons=(), rings=())
        for words in ("Ben has it.", "Ben has it, since 02:14."):
            await rig.connector.edit("whatsapp", Message(**{**vars(ended), "blocks": (Paragraph(text=words),)}), ref)
        called, told = rig.server.sent
        assert (told.under, "Ben has it." in told.text, told.keys) == (called.id, True, [])

    async def test_what_somebody_did_is_no_news_to_them(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        await rig.server.say("help", BEN)
        await rig.server.wait(lambda got: got.to == BEN)
        ref = await rig.connector.post("whatsapp", self.page(rings=("ana", "ben")), "k1", None)
        await rig.server.tap(rig.server.find("Ana: checkout"), ACK.id, rig.server.find("Ana: checkout").to)
        ended = self.page(headline="Page ended: checkout", buttons=(), rings=())
        await rig.connector.edit("whatsapp", ended, ref)
        acted = rig.server.find("Ana: checkout").to
        assert [got.to for got in rig.server.sent if "Page ended" in got.text] == [BEN if acted == ANA else ANA]

    async def test_a_patch_that_is_decided_is_told_once_and_its_verdict_apart(self, rig: WhatsAppRig) -> None:
        patch = note("patch:0", headline="Patch ready", rings=("ana",), buttons=(ACK,))
        ref = await rig.connector.post("whatsapp", patch, "k1", None)
        for headline in ("Patch approved", "Patch pushed"):
            await rig.connector.edit("whatsapp", note("patch:0", headline=headline), ref)
        assert (await rig.copies("Patch approved"), await rig.copies("Patch pushed")) == (1, 0)

    async def test_whoever_asks_is_shown_everything_there_is(self, rig: WhatsAppRig) -> None:
        await rig.connector.post("whatsapp", note("findings", headline="The cause"), "k2", None)
        await rig.connector.post("whatsapp", card(), "k1", None)
        await rig.say("show inc-7")
        await rig.server.wait(lambda got: "The cause" in got.text)
        assert [("checkout is failing" in got.text, bool(got.keys)) for got in rig.server.sent] == [
            (True, True),
            (False, False),
        ]

    async def test_what_another_process_was_to_tell_is_shown_with_its_buttons_and_its_file(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        diff = File(name="fix.diff", media_type="text/x-diff", text="-a\n+b\n")
        inbox.standing["patch:0"] = note("patch:0", headline="Patch ready", buttons=(ACK, REJECT), files=(diff,))
        await rig.say("show INC-7")
        await rig.server.wait(lambda got: got.name == "fix.diff.txt")
        assert [title for got in rig.server.sent for _, title in got.keys] == ["Acknowledge", "Reject"]
        await rig.server.tap(rig.server.sent[0], f"?{REJECT.id}")
        await rig.server.wait(lambda got: any(title == "Too risky" for _, title in got.keys))

    async def test_an_incident_that_is_not_there_is_answered_as_the_store_says(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        inbox.reply = Reply(text="There is no INC-9.", ok=False)
        await rig.say("show INC-9")
        await rig.server.wait(lambda got: got.text == "There is no INC-9.")

    async def test_a_store_that_cannot_be_read_is_no_silence(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        async def broken(*_asked: str) -> Reply:
            raise Unavailable("The store is locked.", Reason.UNREACHABLE)

        inbox.show = broken  # type: ignore[method-assign]  # a store that is away
        await rig.say("show INC-7")
        await rig.server.wait(lambda got: "Ask again in a moment" in got.text)

    async def test_somebody_who_did_not_write_today_is_called_by_the_template(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        await rig.connector.post("whatsapp", card(), "k0", None)
        await rig.connector.post("whatsapp", self.page(rings=("ben",)), "k1", None)
        await rig.connector.post("whatsapp", note("patch:0", rings=("ben",), buttons=(REJECT,)), "k2", None)
        page, patch = rig.server.sent
        assert [(page.to, page.template), (patch.to, patch.template)] == [
            (BEN, "nightshift_page"),
            (BEN, "nightshift_news"),
        ]
        await rig.server.tap(page, ACK.id, BEN)
        (press,) = await inbox.wait_presses(1)
        assert (press.button, press.account) == (ACK.id, BEN)
        await rig.server.tap(patch, "~show|INC-7", BEN)
        await rig.server.wait(lambda got: any(key == f"?{REJECT.id}" for key, _ in got.keys))

    async def test_a_message_that_came_too_late_for_the_day_is_followed_by_the_template_once(
        self, rig: WhatsAppRig
    ) -> None:
        await rig.connector.post("whatsapp", self.page(), "k1", None)
        late = rig.server.sent[0]
        for _ in range(2):
            await rig.server.report(late, "failed", code=131047)
        await rig.server.wait(lambda got: got.template == "nightshift_page" and got.to == ANA)
        await rig.server.say("help", BEN)
        await rig.server.wait(lambda got: got.to == BEN)
        assert len([got for got in rig.server.sent if got.template]) == 1

    async def test_a_page_that_did_not_arrive_is_reported_even_after_a_restart(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        await rig.connector.post("whatsapp", card(), "k0", None)
        await rig.connector.post("whatsapp", self.page(), "k1", None)
        rig.connector._memory._about.clear()
        await rig.server.report(rig.server.sent[0], "failed", code=131026)
        (missed,) = inbox.missed
        assert (missed.incident, missed.slot, missed.account) == ("INC-7", "page:0", f"+{ANA}")
        assert missed.why == "Message undeliverable (131026)"

    async def test_one_who_cannot_be_reached_keeps_nobody_else_from_it(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        rig.server.faults = [(400, {"code": 131026, "message": "Message undeliverable"}, {})]
        await rig.connector.post("whatsapp", self.page(rings=("ana", "ben")), "k1", None)
        assert len(rig.server.sent) == 1
        assert [(missed.slot, missed.incident) for missed in inbox.missed] == [("page:0", "INC-7")]

    async def test_keywords_are_about_the_incident_in_the_chat(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        await rig.connector.post("whatsapp", self.page(), "k1", None)
        for text in ("Ack", "silence 1h", "status INC-3", "help", "why is it failing?", "Declare shop nobody can pay"):
            await rig.say(text)
        said = [event.text for event in await inbox.wait(6) if isinstance(event, Said)]
        assert said == [
            "/incident ack INC-7",
            "/incident silence 1h INC-7",
            "/incident status INC-3",
            "/help",
            "why is it failing?",
            "/incident declare shop nobody can pay",
        ]
        assert [event.incident for event in inbox.events if isinstance(event, Said)] == ["INC-7"] * 6

    async def test_who_wrote_within_a_day_is_known_after_a_restart(
        self, rig: WhatsAppRig, served: TestServer, inbox: RecordingInbox
    ) -> None:
        notebook = Notebook()
        place = ChatPlace(name="whatsapp", accounts={"ana": f"+{ANA}", "ben": BEN}, memory=notebook)
        first, second, later = (Watched(settings(served), place, rig.server, inbox) for _ in range(3))
        await first.webhooks(inbox)[1].handle(signed_words("help"))
        async with asyncio.timeout(5):
            while ANA not in notebook.text:
                await asyncio.sleep(0.005)
        await second.post("whatsapp", self.page(), "k1", None)
        assert [got.template for got in rig.server.sent if got.keys] == [""], "no template: Ana wrote just now"
        heard = {ANA: "2020-01-01T00:00:00+00:00", BEN: "2999-01-01T00:00:00+00:00"}
        notebook.text = json.dumps({"heard": heard})
        await later.post("whatsapp", self.page(rings=("ana", "ben")), "k2", None)
        assert [got.template for got in rig.server.sent if got.keys][1:] == ["nightshift_page"] * 2
        for connector in (first, second, later):
            await connector.close()

    async def test_an_answer_that_comes_too_soon_is_given_later(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        rig.server.faults = [(400, {"code": 131056, "message": "pair rate limit hit"}, {"Retry-After": "0"})]
        await rig.say("help")
        await rig.server.wait(lambda got: got.text == inbox.reply.text)

    async def test_a_stranger_is_answered_once_an_hour_and_shown_nothing(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        await rig.connector.post("whatsapp", card(), "k1", None)
        for _ in range(3):
            await rig.server.say("show INC-7", "15559999999")
        await rig.say("help")
        await rig.server.wait(lambda got: got.to == ANA)
        await inbox.wait(4)
        await rig.server.wait(lambda got: got.to == "15559999999")
        assert len([got for got in rig.server.sent if got.to == "15559999999"]) == 1
        assert await rig.copies("checkout is failing") == 0

    async def test_a_stranger_who_types_codes_is_answered_more_often_but_not_without_end(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        for _ in range(12):
            await rig.server.say("link 0000-0000-0000", "15559999999")
        said = await inbox.wait(12)
        assert {event.text for event in said if isinstance(event, Said)} == {"/link 0000-0000-0000"}
        await rig.server.wait(lambda got: got.to == "15559999999")
        assert len([got for got in rig.server.sent if got.to == "15559999999"]) <= 8

    async def test_a_number_that_is_linked_meanwhile_is_called(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        linked = dict(PLACE.accounts)
        connector = Connector(rig.connector._settings, ChatPlace(name="whatsapp", accounts=linked))
        linked["ben"] = BEN
        page = note("page:0", headline="Ben: checkout", rings=("ben",))
        await connector.post("whatsapp", page, "key-1", None)
        assert [got.to for got in rig.server.sent] == [BEN]
        await connector.close()

    async def test_news_about_a_person_goes_to_that_person_while_it_may_be_written(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        news = note("linked:9", incident="", headline="Ana has a new account", tells=("ana",))
        rig.connector._memory.heard.clear()
        await rig.connector.post("whatsapp", news, "key-0", None)
        assert rig.server.sent == [], "it is no reason to call somebody by a template"
        await rig.say("help")
        await inbox.wait(1)
        await rig.connector.post("whatsapp", news, "key-1", None)
        got = await rig.server.wait(lambda got: "new account" in got.text)
        assert got.to == ANA

    # who calls

    async def test_a_call_that_is_not_signed_reaches_nobody(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        await rig.say("help")
        body = rig.server._last
        assert await rig.server.call_hook(body, secret="b" * 32) == 401
        assert await rig.server.call_hook(body.replace(b"help", b"kelp")) == 200  # signed anew
        assert await rig.server.call_hook(b"not json") == 400
        assert await rig.server.call_hook(b"[" * 5000) == 400
        assert await rig.server.call_hook(b'{"a":' * 50 + b"1" + b"}" * 50) == 400
        assert len(inbox.events) == 2

    async def test_what_is_stale_or_for_another_number_is_left_out(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        await rig.server.say("help", timestamp="1500000000")
        await rig.server.say("help", timestamp="99999999999")
        message = {"from": ANA, "id": "wamid.x", "timestamp": "1", "type": "text", "text": {"body": "help"}}
        await rig.server.deliver({"messages": [message]}, phone="999")
        await rig.server.deliver({"messages": [{"from": ["x"], "id": 7}, None, "x"], "statuses": [{}]})
        await rig.server.deliver_message(ANA, {"type": "interactive", "interactive": {"button_reply": {"id": 7}}})
        assert (inbox.events, set(rig.server.answered)) == ([], {200})

    async def test_a_button_that_nobody_made_does_nothing(self, rig: WhatsAppRig, inbox: RecordingInbox) -> None:
        reply = {"type": "button_reply", "button_reply": {"id": "~what", "title": "x"}}
        await rig.server.deliver_message(ANA, {"type": "interactive", "interactive": reply})
        await rig.server.wait(lambda got: "did not make this button" in got.text)
        assert inbox.events == []

    async def test_whatsapp_is_answered_once_the_event_is_stored_and_not_before(
        self, rig: WhatsAppRig, inbox: RecordingInbox
    ) -> None:
        gate, receive = asyncio.Event(), inbox.receive

        async def slow(event: Press | Said) -> Reply:
            await gate.wait()
            return await receive(event)

        inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
        before = len(rig.server.answered)
        task = asyncio.create_task(rig.say("help"))
        async with asyncio.timeout(5):
            while not rig.server.read[1:]:  # seen at once: the person sees that somebody is at it
                await asyncio.sleep(0.005)
        assert len(rig.server.answered) == before
        gate.set()
        await task
        assert rig.server.answered[before:] == [200]

    async def test_the_address_is_verified_by_the_word_both_sides_know(self, rig: WhatsAppRig) -> None:
        (hook,) = [hook for hook in rig.connector.webhooks(RecordingInbox()) if hook.method == "GET"]

        async def ask(**changes: str) -> tuple[int, str]:
            query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "1158201444"}
            given = {**query, **{f"hub.{name}": value for name, value in changes.items()}}
            answer = await hook.handle(WebRequest(method="GET", path=hook.path, headers={}, body=b"", query=given))
            return answer.status, answer.body

        assert await ask() == (200, "1158201444")
        assert (await ask(verify_token="wrong"))[0] == 403
        assert (await ask(mode="other"))[0] == 403
        assert (await ask(challenge="<script>"))[0] == 400

    async def test_a_server_that_does_not_answer_is_a_timeout(self, world: WhatsAppServer, served: TestServer) -> None:
        connector = Connector(settings(served, url="http://127.0.0.1:9/v23.0", answer_seconds=1), PLACE)
        with pytest.raises(Unavailable) as caught:
            await connector.post("whatsapp", self.page(), "k", None)
        await connector.close()
        assert caught.value.reason is Reason.UNREACHABLE

    async def test_everything_goes_through_the_proxy_that_is_set(self, served: TestServer) -> None:
        proxy = str(served.make_url("")).rstrip("/")
        connector = Connector(settings(served, url="http://whatsapp.invalid/v23.0", proxy=proxy), PLACE)
        health = await connector.check()
        await connector.close()
        assert (health.ok, health.text) == (True, "Nightshift +1 555-000-0001, by webhook")

    async def test_a_ca_file_of_no_use_and_a_revoked_token_are_named(self, served: TestServer) -> None:
        health = await Connector(settings(served, ca_file="/nowhere/ca.pem"), PLACE).check()
        assert (health.ok, health.text) == (False, "the CA file /nowhere/ca.pem cannot be used")
        connector = Connector(settings(served, token="B" * 40), PLACE)
        health = await connector.check()
        await connector.close()
        assert (health.ok, "token" in health.text) == (False, True)
