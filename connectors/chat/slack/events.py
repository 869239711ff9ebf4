"""What people do in Slack: handed to the inbox first, acknowledged to Slack next, answered last."""

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.domain.chat import Press, Reply, Said
from bot.errors import NightshiftError, Reason, Unavailable
from bot.ports.chat import ChatInbox
from connectors.chat.slack.api import named_faults
from connectors.chat.slack.blocks import read_value, render_answer, render_form, render_home
from connectors.chat.slack.files import read_files
from connectors.chat.slack.settings import Settings

Ack = Callable[[], Awaitable[object]]
Tell = Callable[[Reply], Awaitable[object]]
Work = Coroutine[Any, Any, Reply | None]
Json = dict[str, Any]
log = structlog.get_logger(__name__)
COMMANDS: Final = ("/incident", "/oncall", "/patch", "/ci", "/link")
PATIENCE: Final = 2.0
"""Seconds until Slack has its acknowledgement, whatever the store does: after three it tells people that it failed."""
_WORDS: Final = (None, "", "file_share")
_TOGETHER: Final = 3
"""Blocks of an answer in one message: Slack takes five messages for one press or command."""
_SLOW: Final = Reply(text="Nightshift is still working on this. The answer follows here.")
_NOT_HERE: Final = Reply(text="Nightshift takes nothing from this channel. Nothing was done.", ok=False)
_NOT_OURS: Final = Reply(text="Nightshift did not make this button. Nothing was done.", ok=False)


class Listeners:
    """The listeners of one app. What comes from other channels reaches nobody.

    `client` answers: Bolt's own copies of it would read the environment's proxy again.
    """

    def __init__(self, client: AsyncWebClient, inbox: ChatInbox, settings: Settings, name: str) -> None:
        self._client = client
        self._inbox = inbox
        self._name = name
        self._chat = settings.chat
        self._allowed = frozenset({settings.chat, *settings.allowed_chats})
        self._answers: set[asyncio.Task[None]] = set()

    def join(self, app: AsyncApp) -> None:
        """Let the app call these listeners."""
        app.action(re.compile(r"^press:\d+$"))(self.pressed)
        app.view("form")(self.submitted)
        app.event("message")(self.said)
        app.event("app_home_opened")(self.went_home)
        app.command(re.compile("|".join(f"^{command}$" for command in COMMANDS)))(self.commanded)

    async def close(self) -> None:
        """Give up the answers that are still on their way."""
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    async def pressed(self, ack: Ack, body: Json) -> None:
        """A button with a form opens it at once, as Slack allows that for three seconds; others are presses."""
        tell = partial(_respond, self._client, str(body.get("response_url", "")))
        is_here = _dig(body, "channel", "id") in self._allowed
        await self._answer(ack, self._press(body) if is_here else _say(_NOT_HERE), tell)

    async def submitted(self, ack: Ack, body: Json) -> None:
        view = body["view"]
        carried = _read_json(view.get("private_metadata", ""))
        place, button, thread = (str(carried.get(name, "")) for name in ("channel", "id", "thread"))
        account = str(_dig(body, "user", "id"))
        if place in self._allowed and button:
            values = {name: _read_input(fields) for name, fields in _dig(view, "state", "values").items()}
            event = name_event("form", account, str(view["id"]), button)
            work: Work = self._hand_in(self._make_press(event, account, button, values))
        else:
            place, work = self._chat, _say(_NOT_HERE)
        await self._answer(ack, work, partial(_whisper, self._client, place, account, thread))

    async def commanded(self, ack: Ack, body: Json) -> None:
        text = f"{body['command']} {body.get('text', '')}".strip()
        event = name_event("command", body["user_id"], body["trigger_id"])
        said = self._make_said(event, body["user_id"], unescape(text), None)
        is_here = body.get("channel_id") in self._allowed
        work = self._hand_in(said) if is_here else _say(_NOT_HERE)
        await self._answer(ack, work, partial(_respond, self._client, str(body.get("response_url", ""))))

    async def said(self, ack: Ack, body: Json, event: Json) -> None:
        """What people write in the thread of an incident: a command, or what mentions us."""
        strange = event.get("bot_id") or event.get("subtype") not in _WORDS or not _is_in_thread(event)
        place, thread = str(event.get("channel", "")), str(event.get("thread_ts", ""))
        incident = None
        if not strange and place == self._chat:
            async with named_faults():
                incident = await _find_incident(self._client, place, thread)
        if incident is not None:
            text, mentions_us = _take_mention(body, str(event.get("text", "")))
            said = self._make_said(body["event_id"], event["user"], unescape(text), incident)
            reply = await self._hand_in(replace(said, is_addressed=mentions_us, attachments=read_files(event)))
            if reply.text:
                self._later(_whisper(self._client, place, event["user"], thread, reply))
        await ack()

    async def went_home(self, ack: Ack, event: Json) -> None:
        """Somebody looks at the app's home: they see what is open, as it is when they look."""
        if event.get("tab") == "home":
            self._later(self._show_home(str(event["user"])))
        await ack()

    async def _answer(self, ack: Ack, work: Work, tell: Tell) -> None:
        """Acknowledge what a person did once it is stored, or in time where that takes longer: then they are told to
        wait, for Slack itself would ask nobody again and only say that it failed."""
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        if done:
            reply = task.result()
            await ack()
            if reply is not None:
                self._later(tell(reply))
        else:
            await ack()
            self._later(self._follow(task, tell))

    async def _follow(self, task: asyncio.Task[Reply | None], tell: Tell) -> None:
        await _try(tell(_SLOW))
        reply = await task
        if reply is not None:
            await tell(reply)

    async def _show_home(self, account: str) -> None:
        view = render_home(await self._inbox.look(self._name, account))
        await self._client.views_publish(user_id=account, view=view)

    async def _press(self, body: Json) -> Reply | None:
        action = body["actions"][0]
        account, place, message = body["user"]["id"], body["channel"]["id"], body.get("message", {})
        try:
            button, form = read_value(str(action.get("value", "")))
        except NightshiftError:
            return _NOT_OURS
        if form is None:
            event = name_event("press", account, str(message.get("ts", "")), str(action["action_ts"]), button)
            return await self._hand_in(self._make_press(event, account, button, {}))
        thread = str(message.get("thread_ts") or message.get("ts", ""))
        carried = json.dumps({"id": button, "channel": place, "thread": thread})
        try:
            async with named_faults():
                await self._client.views_open(trigger_id=body["trigger_id"], view=render_form(form, carried))
        except NightshiftError as error:
            return Reply(text=f"Slack did not show the form. Press again. {error}", ok=False)
        return None

    async def _hand_in(self, event: Press | Said) -> Reply:
        try:
            return await self._inbox.receive(event)
        except NightshiftError as error:
            return Reply(text=f"Not done: {error}", ok=False)

    def _make_press(self, event: str, account: str, button: str, values: Mapping[str, str]) -> Press:
        now = datetime.now(UTC)
        return Press(
            event=event, channel=self._name, account=account, button=button, values=dict(values), pressed_at=now
        )

    def _make_said(self, event: str, account: str, text: str, incident: str | None) -> Said:
        now = datetime.now(UTC)
        return Said(event=event, channel=self._name, account=account, text=text, incident=incident, said_at=now)

    def _later(self, work: Awaitable[object]) -> None:
        """Answer after Slack has its acknowledgement. An answer that cannot be given loses no event."""
        task = asyncio.create_task(_try(work))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


async def _say(reply: Reply) -> Reply | None:
    return reply


async def _try(work: Awaitable[object]) -> None:
    try:
        async with named_faults():
            await work
    except NightshiftError as error:
        log.warning("slack_not_answered", error=str(error))


async def _respond(client: AsyncWebClient, address: str, reply: Reply) -> None:
    hook = AsyncWebhookClient(address, timeout=client.timeout, ssl=client.ssl)
    hook.proxy = client.proxy
    for text, blocks in _parts(reply):
        answer = await hook.send(text=text, blocks=blocks, response_type="ephemeral", replace_original=False)
        if answer.status_code != 200:
            raise Unavailable(f"Slack answered {answer.status_code}.", Reason.SERVER_ERROR)


async def _whisper(client: AsyncWebClient, place: str, account: str, thread: str, reply: Reply) -> None:
    for text, blocks in _parts(reply):
        await client.chat_postEphemeral(channel=place, user=account, thread_ts=thread or None, text=text, blocks=blocks)


async def _find_incident(client: AsyncWebClient, place: str, thread: str) -> str | None:
    """Read the incident from the metadata of the thread's first message, which outlives a restart."""
    found = await client.conversations_replies(channel=place, ts=thread, limit=1, include_all_metadata=True)
    first = (found.get("messages") or [{}])[0]
    if _dig(first, "metadata", "event_type") != "nightshift":
        return None
    incident = _dig(first, "metadata", "event_payload", "incident")
    return incident if isinstance(incident, str) and incident else None


def _parts(reply: Reply) -> list[tuple[str, list[Json]]]:
    """Return the answer as messages: the plain line of a notification, and the blocks that are read."""
    blocks, line = render_answer(reply.text), f"Nightshift: {'done' if reply.ok else 'not done'}"
    return [(line, blocks[at : at + _TOGETHER]) for at in range(0, len(blocks), _TOGETHER)]


def name_event(*parts: str) -> str:
    """Return an id that the same event has each time that Slack delivers it."""
    return f"slack-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def unescape(text: str) -> str:
    """Return what a person typed: Slack escapes three characters and names people and links in brackets."""
    plain = re.sub(r"<@[UW][A-Z0-9]+(?:\|[^>]*)?>\s*", "", text)
    plain = re.sub(r"<(https?://[^|>]*)(?:\|[^>]*)?>", r"\1", plain)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _read_input(fields: Json) -> str:
    found = fields.get("value") or {}
    option = found.get("selected_option")
    return str(option["value"] if option else found.get("value") or "")


def _read_json(text: str) -> Json:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _take_mention(body: Json, text: str) -> tuple[str, bool]:
    """Return a text without our own mention, and whether it had one; Slack names the bot with each event."""
    authorizations = body.get("authorizations")
    us = str(_dig(authorizations[0], "user_id") or "") if isinstance(authorizations, list) and authorizations else ""
    mention = f"<@{us}>"
    return (text.replace(mention, " ").strip(), True) if us and mention in text else (text, False)


def _is_in_thread(event: Json) -> bool:
    return bool(event.get("user") and event.get("thread_ts"))


def _dig(value: object, *names: str) -> Any:  # noqa: ANN401 -- whatever Slack sent
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
