"""Who in WhatsApp is told what, and when.

Nothing there can be silent or edited. So people get what rings, once; later a short answer to it where its headline
changed; and all the rest when they ask to see it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from bot.domain.chat import File, Message
from bot.errors import Reason, Rejected
from connectors.chat.whatsapp.api import ClosedError
from connectors.chat.whatsapp.choices import ROWS, Question, build_rest
from connectors.chat.whatsapp.markup import BODY, deaden, fit, render, render_short, render_text
from connectors.chat.whatsapp.memory import About, Begun, Memory, choose_shown, is_page, put, write_mark
from connectors.chat.whatsapp.reference import Reference, digest_of, read_reference
from connectors.chat.whatsapp.reporting import Reporter
from connectors.chat.whatsapp.sending import Sender, Step, To, attached, name_of

log = structlog.get_logger(__name__)
_LONG: Final = 12_000
"""Characters from which an answer is a file."""
_LINE: Final = 600
_TEMPLATE: Final = 999
"""Stands for the template where the parts of a message are numbered."""
Way = Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class _Round:
    """One message on its way to several people; `key` is the same at each try."""

    key: str
    message: Message
    begun: Begun
    rings: bool

    @property
    def about(self) -> About:
        return About(incident=self.message.incident, slot=self.message.slot, rang=self.rings)


class Writer:
    """Writes to the numbers of `people`. `tells_all` = to all of them and everything, not just what rings."""

    def __init__(
        self, sender: Sender, reporter: Reporter, *, people: Mapping[str, str], memory: Memory, tells_all: bool
    ) -> None:
        self._sender = sender
        self._reporter = reporter
        self._people = people
        self._memory = memory
        self._tells_all = tells_all

    async def post(self, message: Message, key: str, thread: str | None, *, now: datetime) -> str:
        """Return the reference of the message. Nobody to be told = the store shows it to who asks."""
        self._memory.learn(message)
        card = read_reference(thread) if thread else None
        named = [self._people[person] for person in (*message.rings, *message.tells) if person in self._people]
        numbers = dict.fromkeys(self._people.values() if self._tells_all else named)
        going = self._begin(key, message, rings=bool(message.rings))
        steps = self._sender.plan(render(message), message, files=attached(message))
        ways: dict[str, Way] = {}
        for number in numbers:
            under = card.head(number) if card is not None else None
            is_open = self._memory.is_open(number, now)
            ways[number] = partial(
                self._bring if is_open else self._call, going, To(number=number, under=under or ""), steps
            )
        await self._each(going, ways)
        put(self._memory.files, going.begun.ref.write(), digest_of(repr(attached(message))))
        return going.begun.ref.write()

    async def edit(self, message: Message, ref: str, *, now: datetime) -> None:
        """Tell those who got the message what changed, once, where it matters and they may be written to."""
        self._memory.learn(message)
        known, gist = read_reference(ref), digest_of(self._gist(message))
        if self._memory.told.get(ref, known.digest) == gist or self._is_over(message, ref):
            return
        going = self._begin(f"{ref}#{gist}", message, rings=False)
        pieces = render(message) if self._tells_all else render_short(message)
        parts = attached(message)
        digest = digest_of(repr(parts))
        is_sent = not self._tells_all or self._memory.files.get(ref) == digest
        steps = self._sender.plan(pieces, message, files=() if is_sent else parts)
        ways: dict[str, Way] = {}
        for number in known.sent:
            knows = not self._tells_all and self._memory.has_acted(number, message)
            if self._memory.is_open(number, now) and not knows:
                to = To(number=number, under=known.head(number) or "")
                ways[number] = partial(self._bring, going, to, steps)
        await self._each(going, ways)
        put(self._memory.told, ref, gist)
        put(self._memory.files, ref, digest)
        if not message.buttons:
            put(self._memory.over, ref, value=True)

    async def show(self, found: Sequence[Message], number: str) -> None:
        """Send everything there is about an incident: without pages, and progress only while it is all."""
        for message in choose_shown(found):
            self._memory.learn(message)
            await self._write(self._sender.plan(render(message), message, files=attached(message)), message, number)

    async def show_rest(self, message: Message, number: str) -> None:
        """Send the buttons that found no place under a message."""
        self._memory.learn(message)
        text, keys = fit(name_of(message), _LINE), build_rest(message)
        rows = [keys[at : at + ROWS] for at in range(0, len(keys), ROWS)]
        await self._write([partial(self._sender.send_keys, text, some) for some in rows], message, number)

    async def ask(self, question: Question, number: str, under: str) -> None:
        """Ask what a press needs before it counts."""
        text, to = deaden(question.text)[:BODY], To(number=number, under=under)
        if question.keys:
            await self._sender.send_keys(text, question.keys, to)
        else:
            await self._sender.send_text(text, to)

    async def answer(self, text: str, number: str, under: str) -> None:
        """Answer somebody, whole: in as many messages as it takes, a very long answer as a file."""
        to = To(number=number, under=under)
        if len(text) > _LONG:
            await self._sender.send_file(File(name="answer.txt", media_type="text/plain", text=text), to)
            return
        for piece in render_text(text):
            await self._sender.send_text(piece, to)

    async def call_again(self, sent: str, number: str, message: Message) -> None:
        """Send the template for a message that came too late for the 24 hours."""
        self._memory.heard.pop(number, None)
        going = self._begin(f"again {sent}", message, rings=False)
        await self._each(going, {number: partial(self._call, going, To(number=number), [])})

    def _is_over(self, message: Message, ref: str) -> bool:
        """Say whether it was told already that there is nothing left to press; of pages, the end is told as well."""
        return not (self._tells_all or message.buttons or is_page(message.slot)) and ref in self._memory.over

    def _gist(self, message: Message) -> str:
        """Return that of a message whose change has to be told."""
        if self._tells_all:
            return repr((message.headline, message.blocks, message.buttons, message.files, message.pictures))
        return message.headline

    def _begin(self, key: str, message: Message, *, rings: bool) -> _Round:
        known = self._memory.begun.get(key) or Begun(ref=Reference(digest=digest_of(self._gist(message))))
        return _Round(key=key, message=message, begun=put(self._memory.begun, key, known), rings=rings)

    async def _each(self, going: _Round, ways: Mapping[str, Way]) -> None:
        """Write to each number at once. One that cannot be reached fails the message only where nobody can be."""
        left = [number for number in ways if number not in going.begun.finished]
        results = await asyncio.gather(*(ways[number]() for number in left), return_exceptions=True)
        told = dict(zip(left, results, strict=True))
        going.begun.finished.update(number for number, result in told.items() if result is None)
        refused = {number: result for number, result in told.items() if isinstance(result, Rejected)}
        for number, error in refused.items():
            await self._miss(going, number, error)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Rejected):
                raise result
        if refused and not going.begun.finished:
            raise next(iter(refused.values()))

    async def _miss(self, going: _Round, number: str, error: Rejected) -> None:
        """Report who cannot be reached; what nobody's number is the reason for fails the message as a whole."""
        log.warning("whatsapp_not_told", incident=going.message.incident, error=str(error))
        if going.rings and error.reason is Reason.NOT_FOUND:
            event = f"{digest_of(going.key)}-{digest_of(number)}-failed"
            await self._reporter.report(number, going.about, why=str(error), event=event)

    async def _bring(self, going: _Round, to: To, steps: Sequence[Step]) -> None:
        """Send what is missing of a message, going on where an earlier try stopped."""
        sent = going.begun.ref.sent.setdefault(to.number, [])
        for at in range(len(sent), len(steps)):
            under = sent[0] if sent else to.under
            try:
                self._keep(going, to.number, await self._once(steps[at], going, To(number=to.number, under=under), at))
            except ClosedError:
                self._memory.heard.pop(to.number, None)
                await self._call(going, to, steps)
                return

    async def _call(self, going: _Round, to: To, _steps: Sequence[Step]) -> None:
        """Send the template; what it cannot hold is shown to who taps it. A change is no reason to call."""
        if going.rings or going.key.startswith("again "):
            step = partial(self._sender.send_template, going.message)
            self._keep(going, to.number, await self._once(step, going, To(number=to.number), _TEMPLATE))

    async def _once(self, step: Step, going: _Round, to: To, at: int) -> str:
        """Send, unless WhatsApp reported meanwhile that an earlier try got through."""
        mark = write_mark(f"{digest_of(going.key)}{digest_of(to.number)}-{at}", going.about)
        known = self._memory.done.get(mark)
        return known or await step(To(number=to.number, under=to.under, mark=mark, rings=going.rings))

    def _keep(self, going: _Round, number: str, sent: str) -> None:
        going.begun.ref.sent.setdefault(number, []).append(sent)
        self._memory.note(sent, number, going.about)

    async def _write(self, steps: Sequence[Step], message: Message, number: str) -> None:
        """Send to somebody who asked."""
        about, head = About(incident=message.incident, slot=message.slot, rang=False), ""
        for step in steps:
            sent = await step(To(number=number, under=head))
            self._memory.note(sent, number, about)
            head = head or sent
