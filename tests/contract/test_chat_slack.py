"""Slack as a chat service, through its own SDK: a Slack in memory, over Socket Mode and over signed requests."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from aiohttp.test_utils import TestServer

from bot.domain.chat import Button, Link, Press, Reply, Said, Tone
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from bot.ports.http import WebAnswer, WebRequest
from connectors.chat.slack import Connector, Settings
from connectors.chat.slack.events import COMMANDS
from tests.contract.chat_suite import ACK, ChatContract, ChatRig, RecordingInbox, card, note, numbered
from tests.slack_server import APP_TOKEN, BOT_TOKEN, CHAT, SlackServer, parts, text_of

PLACE = ChatPlace(name="slack", accounts={"ana": "U0ANA"})
SECRET = "s" * 32
ANA = "U0ANA"
MANIFEST = Path(__file__).resolve().parents[2] / "infra" / "slack-manifest.yaml"


def settings(url: str, **changes: Any) -> Settings:
    values = {"chat": CHAT, "bot_token": BOT_TOKEN, "url": f"{url}/api", "app_token": APP_TOKEN}
    return Settings.model_validate({**values, **changes})


def signed(body: str, *, age: int = 0, secret: str = SECRET, media_type: str = "") -> WebRequest:
    raw, stamp = body.encode(), str(int(time.time()) - age)
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + raw, hashlib.sha256).hexdigest()
    headers = {
        "content-type": media_type or "application/x-www-form-urlencoded",
        "x-slack-signature": f"v0={mac}",
        "x-slack-request-timestamp": stamp,
    }
    return WebRequest(method="POST", path="/v1/chat/slack", body=raw, headers=headers)


class SlackRig(ChatRig):
    """Over Socket Mode."""

    channel = "slack"
    account = ANA

    def __init__(self, server: SlackServer, connector: Connector) -> None:
        self.server = server
        self.connector = connector
        self._last: tuple[str, dict[str, Any]] = ("", {})
        self._count = 0

    def _message(self, ref: str) -> dict[str, Any]:
        return self.server.messages[ref.rpartition("/")[2]]

    async def shown(self, ref: str) -> str:
        files = [text for thread, _, text in self.server.files if thread == ref.partition("/")[0]]
        return "\n".join([*text_of(self._message(ref)["blocks"]), *files])

    async def file(self, ref: str, name: str) -> str:
        head = ref.partition("/")[0]
        return next(text for thread, found, text in self.server.files if (thread, found) == (head, name))

    async def picture(self, ref: str, name: str) -> tuple[bytes, str]:
        title, alternative = self.server.captions[name]
        assert title == alternative
        return (await self.file(ref, name)).encode(errors="surrogateescape"), title

    async def buttons(self, ref: str) -> Sequence[str]:
        return [part["text"]["text"] for part in parts(self._message(ref)["blocks"]) if part.get("type") == "button"]

    async def live(self, ref: str) -> Sequence[str]:
        message = self._message(ref)
        found = [sign for sign in "<>" if sign in message["text"]]
        for part in parts(message["blocks"]):
            if part.get("type") in {"mrkdwn", "user", "broadcast", "usergroup"} or part.get("emoji"):
                found.append(str(part))
            if part.get("type") == "link" and not part["url"].startswith("https://runbooks.example/"):
                found.append(part["url"])
            text = part.get("text", "")
            if isinstance(text, str) and not text.replace("\n", "").isprintable():
                found.append(repr(text))
        return found

    async def copies(self, text: str) -> int:
        return sum(text in json.dumps(message["blocks"]) for message in self.server.messages.values())

    async def is_under(self, ref: str, card: str) -> bool:
        return bool(self._message(ref).get("thread_ts") == card)

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        shown = [part for part in parts(self._message(ref)["blocks"]) if part.get("type") == "button"]
        (value,) = [p["value"] for p in shown if p["value"] == button.id or f'"{button.id}"' in p["value"]]
        self._count += 1
        await self.send("interactive", self.server.pressing(ref.rpartition("/")[2], value, ANA, str(self._count)))
        if button.form is not None:
            await self.fill(values)

    async def fill(self, values: Mapping[str, str], **changes: str) -> None:
        async with asyncio.timeout(5):
            while not self.server.view:
                await asyncio.sleep(0.005)
        state = {name: {"value": {"selected_option": {"value": value}}} for name, value in values.items()}
        view = {**self.server.view, "id": "V1", "state": {"values": state}, **changes}
        await self.send("interactive", {"type": "view_submission", "user": {"id": ANA}, "view": view})

    async def say(self, text: str) -> None:
        await self.command(text, CHAT)

    async def command(self, text: str, channel: str) -> None:
        command, _, rest = text.partition(" ")
        about = {"user_id": ANA, "channel_id": channel, "trigger_id": "T1"}
        respond = f"{self.server.url}/respond"
        await self.send("slash_commands", {"command": command, "text": rest, "response_url": respond, **about})

    async def happen(self, event: dict[str, Any], number: str = "Ev1") -> None:
        about = {"type": "event_callback", "event_id": number, "team_id": "T1"}
        bot = {
            "enterprise_id": None,
            "team_id": "T1",
            "user_id": "UBOT",
            "is_bot": True,
            "is_enterprise_install": False,
        }
        await self.send("events_api", {**about, "event": event, "authorizations": [bot]})

    async def repeat(self) -> None:
        await self.send(*self._last)

    async def told(self) -> str:
        return "\n".join(self.server.told)

    async def wait_told(self, text: str) -> None:
        async with asyncio.timeout(5):
            while text not in await self.told():
                await asyncio.sleep(0.005)

    async def send(self, kind: str, payload: dict[str, Any]) -> None:
        """Deliver, and return once Slack has its acknowledgement."""
        self._last = (kind, payload)
        envelope = await self.server.deliver(kind, payload)
        async with asyncio.timeout(5):
            while envelope not in self.server.acknowledged:
                await asyncio.sleep(0.002)


class HttpRig(SlackRig):
    """By requests that Slack signs."""

    def __init__(self, server: SlackServer, connector: Connector, inbox: RecordingInbox) -> None:
        super().__init__(server, connector)
        (self.hook,) = connector.webhooks(inbox)

    async def send(self, kind: str, payload: dict[str, Any]) -> None:
        self._last = (kind, payload)
        assert (await self.request(kind, payload)).status == 200

    async def request(self, kind: str, payload: dict[str, Any]) -> WebAnswer:
        if kind == "events_api":
            return await self.hook.handle(signed(json.dumps(payload), media_type="application/json"))
        fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        return await self.hook.handle(signed(urlencode(fields)))


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    world = SlackServer()
    async with TestServer(world.app()) as far:
        world.url = str(far.make_url("")).rstrip("/")
        yield world
    assert world.violations == []


class TestChatSlack(ChatContract):
    """Over Socket Mode, the default."""

    @pytest.fixture
    async def rig(self, server: SlackServer, inbox: RecordingInbox) -> AsyncIterator[SlackRig]:
        connector = Connector(settings(server.url), PLACE)
        task = asyncio.create_task(connector.run(inbox))
        yield SlackRig(server, connector)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @pytest.fixture
    def idle(self, server: SlackServer) -> Connector:
        return Connector(settings(server.url), PLACE)

    async def test_an_event_is_acknowledged_after_the_inbox_has_it(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        gate, entered = asyncio.Event(), asyncio.Event()

        async def receive(event: Press | Said) -> Reply:
            entered.set()
            await gate.wait()
            return await RecordingInbox.receive(inbox, event)

        inbox.receive = receive  # type: ignore[method-assign]  # a store in trouble
        ref = await self._post(rig, card())
        payload = rig.server.pressing(ref, ACK.id, ANA, "1")
        envelope = await rig.server.deliver("interactive", payload)
        async with asyncio.timeout(5):
            await entered.wait()
        assert rig.server.acknowledged == []
        gate.set()
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while envelope not in rig.server.acknowledged:
                await asyncio.sleep(0.005)

    async def test_slack_is_answered_in_time_though_the_store_is_not_and_the_answer_follows(
        self, rig: SlackRig, inbox: RecordingInbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = asyncio.Event()

        async def receive(event: Press | Said) -> Reply:
            await gate.wait()
            return await RecordingInbox.receive(inbox, event)

        monkeypatch.setattr(inbox, "receive", receive)
        monkeypatch.setattr("connectors.chat.slack.events.PATIENCE", 0.02)
        await rig.press(await self._post(rig, card()), ACK, {})
        async with asyncio.timeout(5):
            while "still working on this" not in await rig.told():
                await asyncio.sleep(0.005)
            assert inbox.events == []
            gate.set()
            while "Noted." not in await rig.told():
                await asyncio.sleep(0.005)
        assert [press.button for press in await inbox.wait_presses(1)] == [ACK.id]

    async def test_words_in_a_thread_come_with_their_incident(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        event = {"type": "message", "channel": CHAT, "user": ANA, "text": "<@UBOT> why &lt;now&gt;?", "ts": "2.0"}
        await rig.happen({**event, "thread_ts": ref})
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.event, said.text, said.incident) == ("Ev1", "why <now>?", "INC-7")
        assert said.is_addressed
        await rig.wait_told("Noted.")

    async def test_what_colleagues_write_each_other_in_a_thread_is_not_answered(
        self, rig: SlackRig, inbox: RecordingInbox
    ) -> None:
        inbox.reply = Reply(text="")
        ref = await self._post(rig, card())
        event = {"type": "message", "channel": CHAT, "user": ANA, "text": "coffee?", "ts": "2.0"}
        await rig.happen({**event, "thread_ts": ref})
        (said,) = await inbox.wait(1)
        assert isinstance(said, Said)
        assert (said.text, said.is_addressed) == ("coffee?", False)
        assert rig.server.told == []

    @pytest.mark.parametrize("changes", [{"bot_id": "B1"}, {"subtype": "message_changed"}, {"channel": "C0999"}, {}])
    async def test_other_words_reach_nobody(
        self, rig: SlackRig, inbox: RecordingInbox, changes: dict[str, str]
    ) -> None:
        ref = await self._post(rig, card())
        event = {"type": "message", "channel": CHAT, "user": ANA, "text": "hello", "ts": "2.0"}
        await rig.happen({**event, **({"thread_ts": ref} if changes else {}), **changes})
        assert inbox.events == []

    async def test_a_command_of_another_channel_is_refused(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        await rig.command("/ci status", "C0999")
        await rig.wait_told("takes nothing from this channel")
        assert inbox.events == []

    async def test_a_form_that_names_another_channel_is_refused(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        rig.server.view = {"type": "modal", "callback_id": "form"}
        await rig.fill({"reason": "x"}, private_metadata='{"id": "ack:INC-7", "channel": "C0999", "thread": ""}')
        await rig.wait_told("takes nothing from this channel")
        assert inbox.events == []

    async def test_the_home_shows_the_open_incidents(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        link = Link(label="Open INC-7", url="https://runbooks.example/INC-7")
        inbox.summary = note("summary", incident="", headline="1 incident is open", blocks=(link,), is_pinned=True)
        await self._go_home(rig)
        assert {"🔴 1 incident is open", "Open INC-7"} <= set(text_of(rig.server.homes[ANA]))
        assert inbox.events == []

    async def test_the_home_of_a_stranger_says_how_to_get_access(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        inbox.reply = Reply(text="Nightshift does not know you here.", ok=False)
        await self._go_home(rig)
        assert text_of(rig.server.homes[ANA]) == ["Nightshift does not know you here."]

    async def _go_home(self, rig: SlackRig) -> None:
        await rig.happen({"type": "app_home_opened", "user": ANA, "tab": "home", "channel": "D1"})
        async with asyncio.timeout(5):
            while ANA not in rig.server.homes:
                await asyncio.sleep(0.005)

    async def test_a_long_answer_is_told_whole(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        words = numbered("word", 3000)
        inbox.reply = Reply(text=" ".join(words))
        await rig.say("/incident list")
        await rig.wait_told(words[-1])
        told = await rig.told()
        assert [word for word in words if word not in told] == []
        assert len(rig.server.told) <= 5

    async def test_only_what_is_broadcast_is_shown_in_the_channel_too(self, rig: SlackRig) -> None:
        head = await self._post(rig, card())
        raised = note("raised:critical", is_broadcast=True)
        refs = [head, await self._post(rig, note(), "key-2", head), await self._post(rig, raised, "key-3", head)]
        alone = await self._post(rig, raised, "key-4")
        shown = ["reply_broadcast" in rig.server.messages[ref.rpartition("/")[2]] for ref in (*refs, alone)]
        assert shown == [False, False, True, False]

    async def test_how_it_stands_is_seen_at_first_glance_and_in_a_notification(self, rig: SlackRig) -> None:
        ref = await self._post(rig, card())
        posted = dict(rig.server.messages[ref])
        await rig.connector.edit(rig.channel, card(tone=Tone.GOOD), ref)
        for one, mark in ((posted, "🔴"), (rig.server.messages[ref], "🟢")):
            assert one["text"] == f"{mark} checkout is failing"
            assert text_of(one["blocks"])[0] == f"{mark} checkout is failing"

    async def test_nothing_is_written_into_the_terminal(
        self, rig: SlackRig, inbox: RecordingInbox, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await rig.press(await self._post(rig, card()), ACK, {})
        await inbox.wait(1)
        assert capsys.readouterr().out == ""

    async def test_a_ring_mentions_the_person_and_no_other_message_does(self, rig: SlackRig) -> None:
        calm, loud = await self._post(rig, card()), await self._post(rig, card(rings=("ana", "zoe")), "key-2")
        users = [
            [part["user_id"] for part in parts(rig.server.messages[ref]["blocks"]) if part.get("type") == "user"]
            for ref in (calm, loud)
        ]
        assert users == [[], [ANA]]

    async def test_a_dropped_socket_is_made_anew(self, rig: SlackRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await rig.server.drop()
        async with asyncio.timeout(20):
            while len(inbox.events) < 2:
                await rig.server.deliver("interactive", rig.server.pressing(ref, ACK.id, ANA, "2"))
                await asyncio.sleep(0.2)

    async def test_a_limit_of_slack_says_how_long_to_wait(self, rig: SlackRig) -> None:
        rig.server.fault = (429, {"Retry-After": "7"}, {"ok": False, "error": "ratelimited"})
        with pytest.raises(Unavailable) as caught:
            await self._post(rig, card())
        assert (caught.value.reason, caught.value.retry_after) == (Reason.RATE_LIMITED, 7.0)

    async def test_a_server_error_may_pass(self, rig: SlackRig) -> None:
        rig.server.fault = (500, {}, {"ok": False})
        with pytest.raises(Unavailable):
            await self._post(rig, card())

    async def test_a_message_whose_answer_got_lost_is_posted_once(self, rig: SlackRig) -> None:
        for thread in (None, await self._post(rig, card(), "key-0")):
            rig.server.loses = "chat.postMessage"
            message = card(headline="only once please" if thread is None else "once in the thread")
            with pytest.raises(Unavailable):
                await self._post(rig, message, f"key-{thread}", thread)
            ref = await self._post(rig, message, f"key-{thread}", thread)
            assert await rig.copies(message.headline) == 1
            assert message.headline in await rig.shown(ref)

    async def test_a_revoked_token_is_final(self, rig: SlackRig) -> None:
        rig.server.fault = (200, {}, {"ok": False, "error": "token_revoked"})
        with pytest.raises(Rejected) as caught:
            await self._post(rig, card())
        assert caught.value.reason is Reason.REVOKED
        assert BOT_TOKEN not in str(caught.value)

    async def test_the_manifest_asks_for_what_is_called_and_no_more(self, rig: SlackRig) -> None:
        manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
        assert [one["command"] for one in manifest["features"]["slash_commands"]] == [*COMMANDS]
        assert set(manifest["oauth_config"]["scopes"]["bot"]) == {
            "chat:write",
            "commands",
            "files:read",
            "files:write",
            "channels:history",
            "groups:history",
        }
        events = manifest["settings"]["event_subscriptions"]["bot_events"]
        assert set(events) == {"message.channels", "message.groups", "app_home_opened"}
        assert manifest["features"]["app_home"]["home_tab_enabled"] is True


class TestChatSlackOverHttp:
    """The same events by signed requests."""

    @pytest.fixture
    def inbox(self) -> RecordingInbox:
        return RecordingInbox()

    @pytest.fixture
    def rig(self, server: SlackServer, inbox: RecordingInbox) -> HttpRig:
        return HttpRig(server, Connector(settings(server.url, app_token=None, signing_secret=SECRET), PLACE), inbox)

    async def test_a_press_arrives_twice_with_one_id(self, rig: HttpRig, inbox: RecordingInbox) -> None:
        ref = await rig.connector.post("slack", card(), "key-1", None)
        await rig.press(ref, ACK, {})
        await rig.repeat()
        first, second = await inbox.wait_presses(2)
        assert (first.button, first.event) == (ACK.id, second.event)
        await rig.wait_told("Noted.")

    async def test_a_command_and_the_words_of_a_thread_arrive(self, rig: HttpRig, inbox: RecordingInbox) -> None:
        head = await rig.connector.post("slack", card(), "key-1", None)
        await rig.connector.post("slack", note(), "key-2", head)
        await rig.say("/incident status")
        event = {"type": "message", "channel": CHAT, "user": ANA, "text": "why?", "ts": "2.0", "thread_ts": head}
        await rig.happen(event)
        assert [event.text for event in await inbox.wait(2) if isinstance(event, Said)] == ["/incident status", "why?"]

    async def test_slack_may_prove_the_address(self, rig: HttpRig) -> None:
        answer = await rig.request("events_api", {"type": "url_verification", "challenge": "abc"})
        assert (answer.status, "abc" in answer.body) == (200, True)

    @pytest.mark.parametrize("changes", [{"age": 400}, {"age": -400}, {"secret": "forged"}])
    async def test_a_forged_or_stale_request_reaches_nobody(
        self, rig: HttpRig, inbox: RecordingInbox, changes: dict[str, Any]
    ) -> None:
        answer = await rig.hook.handle(signed(urlencode({"command": "/incident", "channel_id": CHAT}), **changes))
        assert answer.status == 401
        assert inbox.events == []

    @pytest.mark.parametrize("body", ["", "payload=", "payload=[]", "payload={", "payload=" + "[" * 90_000, "a=b"])
    async def test_a_signed_body_that_is_no_event_changes_nothing(
        self, rig: HttpRig, inbox: RecordingInbox, body: str
    ) -> None:
        answer = await rig.hook.handle(signed(body))
        assert 400 <= answer.status < 500
        assert inbox.events == []

    async def test_a_signed_event_that_is_nested_too_deeply_changes_nothing(
        self, rig: HttpRig, inbox: RecordingInbox
    ) -> None:
        ref = await rig.connector.post("slack", card(), "key-1", None)
        payload = rig.server.pressing(ref, ACK.id, ANA, "1")
        for depth in range(40):
            payload["more"] = [payload.get("more", depth)]
        answer = await rig.request("interactive", payload)
        assert (answer.status, inbox.events) == (400, [])

    async def test_an_event_that_cannot_be_stored_is_sent_again(self, rig: HttpRig, inbox: RecordingInbox) -> None:
        async def receive(event: Press | Said) -> Reply:
            raise OSError("the disk is full")

        inbox.receive = receive  # type: ignore[method-assign]  # a store in trouble
        ref = await rig.connector.post("slack", card(), "key-1", None)
        answer = await rig.request("interactive", rig.server.pressing(ref, ACK.id, ANA, "1"))
        assert answer.status == 503


async def test_a_slack_that_cannot_be_reached_may_come_back() -> None:
    connector = Connector(settings("http://127.0.0.1:9"), PLACE)
    with pytest.raises(Unavailable):
        await connector.post("slack", card(), "key-1", None)
    assert not (await connector.check()).ok


async def test_an_app_token_that_slack_does_not_know_is_named(server: SlackServer) -> None:
    connector = Connector(settings(server.url, app_token="xapp-1-of-another"), PLACE)
    health = await connector.check()
    assert (health.ok, "of the app-level token (xapp-…)" in health.text) == (False, True)


def test_one_way_to_listen_is_asked_for() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        settings("http://x", signing_secret=SECRET)
