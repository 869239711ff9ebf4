"""What people do in Telegram, from the SDK's updates to presses and words. Pure.

Presses and words count from allowed chats alone. A person who writes as the group or a channel has no name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from telegram import CallbackQuery, InlineKeyboardMarkup, Update
from telegram import Message as Received

from bot.domain.chat import NOBODY, Press, Said
from bot.domain.runs.image import Attachment
from connectors.chat.fetching import describe
from connectors.chat.telegram.keyboard import Answered, Asks, read_data, read_note
from connectors.chat.telegram.markup import read_incident

_COMMAND: Final = re.compile(
    r"/(?P<name>[A-Za-z0-9_]{1,32})(?:@(?P<bot>[A-Za-z0-9_]{1,64}))?(?P<rest>(?:\s.*)?)", re.DOTALL
)
_LINK: Final = "/link"
"""Taken from a talk with the bot alone too, whoever it is: a code belongs there."""
_MAX_TEXT: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an event came from, and so where its answer goes."""

    chat: int
    message: int
    topic: int = 0


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A press that counts. `question` is the message that asked, to be taken away; `query` waits for an answer."""

    press: Press
    query: str
    place: Place
    question: int = 0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A press that asks first."""

    asks: Asks
    label: str
    query: str
    place: Place
    account: str
    incident: str | None


@dataclass(frozen=True, kw_only=True)
class Spoken:
    said: Said
    place: Place


@dataclass(frozen=True, kw_only=True)
class Introduced:
    """Somebody asks who they are and where: the numbers that the configuration needs."""

    account: str
    place: Place
    is_allowed: bool


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A press that means nothing here; it only stops spinning."""

    query: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Migrated:
    old: int
    new: int


Event = Pressed | Asked | Spoken | Introduced | Stray | Migrated


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`channel` is this channel's name in the configuration, `me` and `name` the bot's own id and name,
    `secret` what seals its questions."""

    channel: str
    allowed: frozenset[int]
    me: int
    name: str
    secret: bytes

    def read(self, update: Update, now: datetime) -> Event | None:
        """Return what an update means, None where it is not for us."""
        if update.callback_query is not None:
            return self._read_press(update.update_id, update.callback_query, now)
        if update.message is not None:
            return self._read_message(update.update_id, update.message)
        return None

    def _read_press(self, number: int, query: CallbackQuery, now: datetime) -> Event:
        message = query.message
        if message is None or message.chat.id not in self.allowed:
            return Stray(query=query.id, text="Nightshift takes no presses from this chat. Nothing was done.")
        keyboard = message.reply_markup if isinstance(message, Received) else None
        keys = _labels(keyboard)
        meaning = read_data(query.data or "", keys)
        place = (
            _place(message)
            if isinstance(message, Received)
            else Place(chat=message.chat.id, message=message.message_id)
        )
        if isinstance(meaning, Asks):
            text = (message.text or message.caption or "") if isinstance(message, Received) else ""
            return Asked(
                asks=meaning,
                label=keys.get(query.data or "", ""),
                query=query.id,
                place=place,
                account=str(query.from_user.id),
                incident=read_incident(text),
            )
        if not isinstance(meaning, Answered):
            return Stray(query=query.id, text="Nightshift did not make this button. Nothing was done.")
        press = Press(
            event=f"{number}-{query.id}",
            channel=self.channel,
            account=str(query.from_user.id),
            button=meaning.button,
            values=meaning.values,
            pressed_at=now,
        )
        return Pressed(press=press, query=query.id, place=place, question=place.message if meaning.values else 0)

    def _read_message(self, number: int, message: Received) -> Event | None:
        if message.migrate_to_chat_id is not None:
            return Migrated(old=message.chat.id, new=message.migrate_to_chat_id)
        text = _words_of(message)
        if (
            not (text or _files_of(message))
            or message.from_user is None
            or (message.from_user.is_bot and message.sender_chat is None)
        ):
            return None
        account = NOBODY if message.sender_chat is not None else str(message.from_user.id)
        is_allowed = message.chat.id in self.allowed
        command = self._read_command(text)
        name = command.split()[0] if command is not None else ""
        if name in {"/id", "/start"} or (name == _LINK and account == NOBODY):
            return Introduced(account=account, place=_place(message), is_allowed=is_allowed)
        if not is_allowed and not (name == _LINK and message.chat.type == "private"):
            return None
        event = f"{number}-{message.message_id}"
        return self._read_reply(event, message, account) or self._read_words(event, message, account, command)

    def _read_reply(self, event: str, message: Received, account: str) -> Pressed | None:
        """Return the press that waited for this answer, None where it answers no question of ours."""
        asked = self._ours(message)
        note = read_note(asked.text or "", self.secret) if asked is not None else None
        if asked is None or note is None or not _words_of(message):
            return None
        press = Press(
            event=event,
            channel=self.channel,
            account=account,
            button=note[1],
            values={note[0]: _words_of(message)[:_MAX_TEXT]},
            pressed_at=message.date,
        )
        return Pressed(press=press, query="", place=_place(message), question=asked.message_id)

    def _read_words(self, event: str, message: Received, account: str, command: str | None) -> Spoken | None:
        """Return what was said to the bot: a command, or words in reply to it or with its name."""
        text, words, files = command, _words_of(message), _files_of(message)
        if text is None and not words.startswith("/") and self._is_addressed(message):
            text = re.sub(rf"@{re.escape(self.name)}\b", "", words, flags=re.IGNORECASE).strip()
        if text is None or not (text or files):
            return None
        said = Said(
            event=event,
            channel=self.channel,
            account=account,
            text=text,
            incident=_incident_of(message),
            said_at=message.date,
            attachments=files,
        )
        return Spoken(said=said, place=_place(message))

    def _read_command(self, text: str) -> str | None:
        match = _COMMAND.fullmatch(text.strip())
        if match is None or (match["bot"] and match["bot"].lower() != self.name.lower()):
            return None
        return f"/{match['name'].lower()}{match['rest']}".strip()

    def _is_addressed(self, message: Received) -> bool:
        text = _words_of(message).lower()
        return message.chat.type == "private" or f"@{self.name.lower()}" in text or self._ours(message) is not None

    def _ours(self, message: Received) -> Received | None:
        """Return the bot's message that this one answers; the opening of a topic is no message to answer."""
        asked = message.reply_to_message
        if asked is None or asked.forum_topic_created is not None or asked.from_user is None:
            return None
        return asked if asked.from_user.id == self.me else None


def _words_of(message: Received) -> str:
    return message.text or message.caption or ""


def _files_of(message: Received) -> tuple[Attachment, ...]:
    """Return the picture or the file of a message; of a picture's sizes the largest."""
    if message.photo:
        photo = message.photo[-1]
        return (describe("photo.jpg", "image/jpeg", photo.file_size, photo.file_id),)
    file = message.document
    return (describe(file.file_name, file.mime_type, file.file_size, file.file_id),) if file is not None else ()


def _incident_of(message: Received) -> str | None:
    asked = message.reply_to_message
    if asked is None:
        return None
    topic = asked.forum_topic_created
    return read_incident(topic.name if topic is not None else asked.text or asked.caption or "")


def _place(message: Received) -> Place:
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(chat=message.chat.id, message=message.message_id, topic=topic or 0)


def _labels(keyboard: InlineKeyboardMarkup | None) -> Mapping[str, str]:
    rows = keyboard.inline_keyboard if keyboard is not None else ()
    return {str(key.callback_data): key.text for row in rows for key in row if key.callback_data is not None}
