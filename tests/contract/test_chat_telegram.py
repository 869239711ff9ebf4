"""Telegram as a chat service: the real SDK against a Bot API server on the loopback."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.chat import Button, File, Press, Reply, Said
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from bot.ports.http import Webhook, WebRequest
from connectors.chat.telegram import Connector, Settings
from connectors.chat.telegram import listener as listening
from tests.contract.chat_suite import ACK, REJECT, ChatContract, ChatRig, RecordingInbox, card, note
from tests.telegram_server import CHAT, TOKEN, Stored, TelegramServer

PLACE = ChatPlace(name="telegram", accounts={"ana": "7"}, names={"ana": "Ana Lovelace"})
SECRET = "s" * 32


class TelegramRig(ChatRig):
    channel = "telegram"
    account = "7"

    def __init__(self, connector: Connector, server: TelegramServer) -> None:
        self.connector = connector
        self.server = server

    def _parts(self, ref: str) -> list[Stored]:
        numbers = [int(part) for part in ref.split("f", maxsplit=1)[0].split("m")[1:]]
        head = self.server.messages[numbers[0]]
        more = [one for one in self.server.messages.values() if one.reply_to == head.id and not one.name]
        return [head, *more]

    def _files(self, ref: str) -> list[Stored]:
        head = self._parts(ref)[0]
        return [one for one in self.server.messages.values() if one.name and one.reply_to == head.id]

    async def shown(self, ref: str) -> str:
        return "\n".join(part.text for part in self._parts(ref))

    async def file(self, ref: str, name: str) -> str:
        (found,) = [one for one in self._files(ref) if one.name == name]
        return found.content

    async def picture(self, ref: str, name: str) -> tuple[bytes, str]:
        (found,) = [one for one in self._files(ref) if one.name == name]
        return found.content.encode(errors="surrogateescape"), found.text

    async def buttons(self, ref: str) -> Sequence[str]:
        return self._parts(ref)[0].labels()

    async def live(self, ref: str) -> Sequence[str]:
        return [text for one in (*self._parts(ref), *self._files(ref)) for text in one.live()]

    async def copies(self, text: str) -> int:
        return sum(text in one.text for one in self.server.messages.values() if one.chat == CHAT)

    async def is_under(self, ref: str, card: str) -> bool:
        own, head = self._parts(ref)[0], self._parts(card)[0]
        return own.topic == head.topic != 0 if self.server.is_forum else own.reply_to == head.id

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        head = self._parts(ref)[0]
        keys = [key for row in (head.keys or {})["inline_keyboard"] for key in row]
        (data,) = [key["callback_data"] for key in keys if key["callback_data"].lstrip("?!") == button.id]
        before = max(self.server.messages)
        await self.server.press(head, data)
        for value in values.values():
            await self.fill(before, value)

    async def fill(self, before: int, value: str) -> None:
        """Answer the question that comes after message `before`: by its button, or by typing."""
        async with asyncio.timeout(5):
            while max(self.server.messages) <= before:
                await asyncio.sleep(0.005)
        asked = self.server.messages[max(self.server.messages)]
        keys = [key for row in (asked.keys or {}).get("inline_keyboard", ()) for key in row]
        if keys:
            (data,) = [key["callback_data"] for key in keys if key["text"] == value]
            await self.server.press(asked, data)
        else:
            await self.server.say(value, under=asked)

    async def pinned(self) -> int:
        return len(self.server.pinned)

    async def remove(self, ref: str) -> None:
        number = self._parts(ref)[0].id
        del self.server.messages[number]
        self.server.pinned.remove(number)

    async def told(self) -> str:
        alone = [one.text for one in self.server.messages.values() if one.chat > 0]
        return "\n".join([*(answer.get("text", "") for answer in self.server.answers), *alone])

    async def say(self, text: str) -> None:
        await self.server.say(text)

    async def repeat(self) -> None:
        await self.server.repeat()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


async def _mount(hooks: Callable[[], Sequence[Webhook]], app: web.Application) -> None:
    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = WebRequest(method=request.method, path=request.path, headers=headers, body=await request.read())
        (hook,) = [hook for hook in hooks() if hook.path == request.path]
        answer = await hook.handle(asked)
        return web.Response(status=answer.status, text=answer.body)

    app.router.add_post("/{path:.*}", handle)


def settings(server: TestServer, **more: object) -> Settings:
    values = {"token": TOKEN, "chat": CHAT, "url": str(server.make_url("")), "poll_seconds": 1, **more}
    return Settings.model_validate(values)


@pytest.fixture
def world() -> TelegramServer:
    return TelegramServer()


@pytest.fixture
async def served(world: TelegramServer) -> AsyncIterator[TestServer]:
    async with TestServer(world.app()) as server:
        yield server
    assert world.violations == []


async def _listening(connector: Connector, inbox: RecordingInbox) -> AsyncIterator[None]:
    task = asyncio.create_task(connector.run(inbox))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class TestChatTelegram(ChatContract):
    """Polling, in a group without topics: replies are the threads."""

    @pytest.fixture
    async def rig(self, world: TelegramServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[TelegramRig]:
        connector = Connector(settings(served), PLACE)
        async for _ in _listening(connector, inbox):
            yield TelegramRig(connector, world)

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served), PLACE)

    async def test_every_update_is_with_the_inbox_before_the_offset_moves(
        self, rig: TelegramRig, inbox: RecordingInbox
    ) -> None:
        gate = asyncio.Event()
        offsets: list[int] = []
        receive = inbox.receive

        async def slow(event: Press | Said) -> Reply:
            offsets.append(rig.server.confirmed)
            await gate.wait()
            return await receive(event)

        inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await asyncio.sleep(0.1)
        assert rig.server.confirmed <= 9000
        gate.set()
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while rig.server.confirmed <= 9000:
                await asyncio.sleep(0.01)
        assert offsets == [0]

    async def test_a_press_is_answered_in_time_whatever_the_store_does(
        self, rig: TelegramRig, inbox: RecordingInbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "PATIENCE", 0.05)
        gate, receive = asyncio.Event(), inbox.receive

        async def slow(event: Press | Said) -> Reply:
            await gate.wait()
            return await receive(event)

        inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
        inbox.reply = Reply(text="You have INC-7 now.")
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        async with asyncio.timeout(5):
            while "still working" not in await rig.told():
                await asyncio.sleep(0.01)
        gate.set()
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while await rig.copies("You have INC-7 now.") == 0:
                await asyncio.sleep(0.01)

    async def test_a_press_that_hangs_holds_up_nobody_else(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        gate, receive = asyncio.Event(), inbox.receive

        async def slow(event: Press | Said) -> Reply:
            if event.account == "7":
                await gate.wait()
            return await receive(event)

        inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        async with asyncio.timeout(5):
            while not [1 for method, asked in rig.server.calls if method == "getUpdates" and not asked["timeout"]]:
                await asyncio.sleep(0.01)
        head = rig.server.find("checkout is failing")
        await rig.server.press(head, ACK.id, {"id": 8, "is_bot": False, "first_name": "Ben"})
        (press,) = await inbox.wait_presses(1)
        assert press.account == "8"
        assert rig.server.confirmed == 0
        gate.set()
        assert len(await inbox.wait_presses(2)) == 2

    async def test_a_refusal_is_shown_as_an_alert_and_a_done_press_as_a_toast(
        self, rig: TelegramRig, inbox: RecordingInbox
    ) -> None:
        ref = await self._post(rig, card())
        for reply in (Reply(text="No.", ok=False), Reply(text="Done.")):
            inbox.reply = reply
            await rig.press(ref, ACK, {})
            async with asyncio.timeout(5):
                while reply.text not in await rig.told():
                    await asyncio.sleep(0.01)
        assert [answer.get("show_alert", False) for answer in rig.server.answers] == [True, False]

    async def test_only_what_rings_makes_a_sound_and_names_the_person(self, rig: TelegramRig) -> None:
        await self._post(rig, card(), "k1")
        await self._post(rig, note("page:0", headline="Ana: checkout", rings=("ana", "ben")), "k2")
        quiet, loud = rig.server.find("checkout is failing"), rig.server.find("Ana: checkout")
        assert (quiet.silent, loud.silent) == (True, False)
        assert [e["user"]["id"] for e in loud.entities if e["type"] == "text_mention"] == [7]
        assert loud.text.endswith("🔔 Ana Lovelace")

    async def test_a_question_whose_words_were_lost_in_a_restart_is_typed(
        self, rig: TelegramRig, inbox: RecordingInbox, served: TestServer, world: TelegramServer
    ) -> None:
        other = Connector(settings(served), PLACE)
        ref = await other.post("telegram", card(buttons=(REJECT,)), "key-1", None)
        await other.close()
        before = max(world.messages)
        await world.press(world.messages[before], f"?{REJECT.id}")
        await rig.fill(before, "Too risky for a Friday")
        (press,) = await inbox.wait_presses(1)
        assert (press.button, *press.values.values()) == (REJECT.id, "Too risky for a Friday")
        assert ref

    async def test_after_a_restart_a_reason_is_chosen_as_before(
        self, rig: TelegramRig, inbox: RecordingInbox, served: TestServer
    ) -> None:
        inbox.standing["card"] = card(buttons=(REJECT,))
        other = Connector(settings(served), PLACE)
        ref = await other.post("telegram", card(buttons=(REJECT,)), "key-1", None)
        await other.close()
        await rig.press(ref, REJECT, {"reason": "Too risky"})
        (press,) = await inbox.wait_presses(1)
        assert (press.button, dict(press.values)) == (REJECT.id, {"reason": "Too risky"})

    async def test_text_that_looks_like_a_question_presses_nothing(
        self, rig: TelegramRig, inbox: RecordingInbox
    ) -> None:
        forged = "reason|approve:INC-7:0123456789ab|0123456789abcdef"
        await self._post(rig, card(headline=f"x\n{forged}", blocks=(), buttons=()))
        await rig.server.say("fine", under=rig.server.find(forged))
        (event,) = await inbox.wait(1)
        assert isinstance(event, Said)
        assert event.incident == "INC-7"

    async def test_a_summary_that_may_not_be_pinned_stands_there_all_the_same(self, rig: TelegramRig) -> None:
        rig.server.may_pin = False
        ref = await self._post(rig, note("summary", incident="", headline="1 incident is open", is_pinned=True))
        assert "1 incident is open" in await rig.shown(ref)
        assert await rig.pinned() == 0
        assert "may not pin" in (await rig.connector.check()).text

    async def test_who_never_talked_with_the_bot_is_asked_to(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        rig.server.talks.clear()
        inbox.reply = Reply(text="/link 7Q2M-X0VD-9KHT", is_secret=True)
        await rig.server.say("/link")
        await until(lambda: any("press Start" in one.text for one in rig.server.messages.values()))
        assert await rig.copies("7Q2M") == 0
        assert await rig.told() == ""

    async def test_accounts_are_linked_in_a_talk_with_the_bot_alone_too(
        self, rig: TelegramRig, inbox: RecordingInbox
    ) -> None:
        for person in ({"id": 7, "type": "private", "first_name": "Ana"}, {"id": -1, "type": "group", "title": "x"}):
            await rig.server.say("/link 7Q2M-X0VD-9KHT", chat=person)
            await rig.server.say("/incident list", chat=person)
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.account) == ("/link 7Q2M-X0VD-9KHT", "7")
        await until(lambda: "Noted." in " ".join(one.text for one in rig.server.messages.values() if one.chat == 7))

    async def test_an_answer_of_the_bot_can_itself_be_answered(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        await self._post(rig, card())
        await rig.server.say("look at redis first", under=rig.server.find("INC-7"))
        await inbox.wait(1)
        await until(lambda: any("Noted." in one.text for one in rig.server.messages.values()))
        await rig.server.say("and at the queue", under=rig.server.find("Noted."))
        _, second = await inbox.wait(2)
        assert isinstance(second, Said)
        assert (second.text, second.incident) == ("and at the queue", "INC-7")

    async def test_who_writes_as_the_group_links_nothing(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        await rig.server.say("/link 7Q2M-X0VD-9KHT", sender_chat={"id": CHAT, "type": "supergroup", "title": "x"})
        await until(lambda: any("that is nobody" in one.text for one in rig.server.messages.values()))
        assert inbox.events == []

    async def test_talk_among_people_and_other_chats_are_not_handed_in(
        self, rig: TelegramRig, inbox: RecordingInbox
    ) -> None:
        await self._post(rig, card())
        await rig.server.say("shall we roll back?")
        await rig.server.say("/incident@other_bot list")
        await rig.server.say("/incident list", chat={"id": -1, "type": "group", "title": "Elsewhere"})
        await rig.server.say("/oncall@Nightshift_Bot who", sender_chat={"id": CHAT, "type": "supergroup", "title": "x"})
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.account) == ("/oncall who", "anonymous")

    async def test_the_id_command_tells_what_the_configuration_needs(self, rig: TelegramRig) -> None:
        await rig.server.say("/id")
        async with asyncio.timeout(5):
            while not await rig.copies(f"Your account: 7\nThis chat: {CHAT}"):
                await asyncio.sleep(0.01)

    async def test_commands_are_registered(self, rig: TelegramRig) -> None:
        async with asyncio.timeout(5):
            while not rig.server.commands:
                await asyncio.sleep(0.01)
        assert {"incident", "oncall", "patch", "ci"} <= {command["command"] for command in rig.server.commands}

    async def test_a_file_that_changed_is_exchanged_and_one_that_did_not_is_left(self, rig: TelegramRig) -> None:
        def draft(text: str) -> tuple[File, ...]:
            return (File(name="a.diff", media_type="text/x-diff", text=text),)

        ref = await self._post(rig, card(files=draft("+one")))
        await rig.connector.edit(rig.channel, card(files=draft("+one"), headline="approved"), ref)
        assert "editMessageMedia" not in [method for method, _ in rig.server.calls]
        await rig.connector.edit(rig.channel, card(files=draft("+two")), ref)
        assert await rig.file(ref, "a.diff") == "+two"

    async def test_a_card_that_somebody_deleted_comes_back(self, rig: TelegramRig) -> None:
        ref = await self._post(rig, card())
        rig.server.messages.clear()
        await rig.connector.edit(rig.channel, card(headline="checkout works again"), ref)
        assert await rig.copies("checkout works again") == 1

    async def test_a_second_try_goes_on_where_the_first_one_stopped(self, rig: TelegramRig) -> None:
        message = card(files=(File(name="a.diff", media_type="text/x-diff", text="+1"),))
        rig.server.faults["sendDocument"] = [(500, {"description": "Internal Server Error"})]
        with pytest.raises(Unavailable):
            await self._post(rig, message)
        ref = await self._post(rig, message)
        assert await rig.copies("checkout is failing") == 1
        assert await rig.file(ref, "a.diff") == "+1"

    @pytest.mark.parametrize(
        ("status", "body", "kind", "reason"),
        [
            (
                429,
                {"description": "Too Many Requests: retry after 7", "parameters": {"retry_after": 7}},
                Unavailable,
                Reason.RATE_LIMITED,
            ),
            (401, {"description": "Unauthorized"}, Rejected, Reason.REVOKED),
            (403, {"description": "Forbidden: bot was kicked from the supergroup chat"}, Rejected, Reason.NOT_ALLOWED),
            (400, {"description": "Bad Request: chat not found"}, Rejected, Reason.NOT_FOUND),
            (502, {"description": "Bad Gateway"}, Unavailable, Reason.UNREACHABLE),
        ],
    )
    async def test_errors_say_whether_a_retry_helps(
        self, rig: TelegramRig, status: int, body: dict[str, object], kind: type[Unavailable], reason: Reason
    ) -> None:
        rig.server.faults["sendMessage"] = [(status, body)]
        with pytest.raises(kind) as caught:
            await self._post(rig, card())
        assert caught.value.reason is reason
        assert TOKEN not in str(caught.value)
        if status == 429:
            assert caught.value.retry_after == 7

    async def test_an_answer_that_comes_too_soon_is_given_later(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        wait = {"description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1}}
        rig.server.faults = {"sendMessage": [(429, wait)]}
        await rig.say("/incident status")
        async with asyncio.timeout(5):
            while not [one for one in rig.server.messages.values() if one.text == inbox.reply.text]:
                await asyncio.sleep(0.005)

    async def test_a_group_that_became_a_supergroup_is_followed(self, rig: TelegramRig) -> None:
        rig.server.chat, rig.server.moved_from = -100777, CHAT
        await self._post(rig, card())
        assert rig.server.find("checkout is failing").chat == -100777

    async def test_a_server_that_does_not_answer_is_a_timeout(self, world: TelegramServer, served: TestServer) -> None:
        async def hang(_given: dict[str, object]) -> None:
            await asyncio.sleep(1)

        world._send_message = hang  # type: ignore[method-assign,assignment]  # this server hangs
        connector = Connector(settings(served, answer_seconds=0.1), PLACE)
        with pytest.raises(Unavailable) as caught:
            await connector.post("telegram", card(), "k", None)
        await connector.close()
        assert caught.value.reason is Reason.TIMEOUT

    async def test_a_long_answer_is_a_file_that_lost_nothing(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        inbox.reply = Reply(text="+ line of a patch\n" * 3000)
        await rig.say("/patch show INC-7")
        async with asyncio.timeout(5):
            while not [one for one in rig.server.messages.values() if one.name]:
                await asyncio.sleep(0.01)
        (file,) = rig.server.messages.values()
        assert file.content == inbox.reply.text

    async def test_a_server_that_is_down_ends_the_listening_with_an_error_that_says_so(
        self, world: TelegramServer, served: TestServer, inbox: RecordingInbox
    ) -> None:
        world.faults["getUpdates"] = [(502, {"description": "Bad Gateway"})]
        connector = Connector(settings(served), PLACE)
        with pytest.raises(Unavailable):
            await connector.run(inbox)
        await connector.close()

    async def test_everything_goes_through_the_proxy_that_is_set(self, served: TestServer) -> None:
        proxy = str(served.make_url("")).rstrip("/")
        connector = Connector(settings(served, url="http://telegram.invalid", proxy=proxy), PLACE)
        health = await connector.check()
        await connector.close()
        assert (health.ok, health.text.partition(";")[0]) == (True, "@nightshift_bot in On call, by polling")

    async def test_a_ca_file_of_no_use_is_named(self, served: TestServer) -> None:
        health = await Connector(settings(served, ca_file="/nowhere/ca.pem"), PLACE).check()
        assert (health.ok, health.text) == (False, "the CA file /nowhere/ca.pem cannot be used")

    async def test_check_names_a_revoked_token(self, served: TestServer) -> None:
        connector = Connector(settings(served, token="1:" + "B" * 35), PLACE)
        health = await connector.check()
        await connector.close()
        assert not health.ok
        assert "token" in health.text


class TestChatTelegramTopics(ChatContract):
    """A forum: each incident has a topic of its own."""

    @pytest.fixture
    def world(self) -> TelegramServer:
        return TelegramServer(is_forum=True)

    @pytest.fixture
    async def rig(self, world: TelegramServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[TelegramRig]:
        connector = Connector(settings(served), PLACE)
        async for _ in _listening(connector, inbox):
            yield TelegramRig(connector, world)

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served), PLACE)

    async def test_words_in_a_topic_are_about_its_incident(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        await self._post(rig, card())
        ((topic, name),) = rig.server.topics.items()
        await rig.server.say("shall we roll back?", topic=topic)
        await rig.server.say("/incident ack", topic=topic)
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.incident, name) == ("/incident ack", "INC-7", "INC-7 · checkout is failing")

    async def test_where_somebody_deleted_the_topic_the_group_gets_the_message(self, rig: TelegramRig) -> None:
        head = await self._post(rig, card())
        rig.server.topics.clear()
        await self._post(rig, note(), "key-2", head)
        assert rig.server.find("Reading logs").topic == 0

    async def test_where_the_bot_may_open_no_topic_replies_have_to_do(self, rig: TelegramRig) -> None:
        refusal = {"description": "Bad Request: not enough rights to create a topic"}
        rig.server.faults["createForumTopic"] = [(400, refusal)]
        head = await self._post(rig, card())
        await self._post(rig, note(), "key-2", head)
        assert rig.server.find("Reading logs").reply_to == rig.server.find("checkout is failing").id


class TestChatTelegramWebhook(ChatContract):
    """Telegram calls in."""

    @pytest.fixture
    async def rig(self, world: TelegramServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[TelegramRig]:
        hooks: list[Webhook] = []
        app = web.Application()
        await _mount(lambda: hooks, app)
        async with TestServer(app) as own:
            address = str(own.make_url("")).rstrip("/")
            connector = Connector(settings(served, webhook_url=address, webhook_secret=SECRET), PLACE)
            hooks += connector.webhooks(inbox)
            async for _ in _listening(connector, inbox):
                async with asyncio.timeout(5):
                    while not world.hook:
                        await asyncio.sleep(0.005)
                yield TelegramRig(connector, world)

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served, webhook_url="https://bot.example", webhook_secret=SECRET), PLACE)

    async def test_a_call_without_the_secret_reaches_nobody(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        await self._post(rig, card())
        update = {"update_id": 1, "message": {}}
        for secret in ("", "x" * 32, "ü"):
            assert await rig.server.call_hook(update, secret) == 401
        assert inbox.events == []

    async def test_the_answer_is_200_only_once_the_inbox_has_it(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        await self._post(rig, card())
        await rig.say("/incident status")
        assert len(inbox.events) == 1
        assert rig.server.answered == [200]

    async def test_what_is_no_update_is_refused(self, rig: TelegramRig, inbox: RecordingInbox) -> None:
        for body in ({}, {"update_id": "x"}, {"update_id": 5, "message": "hello"}):
            assert await rig.server.call_hook(body) == 400
        assert inbox.events == []


def test_the_sdk_is_imported_only_where_a_telegram_channel_is_configured() -> None:
    code = "import sys, bot.bootstrap.chat, bot.cli; print('telegram' in sys.modules, 'httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token": "nonsense"}, "BotFather"),
        ({"webhook_url": "https://bot.example"}, "webhook_secret"),
        ({"url": "https://user:pass@api.example"}, "no user"),
        ({"webhook_secret": "short"}, "16 to 256"),
    ],
)
def test_settings_say_what_is_wrong(changes: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Settings.model_validate({"token": TOKEN, "chat": CHAT, **changes})
