"""The four chat services of the real bot's walks, each behind the same few words: what is offered there, pressed, seen,
and told to one person alone."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from tests import discord_server, slack_server, telegram_server, whatsapp_server
from tests.e2e.walk import Walk

Press = Callable[[], Awaitable[object]]


class Chat(Protocol):
    """`accounts` are people's there; `secrets` must stay out of every log."""

    name: str
    accounts: Mapping[str, str]
    secrets: Sequence[str]

    @property
    def violations(self) -> Sequence[str]: ...

    def app(self) -> web.Application: ...

    def table(self, url: str) -> Mapping[str, Any]:
        """Return the channel's settings, with the service at `url`."""

    def offer(self, verb: str, person: str) -> Press | None:
        """Return a press of the newest button of that kind; it can be made later, when the button is gone."""

    def offers(self, verb: str) -> bool:
        """Say whether anybody who looks there now sees such a button."""

    def seen(self) -> str:
        """Return all that stands there now."""

    def told(self) -> str:
        """Return what only the one who pressed was told."""

    def diffs(self) -> set[str]:
        """Return the files of patches."""

    def live(self) -> Sequence[str]:
        """Return what could trick a reader."""

    def strays(self) -> list[str]:
        """Return what does not stand under the incident's card, or not in its thread."""

    def will_call(self, bot: str) -> None:
        """Take note of where the bot listens; only a service that calls it wants to know."""


class SlackChat:
    name = "slack"
    accounts: Mapping[str, str] = {"ana": "U0ANA", "ben": "U0BEN"}
    secrets = (slack_server.BOT_TOKEN, slack_server.APP_TOKEN)

    def __init__(self) -> None:
        self.world = slack_server.SlackServer()
        self.app = self.world.app
        self._presses = 0

    @property
    def violations(self) -> Sequence[str]:
        return self.world.violations

    def table(self, url: str) -> Mapping[str, Any]:
        self.world.url = url
        bot, app = self.secrets
        return {"chat": slack_server.CHAT, "bot_token": bot, "app_token": app, "url": f"{url}/api"}

    def offer(self, verb: str, person: str) -> Press | None:
        for ts in sorted(self.world.messages, reverse=True):
            for value in self._values(ts):
                if value.startswith(f"{verb}:"):
                    self._presses += 1
                    payload = self.world.pressing(ts, value, self.accounts[person], str(self._presses))
                    return partial(self.world.deliver, "interactive", payload)
        return None

    def offers(self, verb: str) -> bool:
        return any(value.startswith(f"{verb}:") for ts in self.world.messages for value in self._values(ts))

    def _values(self, ts: str) -> list[str]:
        buttons = slack_server.parts(self.world.messages[ts]["blocks"])
        return [part["value"] for part in buttons if part.get("type") == "button"]

    def seen(self) -> str:
        return "\n".join("".join(slack_server.text_of(one["blocks"])) for one in self.world.messages.values())

    def told(self) -> str:
        return "\n".join(self.world.told)

    def diffs(self) -> set[str]:
        return {text for _, name, text in self.world.files if name.endswith(".diff")}

    def live(self) -> Sequence[str]:
        return ()

    def strays(self) -> list[str]:
        card, *others = sorted(self.world.messages)
        return [ts for ts in others if self.world.messages[ts].get("thread_ts") != card]

    def will_call(self, bot: str) -> None:
        """It does not: the bot holds a socket."""


class DiscordChat:
    name = "discord"
    accounts: Mapping[str, str] = {"ana": "7", "ben": "8"}
    secrets = (discord_server.TOKEN,)

    def __init__(self) -> None:
        self.world = discord_server.DiscordServer()
        self.app = self.world.app

    @property
    def violations(self) -> Sequence[str]:
        return self.world.violations

    def table(self, url: str) -> Mapping[str, Any]:
        self.world.address = f"ws{url.removeprefix('http')}/gateway"
        (token,) = self.secrets
        return {"chat": discord_server.CHAT, "token": token, "url": url, "gateway_url": self.world.address}

    def offer(self, verb: str, person: str) -> Press | None:
        for stored in sorted(self.world.messages.values(), key=lambda one: -one.id):
            for key in stored.buttons():
                if _is(key["custom_id"], verb):
                    return partial(self._press, stored, key["custom_id"], person)
        return None

    async def _press(self, stored: discord_server.Stored, key: str, person: str) -> None:
        before = len(self.world.modals)
        who = discord_server.ANA if person == "ana" else discord_server.BEN
        await self.world.press(stored, key, person=who)
        await self.world.fill_next(before, stored.channel, person=who)

    def offers(self, verb: str) -> bool:
        return self.offer(verb, "ana") is not None

    def seen(self) -> str:
        return "\n".join(one.text for one in self.world.messages.values())

    def told(self) -> str:
        return self.world.told()

    def diffs(self) -> set[str]:
        files = [file for one in self.world.messages.values() for file in one.files.items()]
        return {text for name, text in files if name.endswith(".diff")}

    def live(self) -> Sequence[str]:
        return [text for one in self.world.messages.values() for text in one.live()]

    def strays(self) -> list[str]:
        (card,) = self.world.threads
        others = [one for one in self.world.messages.values() if one.id != card and not _is_summary(one.text)]
        in_thread = [one.channel for one in others]
        return [str(channel) for channel in in_thread if channel != card]

    def will_call(self, bot: str) -> None:
        """It does not: the bot holds a socket."""


class TelegramChat:
    name = "telegram"
    accounts: Mapping[str, str] = {"ana": "7", "ben": "8"}
    secrets = (telegram_server.TOKEN,)

    def __init__(self) -> None:
        self.world = telegram_server.TelegramServer(is_forum=True)
        self.app = self.world.app

    @property
    def violations(self) -> Sequence[str]:
        return self.world.violations

    def table(self, url: str) -> Mapping[str, Any]:
        (token,) = self.secrets
        return {"chat": telegram_server.CHAT, "token": token, "url": url, "poll_seconds": 1}

    def offer(self, verb: str, person: str) -> Press | None:
        who = telegram_server.ANA if person == "ana" else {**telegram_server.ANA, "id": 8, "first_name": "Ben"}
        for stored in sorted(self.world.messages.values(), key=lambda one: -one.id):
            for row in (stored.keys or {}).get("inline_keyboard", ()):
                for key in row:
                    if _is(key["callback_data"], verb):
                        return partial(self.world.press, stored, key["callback_data"], who)
        return None

    def offers(self, verb: str) -> bool:
        return self.offer(verb, "ana") is not None

    def seen(self) -> str:
        return "\n".join(one.text for one in self.world.messages.values())

    def told(self) -> str:
        return "\n".join(answer.get("text", "") for answer in self.world.answers)

    def diffs(self) -> set[str]:
        return {one.content for one in self.world.messages.values() if one.name.endswith(".diff")}

    def live(self) -> Sequence[str]:
        return [text for one in self.world.messages.values() for text in one.live()]

    def strays(self) -> list[str]:
        (topic,) = self.world.topics
        others = [one for one in self.world.messages.values() if not _is_summary(one.text)]
        return [one.text for one in others if one.topic != topic]

    def will_call(self, bot: str) -> None:
        """It does not: the bot asks for updates."""


class WhatsAppChat:
    """Nothing there can be edited: what was sent stays, and what changed is sent."""

    name = "whatsapp"
    accounts: Mapping[str, str] = {"ana": f"+{whatsapp_server.ANA}", "ben": f"+{whatsapp_server.BEN}"}
    secrets = (whatsapp_server.TOKEN, whatsapp_server.SECRET, whatsapp_server.VERIFY)

    def __init__(self, **settings: str) -> None:
        self.world = whatsapp_server.WhatsAppServer()
        self.app = self.world.app
        self._settings = settings

    @property
    def violations(self) -> Sequence[str]:
        return self.world.violations

    def table(self, url: str) -> Mapping[str, Any]:
        token, secret, verify = self.secrets
        own = {"phone_number_id": whatsapp_server.PHONE, "url": f"{url}/v23.0", **self._settings}
        return {**own, "token": token, "app_secret": secret, "verify_token": verify}

    def offer(self, verb: str, person: str) -> Press | None:
        number = self.accounts[person].removeprefix("+")
        for got in reversed(self.world.sent):
            for key, _ in got.keys:
                if got.to == number and _is(key, verb):
                    return partial(self.world.tap, got, key, number)
        return None

    def offers(self, verb: str) -> bool:
        return self.offer(verb, "ana") is not None

    def seen(self) -> str:
        return "\n".join(got.text for got in self.world.sent)

    told = seen

    def diffs(self) -> set[str]:
        return {got.content for got in self.world.sent if got.name.endswith(".diff.txt")}

    def live(self) -> Sequence[str]:
        return [text for got in self.world.sent for text in got.live()]

    def strays(self) -> list[str]:
        return [got.to for got in self.world.sent if f"+{got.to}" not in self.accounts.values()]

    def will_call(self, bot: str) -> None:
        self.world.hook = f"{bot}/v1/chat/{self.name}"


@dataclass(kw_only=True)
class ChatWalk(Walk):
    """A walk whose people have accounts in the chats, each of which is a channel."""

    chats: Sequence[Chat]
    starts_cold: bool = True

    def write_config(self) -> None:
        super().write_config()
        path: Path = self.folder / "nightshift.toml"
        text = path.read_text()
        for person in ("ana", "ben"):
            accounts = ", ".join(f"{chat.name} = {json.dumps(chat.accounts[person])}" for chat in self.chats)
            text = text.replace(f'web = "{person}"', f'{accounts}, web = "{person}"')
        path.write_text(text)


def write_channels(chats: Mapping[str, Chat]) -> str:
    """Return the tables of chats by the addresses of their services."""
    lines: list[str] = []
    for url, chat in chats.items():
        lines += [f"[channels.{chat.name}]", f'kind = "{chat.name}"']
        lines += [f"{name} = {json.dumps(value)}" for name, value in chat.table(url).items()]
    return "\n".join(lines)


def _is_summary(text: str) -> bool:
    """Say whether it is the pinned message, which stands under no card."""
    headline = text.strip().splitlines()[0]
    return headline.endswith(("incident is open", "incidents are open", "No incident is open"))


def _is(key: str, verb: str) -> bool:
    """Say whether a button is of that kind; one that asks first has a sign before it."""
    return key.lstrip("?!").startswith(verb if verb[:1] == "~" else f"{verb}:")
