"""Discord as a chat service: the real SDK against its interface and its gateway on the loopback."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from discord.voice_client import VoiceClient

from bot.domain.chat import Button, File, Paragraph, Press, Reply, Said
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from bot.ports.http import Webhook, WebRequest
from connectors.chat.discord import Connector, Settings
from connectors.chat.discord import gateway as gating
from connectors.chat.discord import listener as listening
from connectors.chat.discord.reference import read_reference
from tests import rate_limits
from tests.contract.chat_suite import ACK, REJECT, ChatContract, ChatRig, RecordingInbox, card, note
from tests.discord_server import BEN, BOT, CHAT, PUBLIC, TOKEN, DiscordServer, Stored

PLACE = ChatPlace(name="discord", accounts={"ana": "7"})


class DiscordRig(ChatRig):
    channel = "discord"
    account = "7"

    def __init__(self, connector: Connector, server: DiscordServer) -> None:
        self.connector = connector
        self.server = server

    def _parts(self, ref: str) -> list[Stored]:
        head = self.server.messages[read_reference(ref).parts[0]]
        return [head, *(one for one in self.server.messages.values() if one.reply_to == head.id and _continues(one))]

    async def shown(self, ref: str) -> str:
        return "\n".join(part.text for part in self._parts(ref))

    async def file(self, ref: str, name: str) -> str:
        return self._parts(ref)[0].files[name]

    async def picture(self, ref: str, name: str) -> tuple[bytes, str]:
        (told,) = [one for one in self._parts(ref)[0].body["attachments"] if one["filename"] == name]
        return (await self.file(ref, name)).encode(errors="surrogateescape"), told["description"]

    async def buttons(self, ref: str) -> Sequence[str]:
        return [key["label"] for key in self._parts(ref)[0].buttons()]

    async def live(self, ref: str) -> Sequence[str]:
        return [text for one in self._parts(ref) for text in one.live()]

    async def copies(self, text: str) -> int:
        return sum(text in one.text for one in self.server.messages.values())

    async def is_under(self, ref: str, card: str) -> bool:
        return self._parts(ref)[0].channel == self._parts(card)[0].id in self.server.threads

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        head = self._parts(ref)[0]
        (data,) = [key["custom_id"] for key in head.buttons() if key["custom_id"].lstrip("?!") == button.id]
        before = len(self.server.modals)
        await self.server.press(head, data)
        for value in values.values():
            await until(lambda: len(self.server.modals) > before)
            await self.server.fill(self.server.modals[-1], value, head.channel)

    async def pinned(self) -> int:
        return len(self.server.pinned)

    async def remove(self, ref: str) -> None:
        number = self._parts(ref)[0].id
        del self.server.messages[number]
        self.server.pinned.remove(number)

    async def told(self) -> str:
        return self.server.told()

    async def say(self, text: str) -> None:
        name, _, action = text.removeprefix("/").partition(" ")
        await self.server.command(name, **({"action": action} if action else {}))

    async def repeat(self) -> None:
        await until(lambda: self.server.answers)
        await asyncio.sleep(0.02)  # else it is the event that is still being dealt with
        await self.server.repeat()


def _continues(stored: Stored) -> bool:
    return "/" in stored.body["embeds"][0]["title"]


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


def settings(server: TestServer, **more: object) -> Settings:
    url = str(server.make_url("")).rstrip("/")
    values = {"token": TOKEN, "chat": CHAT, "url": url, "gateway_url": f"ws{url.removeprefix('http')}/gateway", **more}
    return Settings.model_validate(values)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "PAUSE", 0.01)


@pytest.fixture
def world() -> DiscordServer:
    return DiscordServer()


@pytest.fixture
async def served(world: DiscordServer) -> AsyncIterator[TestServer]:
    async with TestServer(world.app()) as server:
        world.address = f"ws{str(server.make_url('/gateway')).removeprefix('http')}"
        yield server
    assert world.violations == []


async def _listening(connector: Connector, inbox: RecordingInbox) -> AsyncIterator[None]:
    task = asyncio.create_task(connector.run(inbox))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connector.close()


def gate(inbox: RecordingInbox) -> asyncio.Event:
    """Make the store wait until the returned event is set."""
    opened, receive = asyncio.Event(), inbox.receive

    async def slow(event: Press | Said) -> Reply:
        await opened.wait()
        return await receive(event)

    inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
    return opened


class TestChatDiscord(ChatContract):
    """The gateway, and a thread for each incident."""

    @pytest.fixture
    async def rig(self, world: DiscordServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[DiscordRig]:
        connector = Connector(settings(served), PLACE)
        async for _ in _listening(connector, inbox):
            await until(lambda: world.sockets)
            yield DiscordRig(connector, world)

    @pytest.fixture
    def idle(self, served: TestServer, monkeypatch: pytest.MonkeyPatch) -> Connector:
        monkeypatch.setattr(VoiceClient, "warn_nacl", True)  # as in a process that has just begun
        monkeypatch.setattr(VoiceClient, "warn_dave", True)
        return Connector(settings(served), PLACE)

    async def test_a_summary_that_may_not_be_pinned_stands_there_all_the_same(self, rig: DiscordRig) -> None:
        rig.server.faults["pin"] = [(403, {"message": "Missing Permissions", "code": 50013}, {})]
        ref = await self._post(rig, note("summary", incident="", headline="1 incident is open", is_pinned=True))
        assert "1 incident is open" in await rig.shown(ref)
        assert await rig.pinned() == 0

    async def test_an_event_counts_only_once_the_inbox_has_it(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        opened = gate(inbox)
        await rig.press(await self._post(rig, card()), ACK, {})
        number = rig.server.events[-1][0]
        await rig.server.tell(7)
        await until(lambda: [1 for told in rig.server.heard if told["op"] == 6])
        (resumed,) = [told["d"]["seq"] for told in rig.server.heard if told["op"] == 6]
        assert resumed == number - 1
        opened.set()
        await inbox.wait(1)
        await until(lambda: "Noted." in rig.server.told())
        await rig.server.tell(7)
        await until(lambda: len([1 for told in rig.server.heard if told["op"] == 6]) == 2)
        assert max(told["d"]["seq"] for told in rig.server.heard if told["op"] == 6) >= number
        assert len(inbox.events) == 1

    async def test_an_event_that_could_not_be_stored_is_sent_again(
        self, world: DiscordServer, served: TestServer, inbox: RecordingInbox
    ) -> None:
        receive, connector = inbox.receive, Connector(settings(served), PLACE)

        async def fail(_event: Press | Said) -> Reply:
            raise RuntimeError("the store is full")

        inbox.receive = fail  # type: ignore[method-assign]  # one test's inbox
        first = asyncio.create_task(connector.run(inbox))
        await until(lambda: world.sockets)
        await world.command("incident", action="list")
        with pytest.raises(RuntimeError, match="full"):
            await first
        inbox.receive = receive  # type: ignore[method-assign]  # likewise
        async for _ in _listening(connector, inbox):
            (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert said.text == "/incident list"

    async def test_a_dropped_connection_loses_nothing(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.server.drop()
        await rig.press(ref, ACK, {})
        (press,) = await inbox.wait_presses(1)
        assert press.button == ACK.id
        assert [told["op"] for told in rig.server.heard if told["op"] in {2, 6}] == [2, 6]

    async def test_a_session_that_is_gone_is_begun_anew(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        rig.server.takes_sessions = False
        await rig.server.drop()
        await until(lambda: [told["op"] for told in rig.server.heard if told["op"] in {2, 6}] == [2, 6, 2])
        await until(lambda: rig.server.sockets)
        await rig.say("/incident list")
        assert len(await inbox.wait(1)) == 1

    async def test_a_press_is_answered_in_time_whatever_the_store_does(
        self, rig: DiscordRig, inbox: RecordingInbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "PATIENCE", 0.05)
        opened = gate(inbox)
        inbox.reply = Reply(text="You have INC-7 now.")
        await rig.press(await self._post(rig, card()), ACK, {})
        await until(lambda: [one["kind"] for one in rig.server.answers] == [5])
        opened.set()
        await until(lambda: [one["kind"] for one in rig.server.answers] == [5, "complete"])
        assert "You have INC-7 now." in rig.server.told()

    async def test_a_press_that_hangs_holds_up_nobody_else(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        opened, receive = asyncio.Event(), inbox.receive

        async def slow(event: Press | Said) -> Reply:
            if event.account == "7":
                await opened.wait()
            return await receive(event)

        inbox.receive = slow  # type: ignore[method-assign]  # one test's inbox
        await rig.press(await self._post(rig, card()), ACK, {})
        await rig.server.press(rig.server.find("checkout is failing"), ACK.id, BEN)
        (press,) = await inbox.wait_presses(1)
        assert press.account == "8"
        opened.set()
        await inbox.wait_presses(2)

    async def test_only_what_rings_makes_a_sound_and_names_the_person(self, rig: DiscordRig) -> None:
        await self._post(rig, card(), "k1")
        await self._post(rig, note("page:0", headline="Ana: checkout", rings=("ana", "ben")), "k2")
        quiet, loud = rig.server.find("checkout is failing"), rig.server.find("Ana: checkout")
        assert (quiet.body["flags"], quiet.body["allowed_mentions"]) == (1 << 12, {"parse": [], "users": []})
        assert (loud.body["flags"], loud.body["allowed_mentions"]) == (0, {"parse": [], "users": ["7"]})
        assert loud.body["content"].startswith("<@7> ")

    async def test_a_question_whose_words_were_lost_in_a_restart_is_typed(
        self, rig: DiscordRig, inbox: RecordingInbox, served: TestServer
    ) -> None:
        other = Connector(settings(served), PLACE)
        ref = await other.post("discord", card(buttons=(REJECT,)), "key-1", None)
        await other.close()
        await rig.press(ref, REJECT, {"reason": "Too risky for a Friday"})
        (press,) = await inbox.wait_presses(1)
        assert (press.button, dict(press.values)) == (REJECT.id, {"answer": "Too risky for a Friday"})

    async def test_after_a_restart_a_reason_is_chosen_as_before(
        self, rig: DiscordRig, inbox: RecordingInbox, served: TestServer
    ) -> None:
        patch = note("patch:0123456789ab", buttons=(REJECT,))
        inbox.standing["patch"] = patch
        other = Connector(settings(served), PLACE)
        ref = await other.post("discord", patch, "k1", await other.post("discord", card(), "k0", None))
        await other.close()
        await rig.press(ref, REJECT, {"reason": "Too risky"})
        (press,) = await inbox.wait_presses(1)
        assert (press.button, dict(press.values)) == (REJECT.id, {"reason": "Too risky"})

    async def test_words_that_name_the_bot_in_a_thread_are_about_its_incident(
        self, rig: DiscordRig, inbox: RecordingInbox
    ) -> None:
        await self._post(rig, card())
        ((thread, (name, parent)),) = rig.server.threads.items()
        await rig.server.say("shall we roll back?", channel=thread)
        await rig.server.say(f"<@{BOT}> status", channel=999)
        await rig.server.say(f"<@{BOT}> status", channel=thread, webhook_id="5")
        await rig.server.say(f"<@{BOT}> incident ack", channel=thread)
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.incident, said.account) == ("incident ack", "INC-7", "7")
        assert (name, parent) == ("INC-7 · checkout is failing", CHAT)
        await until(lambda: [one for one in rig.server.messages.values() if "Noted." in one.text])

    async def test_presses_and_commands_elsewhere_reach_nobody(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        await rig.server.command("incident", 999, action="list")
        await rig.server.press(Stored(id=1, channel=999, body={}), ACK.id)
        await until(lambda: rig.server.told().count("takes nothing from this channel") == 2)
        assert inbox.events == []

    async def test_the_id_command_tells_what_the_configuration_needs(self, rig: DiscordRig) -> None:
        await rig.server.command("id", 999)
        await until(lambda: "Your account: 7\nThis channel: 999\nNightshift takes no commands" in rig.server.told())

    async def test_commands_are_registered_only_where_they_changed(self, rig: DiscordRig, served: TestServer) -> None:
        assert {"incident", "oncall", "patch", "ci"} <= {command["name"] for command in rig.server.commands}
        other = Connector(settings(served), PLACE)
        async for _ in _listening(other, RecordingInbox()):
            await until(lambda: len(rig.server.sockets) == 2)
        assert [name for name, _ in rig.server.calls].count("put_commands") == 1

    async def _suggest(self, rig: DiscordRig, option: str, begun: str) -> list[str]:
        before = len(rig.server.answers)
        typed = {"name": option, "type": 3, "value": begun, "focused": True}
        await rig.server.interact(4, {"id": "1", "name": "incident", "type": 1, "options": [typed]}, CHAT)
        await until(lambda: len(rig.server.answers) > before)
        return [f"{choice['value']}: {choice['name']}" for choice in rig.server.answers[-1]["choices"]]

    async def test_a_command_is_suggested_while_it_is_typed(self, rig: DiscordRig) -> None:
        assert await self._suggest(rig, "action", "sil") == ["silence 1h: silence 1h", "silence 4h: silence 4h"]

    async def test_incidents_are_suggested_by_what_they_are_about_also_after_a_restart(
        self, rig: DiscordRig, inbox: RecordingInbox
    ) -> None:
        await self._post(rig, card())
        assert await self._suggest(rig, "incident", "7") == [], "nobody knows who asks"
        open_one = Paragraph(text="INC-9 shop: nobody can pay " + "x" * 100 + "\nCritical, since 02:14 UTC.")
        inbox.summary = note("summary", incident="", headline="1 incident is open", blocks=(open_one,))
        (about,) = await self._suggest(rig, "incident", "PAY")
        assert about.startswith("INC-9: INC-9 shop: nobody can pay xx")
        assert await self._suggest(rig, "incident", "7") == ["INC-7: INC-7"]

    async def test_files_are_exchanged_only_where_they_changed(self, rig: DiscordRig) -> None:
        def draft(text: str) -> tuple[File, ...]:
            return (File(name="a.diff", media_type="text/x-diff", text=text),)

        ref = await self._post(rig, card(files=draft("+one")))
        await rig.connector.edit(rig.channel, card(files=draft("+one"), headline="approved"), ref)
        assert "attachments" not in rig.server.calls[-1][1]
        await rig.connector.edit(rig.channel, card(files=draft("+two")), ref)
        assert await rig.file(ref, "a.diff") == "+two"

    async def test_a_card_that_somebody_deleted_comes_back(self, rig: DiscordRig) -> None:
        ref = await self._post(rig, card())
        rig.server.messages.clear()
        await rig.connector.edit(rig.channel, card(headline="checkout works again"), ref)
        assert await rig.copies("checkout works again") == 1

    async def test_where_somebody_deleted_the_thread_the_channel_gets_the_message(self, rig: DiscordRig) -> None:
        head = await self._post(rig, card())
        rig.server.threads.clear()
        await self._post(rig, note(), "key-2", head)
        assert rig.server.find("Reading logs").channel == CHAT

    async def test_where_the_bot_may_open_no_thread_replies_have_to_do(self, rig: DiscordRig) -> None:
        rig.server.faults["open_thread"] = [(403, {"message": "Missing Permissions", "code": 50013}, {})]
        head = await self._post(rig, card())
        await self._post(rig, note(), "key-2", head)
        assert rig.server.find("Reading logs").reply_to == rig.server.find("checkout is failing").id

    async def test_the_same_key_after_a_restart_makes_no_second_copy(self, rig: DiscordRig, served: TestServer) -> None:
        ref = await self._post(rig, card())
        other = Connector(settings(served), PLACE)
        assert await other.post("discord", card(), "key-1", None) == ref
        await other.close()
        assert await rig.copies("checkout is failing") == 1

    async def test_a_long_answer_is_a_file_that_lost_nothing(self, rig: DiscordRig, inbox: RecordingInbox) -> None:
        inbox.reply = Reply(text="+ line of a patch\n" * 3000)
        await rig.say("/patch show")
        await until(lambda: inbox.reply.text in rig.server.told())

    @pytest.mark.parametrize(
        ("status", "body", "headers", "kind", "reason"),
        [
            (429, {"message": "slow", "retry_after": 7.0}, {"Retry-After": "7"}, Unavailable, Reason.RATE_LIMITED),
            (401, {"message": "401: Unauthorized", "code": 0}, {}, Rejected, Reason.REVOKED),
            (403, {"message": "Missing Access", "code": 50001}, {}, Rejected, Reason.NOT_ALLOWED),
            (404, {"message": "Unknown Channel", "code": 10003}, {}, Rejected, Reason.NOT_FOUND),
            (400, {"message": "Invalid Form Body", "code": 50035}, {}, Rejected, Reason.BAD_INPUT),
            (502, {"message": "Bad Gateway"}, {}, Unavailable, Reason.SERVER_ERROR),
        ],
    )
    async def test_errors_say_whether_a_retry_helps(
        self,
        rig: DiscordRig,
        status: int,
        body: dict[str, Any],
        headers: dict[str, str],
        kind: type[Unavailable],
        reason: Reason,
    ) -> None:
        rig.server.faults["send"] = [(status, body, headers)]
        with pytest.raises(kind) as caught:
            await self._post(rig, card())
        assert caught.value.reason is reason
        assert TOKEN not in str(caught.value)
        assert [name for name, _ in rig.server.calls].count("send") == 1
        if status == 429:
            assert caught.value.retry_after == 7

    async def test_a_server_that_does_not_answer_is_a_timeout(self, world: DiscordServer, served: TestServer) -> None:
        async def hang(*_: object) -> None:
            await asyncio.sleep(1)

        world._send = hang  # type: ignore[method-assign,assignment]  # this server hangs
        connector = Connector(settings(served, answer_seconds=0.1), PLACE)
        with pytest.raises(Unavailable) as caught:
            await connector.post("discord", card(), "k", None)
        await connector.close()
        assert caught.value.reason is Reason.TIMEOUT

    async def test_a_gateway_that_is_down_ends_the_listening_with_an_error_that_says_so(
        self, served: TestServer, inbox: RecordingInbox
    ) -> None:
        connector = Connector(settings(served, gateway_url="ws://127.0.0.1:9/"), PLACE)
        with pytest.raises(Unavailable):
            await connector.run(inbox)
        await connector.close()

    @pytest.mark.parametrize("frame", ["nonsense", '{"op": 10}', '{"op": 0, "t": "READY", "d": {}, "s": 3}', "[]"])
    async def test_a_gateway_that_speaks_nonsense_is_tried_again(
        self, rig: DiscordRig, served: TestServer, inbox: RecordingInbox, frame: str
    ) -> None:
        connector = Connector(settings(served), PLACE)
        listens = asyncio.create_task(connector.run(inbox))
        await until(lambda: len(rig.server.sockets) == 2)
        await rig.server.sockets[-1].send_str(frame)
        with pytest.raises(Unavailable):
            await listens
        await connector.close()

    async def test_a_limit_that_is_far_from_used_up_holds_nothing_up_however_long_it_counts(
        self, rig: DiscordRig
    ) -> None:
        rig.server.limits = rate_limits.discord()
        async with asyncio.timeout(2):
            refs = [await self._post(rig, card(incident=f"INC-{number}"), f"k{number}") for number in range(3)]
        assert len(set(refs)) == len(rig.server.threads) == 3
        assert rig.server.limits.refused == 0

    async def test_a_page_of_a_proxy_is_no_answer_of_discord(self, rig: DiscordRig) -> None:
        rig.server.faults["send"] = [(200, {}, {"X-Page": "<html>Please sign in</html>"})]
        with pytest.raises(Unavailable, match="is not Discord"):
            await self._post(rig, card())

    async def test_everything_goes_through_the_proxy_that_is_set(self, served: TestServer) -> None:
        proxy = str(served.make_url("")).rstrip("/")
        connector = Connector(settings(served, url="http://discord.invalid", proxy=proxy), PLACE)
        health = await connector.check()
        await connector.close()
        assert (health.ok, health.text) == (True, "@nightshift in #on-call, by the gateway")

    @pytest.mark.parametrize(("bypass", "is_ok"), [("", True), ("discord.invalid", False)])
    async def test_the_proxy_of_the_environment_counts_but_for_what_goes_past_it(
        self, served: TestServer, monkeypatch: pytest.MonkeyPatch, bypass: str, is_ok: bool
    ) -> None:
        monkeypatch.setenv("http_proxy", str(served.make_url("")).rstrip("/"))
        monkeypatch.setenv("no_proxy", bypass)
        connector = Connector(settings(served, url="http://discord.invalid"), PLACE)
        health = await connector.check()
        await connector.close()
        assert health.ok is is_ok

    async def test_a_message_in_a_thread_that_fell_asleep_is_edited_all_the_same(self, rig: DiscordRig) -> None:
        head = await self._post(rig, card())
        ref = await self._post(rig, note(), "key-2", head)
        (thread,) = rig.server.threads
        rig.server.asleep.add(thread)
        await rig.connector.edit(rig.channel, note(headline="Logs were read"), ref)
        assert await rig.copies("Logs were read") == 1
        assert rig.server.asleep == set()

    async def test_a_bot_that_does_not_see_the_channel_is_told_how_to_get_in(
        self, world: DiscordServer, served: TestServer
    ) -> None:
        world.faults["channel"] = [(403, {"message": "Missing Access", "code": 50001}, {})]
        connector = Connector(settings(served), PLACE)
        health = await connector.check()
        await connector.close()
        assert not health.ok
        assert "does not see the channel 500" in health.text
        assert "client_id=4242&scope=bot+applications.commands&permissions=2252109051448320" in health.text

    async def test_check_names_what_is_wrong(self, served: TestServer) -> None:
        for changes, word in (
            ({"token": TOKEN[:-1] + "B"}, "token"),
            ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
        ):
            connector = Connector(settings(served, **changes), PLACE)
            health = await connector.check()
            await connector.close()
            assert not health.ok
            assert word in health.text


class TestChatDiscordCalls(ChatContract):
    """Discord calls in, with its signature."""

    @pytest.fixture
    async def rig(self, world: DiscordServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[DiscordRig]:
        connector = Connector(settings(served, public_key=PUBLIC), PLACE)
        async with TestServer(_mount(connector.webhooks(inbox))) as own:
            async for _ in _listening(connector, inbox):
                world.hook = str(own.make_url("/v1/chat/discord"))
                yield DiscordRig(connector, world)

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served, public_key=PUBLIC), PLACE)

    async def test_a_call_that_discord_did_not_sign_reaches_nobody(
        self, rig: DiscordRig, inbox: RecordingInbox
    ) -> None:
        await rig.say("/incident list")
        event = {**rig.server._last, "id": "99"}
        assert await rig.server.call_hook(event, key=Ed25519PrivateKey.generate()) == 401
        for at in (0, 1e12):
            assert await rig.server.call_hook(event, at=at) == 401
        assert len(inbox.events) == 1

    async def test_a_ping_is_answered_and_what_is_no_interaction_is_refused(self, rig: DiscordRig) -> None:
        ping = {"id": "1", "application_id": "2", "type": 1, "token": "t"}
        assert await rig.server.call_hook(ping) == 200
        for body in ({}, {**ping, "id": "x"}, {**ping, "type": 3, "data": "y"}):
            assert await rig.server.call_hook(body) == 400

    async def test_the_call_ends_when_its_person_was_answered(
        self, rig: DiscordRig, inbox: RecordingInbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "PATIENCE", 0.05)
        opened = gate(inbox)
        await rig.say("/incident list")
        assert rig.server.hook_answers == [202]
        assert [one["kind"] for one in rig.server.answers] == [5]
        opened.set()
        await until(lambda: "Noted." in rig.server.told())


def _mount(hooks: Sequence[Webhook]) -> web.Application:
    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = WebRequest(method=request.method, path=request.path, headers=headers, body=await request.read())
        (hook,) = [hook for hook in hooks if hook.path == request.path]
        answer = await hook.handle(asked)
        return web.Response(status=answer.status, text=answer.body, content_type=answer.media_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    return app


def test_the_sdk_is_imported_only_where_a_discord_channel_is_configured() -> None:
    code = "import sys, bot.bootstrap.chat, bot.cli; print('discord' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token": "nonsense"}, "three parts"),
        ({"public_key": "abc"}, "64 digits"),
        ({"url": "https://user:pass@api.example"}, "no user"),
        ({"gateway_url": "https://gateway.example"}, "wss://"),
    ],
)
def test_settings_say_what_is_wrong(changes: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Settings.model_validate({"token": TOKEN, "chat": CHAT, **changes})
