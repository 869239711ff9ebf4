"""The dispatcher: sends chat effects, one task per channel, in order, each until it is settled.

Woken after each commit, with a sweep in case a wake-up is lost. Several changes of one message that wait
together are sent once, as the newest. A post that may have been sent before the process died is sent again
under the same key: at most one extra copy per crash.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import structlog

from bot.domain.chat import Message
from bot.engine.finishing import finish
from bot.errors import Reason, Refused, Rejected, Unavailable
from bot.metrics import EFFECTS
from bot.ports.chat import ChatConnector
from bot.ports.clock import Clock
from bot.ports.faults import reach
from bot.ports.work import Effect, EffectState, Store, UnitOfWork
from bot.services.announce import BOT, CHAT, refresh_summary

log = structlog.get_logger(__name__)
LONGEST_WAIT = 60.0
LONGEST_HINT = 3600.0
SEND_SECONDS = 30.0
CARD = "card"
SHOWN = "#shown"
"""After a slot's name: not a message, but the digest of what the one in the slot says."""
AT_ONCE = 2
"""Looks at the store at once, however many channels there are: whoever presses a button waits for no line of them."""
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One configured chat channel and the connector behind it."""

    name: str
    connector: ChatConnector


Trouble = Callable[[UnitOfWork, Effect, str, datetime | None], None]
"""Hears, in the unit that notes it, that an effect failed, why, and when it is tried again (None: never)."""


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A message that the store has to remember: under its reference where it is new."""

    message: Message
    ref: str = ""


class Dispatcher:
    """Sends what the store promises. `compose` renders an effect from the state at this moment."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Sequence[Channel],
        compose: Callable[[Effect, str], Message | None],
        *,
        sweep_seconds: float,
        on_trouble: Trouble = lambda _work, _effect, _why, _until: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._compose = compose
        self._summarized = frozenset(channel.name for channel in channels if channel.connector.limits.pins)
        self._sweep = sweep_seconds
        self._on_trouble = on_trouble
        self._wake = {channel.name: asyncio.Event() for channel in channels}
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def wake(self, targets: Collection[str]) -> None:
        """Look now for what was promised to these. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._set, targets)

    def _set(self, targets: Collection[str]) -> None:
        for target in targets:
            event = self._wake.get(target.removeprefix(CHAT))
            if event is not None:
                event.set()

    async def run(self) -> None:
        """Serve all channels until cancelled."""
        async with asyncio.TaskGroup() as group:
            for channel in self._channels:
                group.create_task(self._serve(channel), name=f"dispatch {channel.name}")
            if not self._channels:
                await asyncio.Event().wait()  # nothing to send is no reason to end

    async def _serve(self, channel: Channel) -> None:
        event = self._wake[channel.name]
        while True:
            event.clear()
            try:
                pause = await self._drain(channel)
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))
                pause = self._sweep
            if pause > 0:
                await _wait(event, pause)

    async def _drain(self, channel: Channel) -> float:
        """Send what is due; return how long to sleep, 0 to look again at once."""
        effects = await self._ask_store(self._load, channel.name)
        if not effects:
            return self._sweep
        now = self._clock.now()
        first = next((effect for effect in effects if not _may_wait(effect, now)), effects[0])
        if first.not_before is not None and first.not_before > now:
            return min((first.not_before - now).total_seconds(), self._sweep)
        await finish(self._send(channel, first, _covered(first, effects)))
        return 0.0

    def _load(self, channel: str) -> Sequence[Effect]:
        """Return what waits for a channel, if it is this process that sends to it."""
        with self._store.begin() as work:
            found = work.effects.next_of(CHAT + channel)
            if not found:
                work.effects.release(CHAT + channel)
            elif not work.effects.hold(CHAT + channel):
                return ()
            return found

    async def _ask_store(self, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turns:
            return await asyncio.to_thread(look, *args, **kwargs)

    async def _send(self, channel: Channel, effect: Effect, older: Sequence[Effect]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                outcome = await self._deliver(channel, effect)
        except (Unavailable, TimeoutError) as error:
            await self._defer(channel, effect, error)
            EFFECTS.labels(target=channel.name, result="retry").inc()
            return
        except (Rejected, Refused) as error:
            log.warning("effect_rejected", effect=effect.key, error=str(error))
            EFFECTS.labels(target=channel.name, result="failed").inc()
            await self._ask_store(self._settle, [effect, *older], EffectState.FAILED, str(error))
            return
        except Exception as error:
            log.exception("effect_crashed", effect=effect.key)
            EFFECTS.labels(target=channel.name, result="failed").inc()
            await self._ask_store(self._settle, [effect, *older], EffectState.FAILED, type(error).__name__)
            return
        await self._ask_store(self._settle, [effect, *older], EffectState.DONE, "", outcome)
        reach("effect.settled")
        EFFECTS.labels(target=channel.name, result="done").inc()

    async def _deliver(self, channel: Channel, effect: Effect) -> _Sent | None:
        """Post or edit; return what the store has to remember of it."""
        message = await self._ask_store(self._compose, effect, channel.name)
        message = channel.connector.limits.fit(message) if message is not None else None
        if message is None:
            return None
        ref, card = await self._ask_store(self._refs, channel.name, message)
        if message.is_pinned and ref is not None and await self._ask_store(self._is_shown, channel.name, message):
            return None
        if ref is not None and channel.connector.limits.can_edit and await _edit(channel, message, ref):
            return _Sent(message=message) if message.is_pinned else None
        reach(f"chat.{effect.payload['what']}.before")
        thread = card if message.in_thread else None
        posted = await channel.connector.post(channel.name, message, effect.key, thread)
        log.info("posted", channel=channel.name, effect=effect.key, incident=message.incident)
        reach(f"chat.{effect.payload['what']}.after")
        return _Sent(message=message, ref=posted)

    def _is_shown(self, channel: str, message: Message) -> bool:
        """Say whether a pinned message says all this already: what it is about changes more often than it does."""
        with self._store.begin() as work:
            return work.postings.ref(message.incident, channel, message.slot + SHOWN) == _digest(message)

    def _refs(self, channel: str, message: Message) -> tuple[str | None, str | None]:
        with self._store.begin() as work:
            own = work.postings.ref(message.incident, channel, message.slot)
            return own, work.postings.ref(message.incident, channel, CARD)

    def _settle(self, effects: Sequence[Effect], state: EffectState, error: str, sent: _Sent | None = None) -> None:
        with self._store.begin() as work:
            ours = [effect for effect in effects if work.effects.settle(effect.key, state, error)]
            if not ours:
                return  # another process took over while this one stood still, and was faster
            channel = effects[0].target.removeprefix(CHAT)
            if sent is not None:
                _remember(work, channel, sent)
            if effects[0].payload["what"] == CARD and channel in self._summarized:
                refresh_summary(work, channel)
            if state is EffectState.FAILED:
                incident = effects[0].payload.get("incident", "")
                work.timeline.append(incident, "not_posted", BOT, f"Could not post {effects[0].key}: {error}"[:500])
                self._on_trouble(work, effects[0], error, None)

    async def _defer(self, channel: Channel, effect: Effect, error: Exception) -> None:
        wait = _pause(effect.attempts, error.retry_after if isinstance(error, Unavailable) else None)
        is_pace = isinstance(error, Unavailable) and error.reason is Reason.RATE_LIMITED
        say = log.info if is_pace else log.warning
        say("effect_deferred", channel=channel.name, effect=effect.key, seconds=round(wait, 2), error=str(error))
        until = self._clock.now() + timedelta(seconds=wait)

        def defer() -> None:
            with self._store.begin() as work:
                why = str(error) or type(error).__name__
                work.effects.defer(effect.key, until, why)
                self._on_trouble(work, effect, why, until)

        await self._ask_store(defer)


async def _edit(channel: Channel, message: Message, ref: str) -> bool:
    """Edit a message; False where it was pinned and somebody has deleted it."""
    reach("chat.edit.before")
    try:
        await channel.connector.edit(channel.name, message, ref)
    except Rejected as error:
        if not message.is_pinned or error.reason is not Reason.NOT_FOUND:
            raise
        return False
    reach("chat.edit.after")
    return True


def _remember(work: UnitOfWork, channel: str, sent: _Sent) -> None:
    message = sent.message
    if sent.ref:
        work.postings.put(message.incident, channel, message.slot, sent.ref)
        what = f"Posted {message.slot} to {channel}"
        work.timeline.append(message.incident, "posted", BOT, what, {"slot": message.slot})
    if message.is_pinned:
        work.postings.put(message.incident, channel, message.slot + SHOWN, _digest(message))


def _digest(message: Message) -> str:
    return hashlib.sha256(repr(message).encode(errors="replace")).hexdigest()[:16]


def _pause(attempts: int, hint: float | None) -> float:
    """Return how long to wait: what the service asked for, within an hour, or else longer and longer."""
    if hint is not None:
        return min(max(hint, 0.0), LONGEST_HINT)
    return min(LONGEST_WAIT, 0.5 * 2.0 ** min(attempts, 16)) * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter, not a secret


def _may_wait(effect: Effect, now: datetime) -> bool:
    """Say whether an effect waits for its time and holds nothing up; one that failed before keeps its place."""
    return effect.attempts == 0 and effect.not_before is not None and effect.not_before > now


def _covered(sent: Effect, effects: Sequence[Effect]) -> Sequence[Effect]:
    """Return the other promises that one message keeps as well: it shows the state of this moment."""
    return [effect for effect in effects if effect is not sent and _slot(effect.payload) == _slot(sent.payload)]


def _slot(payload: Mapping[str, str]) -> tuple[str, str, str]:
    return payload["what"], payload["incident"], payload["arg"]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
