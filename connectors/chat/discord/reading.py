"""What people do in Discord, from checked payloads to presses and words. Pure.

Presses and words count from allowed channels and their threads alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bot.domain.chat import Press, Said
from connectors.chat.discord.commands import ID, write_text
from connectors.chat.discord.components import read_button, read_modal, read_values
from connectors.chat.discord.payloads import Data, Interaction, Written
from connectors.chat.fetching import describe

PING, COMMAND, PRESSED, SUGGEST, FILLED = 1, 2, 3, 4, 5
_MAX_TEXT: Final = 4000
_NOT_HERE: Final = "Nightshift takes nothing from this channel. Nothing was done."
_NOT_OURS: Final = "Nightshift did not make this button. Nothing was done."


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something happened: a channel, or a thread with its parent; `incident` is the thread's."""

    channel: int
    parent: int = 0
    incident: str | None = None


@dataclass(frozen=True, kw_only=True)
class Handed:
    """A press or words for the inbox."""

    event: Press | Said


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A press that asks first."""

    sign: str
    button: str
    label: str
    incident: str | None = None


@dataclass(frozen=True, kw_only=True)
class Typing:
    """Somebody types a command and wants suggestions for one of its options."""

    name: str
    option: str
    begun: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What is answered at once, for its person alone."""

    text: str


Meaning = Handed | Asked | Typing | Answered


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`channel` is this channel's name in the configuration, `allowed` are Discord's, `me` is the bot's own id."""

    channel: str
    allowed: frozenset[int]
    me: str

    def read(self, given: Interaction, place: Place, now: datetime) -> Meaning | None:
        """Return what an interaction means, None where it means nothing."""
        data = given.data
        if data is None or not given.account:
            return None
        if given.type == SUGGEST:
            return self._read_typing(data, place)
        if given.type == COMMAND and data.name == ID:
            return Answered(text=self._introduce(given.account, place))
        if not self.is_allowed(place):
            return Answered(text=_NOT_HERE)
        if given.type == COMMAND:
            options = {option.name: str(option.value or "") for option in data.options}
            return Handed(event=self._say(given.id, given.account, write_text(data.name, options), place, now))
        meaning = self._read_press(given, data, now)
        return replace(meaning, incident=place.incident) if isinstance(meaning, Asked) else meaning

    def read_words(self, written: Written, place: Place) -> Handed | None:
        """Return what was said to the bot by its name; people's own talk is theirs."""
        is_person = not written.author.bot and written.webhook_id is None
        is_to_us = any(user.id == self.me for user in written.mentions)
        if not is_person or not is_to_us or not self.is_allowed(place):
            return None
        text = re.sub(rf"<@!?{re.escape(self.me)}>", "", written.content).strip()
        files = tuple(describe(one.filename, one.content_type, one.size, one.url) for one in written.attachments)
        if not text and not files:
            return None
        said = self._say(written.id, written.author.id, text, place, written.timestamp)
        return Handed(event=replace(said, attachments=files))

    def is_allowed(self, place: Place) -> bool:
        return place.channel in self.allowed or place.parent in self.allowed

    def _read_press(self, given: Interaction, data: Data, now: datetime) -> Meaning | None:
        if given.type == FILLED:
            button = read_modal(data.custom_id)
            values = _values_of(data)
            return Answered(text=_NOT_OURS) if button is None or not values else self._press(given, button, values, now)
        if given.type != PRESSED:
            return None
        found = read_button(data.custom_id)
        if found is None:
            return Answered(text=_NOT_OURS)
        sign, button = found
        return Asked(sign=sign, button=button, label=_label_of(given)) if sign else self._press(given, button, {}, now)

    def _press(self, given: Interaction, button: str, values: Mapping[str, str], now: datetime) -> Handed:
        press = Press(
            event=given.id, channel=self.channel, account=given.account, button=button, values=values, pressed_at=now
        )
        return Handed(event=press)

    def _say(self, event: str, account: str, text: str, place: Place, at: datetime) -> Said:
        return Said(
            event=event,
            channel=self.channel,
            account=account,
            text=text[:_MAX_TEXT],
            incident=place.incident,
            said_at=at,
        )

    def _read_typing(self, data: Data, place: Place) -> Typing | None:
        focused = next((option for option in data.options if option.focused), None)
        if focused is None or not self.is_allowed(place):
            return None
        return Typing(name=data.name, option=focused.name, begun=str(focused.value or ""))

    def _introduce(self, account: str, place: Place) -> str:
        more = "" if self.is_allowed(place) else "\nNightshift takes no commands here: the channel is not configured."
        return f"Your account: {account}\nThis channel: {place.channel}{more}"


def _values_of(data: Data) -> dict[str, str]:
    try:
        return read_values(data.components)
    except (KeyError, ValueError):
        return {}


def _label_of(given: Interaction) -> str:
    """Return what stands on the button that was pressed."""
    rows = given.message.components if given.message is not None else ()
    keys: list[Any] = [key for row in rows if isinstance(row.get("components"), list) for key in row["components"]]
    wanted = given.data.custom_id if given.data is not None else ""
    found = (key.get("label") for key in keys if isinstance(key, dict) and key.get("custom_id") == wanted)
    return str(next(found, "") or "")
