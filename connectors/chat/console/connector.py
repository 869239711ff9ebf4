"""The console connector: posts, edits and presses in the terminal that Nightshift runs in."""

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO

from pydantic import BaseModel, ConfigDict

from bot.domain.chat import ChatLimits, Message, Press, Said
from bot.domain.text.unseen import make_harmless
from bot.errors import NightshiftError
from bot.ports.chat import ChatInbox, Health
from bot.ports.http import Webhook
from connectors.chat.console.desk import VIEW, Action, Desk, Noticed, Pressed, Shown, Spoke
from connectors.chat.console.paint import (
    Ink,
    name_buttons,
    paint_answer,
    paint_code,
    paint_legend,
    paint_message,
    read_pieces,
)
from connectors.chat.console.plain import fit, measure, wrap_words
from connectors.chat.console.terminal import Writer, is_terminal, read_stdin

LIMITS: Final = ChatLimits(
    text=1_000_000,
    buttons=50,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=True,
    files=True,
    file_bytes=16 * 1024 * 1024,
)
CHANNEL: Final = "console"
_CLEAR_BELOW: Final = "\r\x1b[J"
_ONE_LINE: Final = 160
_REMEMBERED: Final = 2_000
_SAID_SECONDS: Final = 30.0
"""How long the same words of another message are no news."""


class Settings(BaseModel):
    """`person` is who sits at this terminal: an account of the roster's channel "console"."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    person: str


@dataclass(frozen=True, kw_only=True)
class _Last:
    """The block printed last, while nothing but the tail stands below it."""

    ref: str
    rows: int
    width: int


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """What the last change of a message printed."""

    incident: str
    pieces: tuple[str, ...]
    at: float


class Connector:
    """One terminal. On a TTY the legend stays at the bottom; elsewhere it follows each message."""

    def __init__(
        self,
        settings: Settings,
        *,
        out: TextIO = sys.stdout,
        keys: AsyncIterator[str] | None = None,
        width: Callable[[], int] | None = None,
    ) -> None:
        self._person = settings.person
        self._out, self._keys = out, keys
        self._width_of = width or (lambda: shutil.get_terminal_size().columns)
        self._is_tty = is_terminal(out)
        self._ink = Ink(colour=self._is_tty and not os.environ.get("NO_COLOR"))
        self._writer = Writer(out)
        self._desk = Desk()
        self._posted: dict[str, str] = {}
        self._last: _Last | None = None
        self._changed: dict[str, _Changed] = {}
        self._tail: list[str] = []
        self._tail_width = 0
        self._turn = asyncio.Lock()
        self._events = f"{secrets.token_hex(8)}-"
        self._count = 0

    @property
    def limits(self) -> ChatLimits:
        return LIMITS

    @property
    def _width(self) -> int:
        return max(20, self._width_of() - 1)  # the last column stays free: terminals differ in when they wrap

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one terminal, threads are shown by indent
        """Print the message. The same key again prints nothing while this process lives."""
        async with self._turn:
            if key not in self._posted:
                await self._print(key, message, bell=self._person in message.rings)
                self._posted[key] = key
                if len(self._posted) > _REMEMBERED:
                    self._posted.pop(next(iter(self._posted)))
            return key

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one terminal
        """Rewrite the message where it is the last thing printed, else print what changed."""
        async with self._turn:
            before = self._desk.get(ref)
            if before == message:
                return
            if before is None or self._can_rewrite(ref):
                await self._print(ref, message)
            else:
                await self._print_change(ref, before, message)

    async def run(self, inbox: ChatInbox) -> None:
        """Act on keys until cancelled; the terminal is given back on every way out."""
        keys = self._keys or read_stdin()
        try:
            async for text in keys:
                action = self._desk.feed(text, time.monotonic())
                await self._act(action, inbox)
            await asyncio.Event().wait()  # no more keys: cards are still shown
        finally:
            close = getattr(keys, "aclose", None)
            if close is not None and self._keys is None:
                await close()
            await self._leave()

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:  # noqa: ARG002 -- a terminal calls no route
        return ()

    async def check(self) -> Health:
        if getattr(self._out, "closed", False):
            return Health(ok=False, text="The terminal is closed. Start Nightshift in one, or switch console off.")
        kind = "terminal" if self._is_tty else "plain output"
        return Health(ok=True, text=f"{kind}, {self._width_of()} columns, for {make_harmless(self._person)}")

    # what people do

    async def _act(self, action: Action | None, inbox: ChatInbox) -> None:
        if isinstance(action, Pressed):
            lead = f"{action.incident} {action.button.label}"
            event = Press(
                event=self._next_event(),
                channel=CHANNEL,
                account=self._person,
                button=action.button.id,
                values=action.values,
                pressed_at=datetime.now(UTC),
            )
            await self._hand_in(event, lead, inbox)
        elif isinstance(action, Spoke):
            said = Said(
                event=self._next_event(),
                channel=CHANNEL,
                account=self._person,
                text=action.text,
                incident=action.incident,
                said_at=datetime.now(UTC),
            )
            await self._hand_in(said, action.text, inbox)
        elif isinstance(action, Shown):
            await self._say(self._paint_files(action))
        else:
            lines = paint_answer(action.text, self._width, self._ink) if isinstance(action, Noticed) else []
            waits = self._desk.question is not None or self._desk.typed is not None
            await self._say([*lines, *self._paint_tail()] if waits and not self._is_tty else lines)

    def _next_event(self) -> str:
        self._count += 1
        return f"{self._events}{self._count}"

    async def _hand_in(self, event: Press | Said, lead: str, inbox: ChatInbox) -> None:
        try:
            reply = await inbox.receive(event)
        except NightshiftError as error:
            answer = paint_answer(f"Not done: {error}", self._width, self._ink, ok=False)
        else:
            answer = paint_answer(reply.text, self._width, self._ink, ok=reply.ok)
        asked = wrap_words(make_harmless(lead), self._width - 2)
        await self._say([*(self._ink.dim(f"{'›' if n == 0 else ' '} {line}") for n, line in enumerate(asked)), *answer])

    def _paint_files(self, action: Shown) -> list[str]:
        lines: list[str] = []
        for file in action.files:
            lines.extend(self._ink.bold(line) for line in wrap_words(make_harmless(file.name), self._width))
            language = "diff" if file.name.endswith((".diff", ".patch")) else "text"
            lines.extend(paint_code(file.text.removesuffix("\n"), language, self._width, self._ink))
        return lines

    # what is printed

    async def _say(self, lines: Sequence[str]) -> None:
        async with self._turn:
            if lines or self._is_tty:
                self._last = None if lines else self._last
                await self._write(lines)

    async def _print(self, ref: str, message: Message, *, bell: bool = False) -> None:
        erase = self._last.rows if self._last and self._can_rewrite(ref) else 0
        self._desk.put(ref, message, time.monotonic())
        lines = paint_message(message, self._width, self._ink)
        lines.insert(0, "")
        self._last = _Last(ref=ref, rows=len(lines), width=self._width)
        shown = lines if self._is_tty or not message.buttons else [*lines, *self._paint_legend()]
        await self._write(shown, erase=erase, bell=bell and self._is_tty)

    async def _print_change(self, ref: str, before: Message, message: Message) -> None:
        known = set(read_pieces(before)) | self._said_elsewhere(ref, message.incident)
        new = [piece for piece in read_pieces(message) if piece not in known]
        if new:
            self._changed[ref] = _Changed(incident=message.incident, pieces=tuple(new), at=time.monotonic())
        change = " · ".join(new if message.incident in "".join(new[:1]) else [make_harmless(message.incident), *new])
        if measure(change) > _ONE_LINE or "\n" in change:
            await self._print(ref, message)
            return
        self._desk.put(ref, message, time.monotonic())
        self._last = None if new else self._last
        indent = "  " if message.in_thread else ""
        lines = [f"{indent}{line}" for line in wrap_words(change, self._width - 2)] if new else []
        legend = self._paint_legend() if not self._is_tty and message.buttons != before.buttons else []
        await self._write([*lines, *legend])

    def _said_elsewhere(self, ref: str, incident: str) -> set[str]:
        """Return what changes of the incident's other messages have just said: two cards tell of one thing."""
        now = time.monotonic()
        self._changed = {key: one for key, one in self._changed.items() if now - one.at < _SAID_SECONDS}
        others = [one for key, one in self._changed.items() if key != ref and one.incident == incident]
        return {piece for one in others for piece in one.pieces}

    def _can_rewrite(self, ref: str) -> bool:
        """Only on a TTY, directly above the tail, at the same width, and while its first row is still on the screen."""
        if not self._is_tty or self._last is None or self._last.ref != ref or self._last.width != self._width:
            return False
        return self._last.rows + len(self._tail) < shutil.get_terminal_size().lines

    async def _write(self, lines: Sequence[str], *, erase: int = 0, bell: bool = False) -> None:
        """Take the tail away, print, put the new tail back."""
        head = ""
        if self._is_tty:
            up = erase + (len(self._tail) - 1 if self._tail and self._tail_width == self._width else 0)
            head = (f"\x1b[{up}A" if up > 0 else "") + _CLEAR_BELOW
            self._tail, self._tail_width = self._paint_tail(), self._width
        body = "".join(f"{line}\n" for line in lines)
        await self._writer.write(head + body + "\n".join(self._tail) + ("\a" if bell else ""))

    async def _leave(self) -> None:
        """Take the tail away for good, so that the shell's prompt stands on a clean line."""
        if not self._tail:
            return
        up = f"\x1b[{len(self._tail) - 1}A" if len(self._tail) > 1 else ""
        self._tail = []
        try:
            await self._writer.write(up + _CLEAR_BELOW)
        except NightshiftError:
            return  # the terminal is gone: there is nothing to clean

    def _paint_tail(self) -> list[str]:
        """Return the legend, or the question that waits for an answer; the cursor ends behind it."""
        desk, width = self._desk, self._width
        if desk.question is not None:
            asks = desk.question.asks
            title = desk.question.button.form.title if desk.question.button.form else ""
            lead = wrap_words(make_harmless(f"{desk.question.incident} {title}: {asks.label}"), width)
            if asks.choices:
                parts = [(str(number), choice) for number, choice in enumerate(asks.choices, 1)]
                return [*lead, *paint_legend([*parts, ("Esc", "leave")], "", width, self._ink)]
            return [*lead, self._paint_typed()]
        if desk.typed is not None:
            return [self._ink.dim(fit("Enter sends, Esc leaves", width)), self._paint_typed()]
        return self._paint_legend()

    def _paint_typed(self) -> str:
        text = make_harmless(self._desk.typed or "").replace("\n", " ")
        while measure(text) > self._width - 4:
            text = text[1:]
        return f"{self._ink.bold('>')} {text}"

    def _paint_legend(self) -> list[str]:
        desk = self._desk
        if desk.focus is None:
            return paint_legend([("?", "Help")], "", self._width, self._ink) if self._is_tty else []
        parts = name_buttons(desk.keys())
        if desk.files():
            parts.append((VIEW, "View diff"))
        lines = paint_legend([*parts, (":", "Type"), ("?", "Help")], desk.focus, self._width, self._ink)
        live = desk.incidents()
        if len(live) > 1:
            others = [
                (str(number), fit(make_harmless(desk.headline(incident)), max(12, self._width - 6)))
                for number, incident in enumerate(live[:9], 1)
                if incident != desk.focus
            ]
            lines = [*paint_legend(others, "", self._width, self._ink), *lines]
        return lines
