"""What the store keeps of chats: who wrote when, what was last written to them, and whose words a question waits for.

Every front process reads and changes the same text.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from bot.errors import Unavailable
from bot.ports.chat import ChatMemory
from connectors.chat.whatsapp.memory import AHEAD, WINDOW, Memory

log = structlog.get_logger(__name__)
PATIENCE: Final = timedelta(minutes=10)
"""How long a question waits for words."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question whose answer is typed: it becomes `field` of a press of `button`."""

    button: str
    field: str
    at: datetime


@dataclass(kw_only=True)
class Kept:
    """The text of the store, by number."""

    heard: dict[str, datetime] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)

    def write(self, numbers: Collection[str], now: datetime) -> str:
        """Return the text of what counts still, "" where nothing does."""
        heard = {
            one: at.isoformat()
            for one, at in sorted(self.heard.items())
            if one in numbers and now - WINDOW < at <= now + AHEAD
        }
        newest = {one: incident for one, incident in sorted(self.newest.items()) if one in numbers}
        asked = {
            one: [asked.button, asked.field, asked.at.isoformat()]
            for one, asked in sorted(self.asked.items())
            if one in numbers and now - asked.at <= PATIENCE
        }
        return json.dumps({"heard": heard, "newest": newest, "asked": asked}) if heard or newest or asked else ""


def read_kept(text: str) -> Kept:
    """Return what a text says; one that nobody can read says nothing."""
    try:
        found = json.loads(text or "{}")
        return Kept(
            heard={number: _time(at) for number, at in found.get("heard", {}).items()},
            newest={number: str(incident) for number, incident in found.get("newest", {}).items()},
            asked={number: _asked(*parts) for number, parts in found.get("asked", {}).items()},
        )
    except (ValueError, TypeError, AttributeError):
        return Kept()


class OwnMemory:
    """A `ChatMemory` that ends with this process, where there is no store."""

    def __init__(self) -> None:
        self._text = ""

    def change(self, change: Callable[[str], str]) -> str:
        self._text = change(self._text)
        return self._text


class Keeper:
    """Brings what the store keeps and what this process knows together. `accounts` are people's, by number."""

    def __init__(self, text: ChatMemory, memory: Memory, accounts: Mapping[str, str]) -> None:
        self.memory = memory
        self.accounts = accounts
        self._text = text
        self._has_read = False

    async def learn(self, *, is_new: bool = False) -> None:
        """Learn what the store knows, once and whenever this process `is_new` in something; tell the store of that.
        Where that cannot be had, who is taken for silent gets the template."""
        if self._has_read and not is_new:
            return
        try:
            await self._change(lambda _: None)
        except Unavailable as error:
            log.warning("whatsapp_not_remembered", error=str(error))

    async def find(self, number: str, at: datetime) -> Asked | None:
        """Return the question that words said at that moment may answer. Raises `Unavailable`."""
        asked = (await self._change(lambda _: None)).asked.get(number)
        return asked if asked is not None and asked.at <= at <= asked.at + PATIENCE else None

    async def ask(self, number: str, asked: Asked) -> None:
        """Keep that a question waits, in the place of the one before. Raises `Unavailable`."""
        await self._change(lambda kept: kept.asked.update({number: asked}))

    async def forget(self, number: str) -> None:
        """Let go of the question that waits, if any. Raises `Unavailable`."""
        await self._change(lambda kept: kept.asked.pop(number, None))

    async def _change(self, change: Callable[[Kept], object]) -> Kept:
        """Change what the store keeps, which becomes known here too; return it."""
        heard, fresh, now = dict(self.memory.heard), dict(self.memory.fresh), datetime.now(UTC)

        def merge(text: str) -> str:
            kept = read_kept(text)
            for number, at in heard.items():
                kept.heard[number] = max(at, kept.heard.get(number, at))
            kept.newest |= fresh
            change(kept)
            return kept.write(self.accounts, now)

        kept = read_kept(await asyncio.to_thread(self._text.change, merge))
        for number, at in kept.heard.items():
            self.memory.hear(number, at)
        self.memory.settle(kept.newest, fresh)
        self._has_read = True
        return kept


def _asked(button: Any, name: Any, at: Any) -> Asked:  # noqa: ANN401 -- from JSON
    return Asked(button=str(button), field=str(name), at=_time(at))


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)
