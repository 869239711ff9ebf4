"""What this process remembers of chats. Losing it costs a message that is told twice or a choice that is typed, never
an event, a page or words: what may not be lost with it stands in the store, too (`kept.py`)."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from bot.domain.chat import Form, Message
from connectors.chat.whatsapp.reference import Reference

_MARK: Final = re.compile(
    r"[0-9a-f]{16}-[0-9]{1,4}\|(?P<incident>[A-Za-z0-9-]{1,32})\|(?P<slot>[!-{}~]{1,100})\|(?P<rang>[01])"
)

K = TypeVar("K")
V = TypeVar("V")
WINDOW: Final = timedelta(hours=24) - timedelta(minutes=5)
AHEAD: Final = timedelta(minutes=5)
_KEPT: Final = 4000
_PROGRESS: Final = "status"


@dataclass(kw_only=True)
class Begun:
    """How far a message has got: what was sent so far, and to whom all of it."""

    ref: Reference
    finished: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class About:
    """Which of our messages one in WhatsApp belongs to."""

    incident: str
    slot: str
    rang: bool


def write_mark(begun: str, about: About) -> str:
    """Return what WhatsApp gives back with news of a message, so that a restart forgets nothing about it."""
    return f"{begun}|{about.incident}|{about.slot}|{int(about.rang)}"


def read_mark(mark: str) -> About | None:
    match = _MARK.fullmatch(mark)
    return About(incident=match["incident"], slot=match["slot"], rang=match["rang"] == "1") if match else None


class Memory:
    """`heard` is when each number wrote last; `done` the messages that WhatsApp reported, by their marks; `fresh` what
    was last written to each number and the store has not heard of yet."""

    def __init__(self) -> None:
        self.heard: OrderedDict[str, datetime] = OrderedDict()
        self.begun: OrderedDict[str, Begun] = OrderedDict()
        self.told: OrderedDict[str, str] = OrderedDict()
        self.over: OrderedDict[str, bool] = OrderedDict()
        self.files: OrderedDict[str, str] = OrderedDict()
        self.done: OrderedDict[str, str] = OrderedDict()
        self.forms: OrderedDict[str, Form] = OrderedDict()
        self.fresh: OrderedDict[str, str] = OrderedDict()
        self._about: OrderedDict[str, About] = OrderedDict()
        self._acted: OrderedDict[tuple[str, str, str], bool] = OrderedDict()
        self._newest: OrderedDict[str, str] = OrderedDict()

    def learn(self, message: Message) -> None:
        """Keep what the buttons of a message ask before they count."""
        for button in message.buttons:
            if button.form is not None:
                put(self.forms, button.id, button.form)

    def hear(self, number: str, at: datetime) -> None:
        put(self.heard, number, max(at, self.heard.get(number, at)))

    def is_open(self, number: str, now: datetime) -> bool:
        """Say whether anything may be written to a number; one not heard of since the start counts as closed."""
        return number in self.heard and now - self.heard[number] < WINDOW

    def note(self, sent: str, number: str, about: About) -> None:
        put(self._about, sent, about)
        if about.incident:
            put(self._newest, number, about.incident)
            put(self.fresh, number, about.incident)

    def settle(self, newest: Mapping[str, str], stored: Mapping[str, str]) -> None:
        """Learn from the store what was last written to each number, `stored` of it by this process."""
        for number, incident in stored.items():
            if self.fresh.get(number) == incident:
                del self.fresh[number]
        for number, incident in {**newest, **self.fresh}.items():
            put(self._newest, number, incident)

    def act(self, number: str, under: str, *, counts: bool) -> None:
        """Keep that somebody pressed a button of a message: what follows from it is no news to them."""
        about = self._about.get(under)
        if about is not None and counts:
            put(self._acted, (number, about.incident, about.slot), value=True)
        elif about is not None:
            self._acted.pop((number, about.incident, about.slot), None)

    def has_acted(self, number: str, message: Message) -> bool:
        return (number, message.incident, message.slot) in self._acted

    def about(self, sent: str) -> About | None:
        return self._about.get(sent)

    def incident_of(self, number: str, under: str) -> str | None:
        """Return what words are about: the message they answer to, else what was last written to the number."""
        about = self._about.get(under)
        return about.incident if about is not None and about.incident else self._newest.get(number)


def put(known: OrderedDict[K, V], key: K, value: V, limit: int = _KEPT) -> V:
    """Put it at the end, and let the oldest go where there are too many."""
    known.pop(key, None)
    known[key] = value
    if len(known) > limit:
        known.popitem(last=False)
    return value


def is_page(slot: str) -> bool:
    return slot.startswith("page:")


def choose_shown(found: Sequence[Message]) -> list[Message]:
    """Return what there is to read about an incident: without pages, and progress only while it is all."""
    read = [message for message in found if not is_page(message.slot)]
    results = [message for message in read if not message.slot.startswith(_PROGRESS)]
    return results if any(message.in_thread for message in results) else read
