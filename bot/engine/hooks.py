"""Hooks: each change of a run's state is promised to every hook, and delivered in order until it is settled.

What is new is found by following the timeline: how far it was followed is stored with the promises, in one commit, so
that nothing is told never, and the same change is promised once whoever follows.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from bot.domain.runs.progress import Happening, Progress, advance
from bot.errors import NightshiftError, Rejected, Unavailable
from bot.metrics import EFFECTS
from bot.ports.clock import Clock
from bot.ports.faults import reach
from bot.ports.hooks import Hook
from bot.ports.work import Effect, EffectState, Store, UnitOfWork
from bot.services.run_story import assign_rows, of_timeline

log = structlog.get_logger(__name__)
TARGET: Final = "hook:"
FOLLOWED: Final = "hooks"
BATCH: Final = 500
LONGEST_WAIT: Final = 300.0
MOST_TRIES: Final = 300
"""About a day; a receiver that is away for longer reads the states when it is back."""
MAX_TEXT: Final = 300


class Hooks:
    """Follows the timeline and tells the hooks, until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, hooks: Mapping[str, Hook], *, sweep_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._hooks = hooks
        self._sweep = sweep_seconds
        self._loop = asyncio.get_running_loop()
        self._news = [asyncio.Event() for _ in range(len(hooks) + 1)]

    def wake(self, _targets: Collection[str] = ()) -> None:
        """Look now, whatever was promised: the timeline has news. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        for news in self._news:
            news.set()

    async def run(self) -> None:
        """Serve until cancelled: a receiver that hangs holds nobody else up."""
        follower, *tellers = self._news
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._follow, follower), name="follow for hooks")
            for name, news in zip(self._hooks, tellers, strict=True):
                group.create_task(self._repeat(partial(self.drain, name), news), name=f"hook {name}")

    async def _repeat(self, work: Callable[[], Awaitable[float]], news: asyncio.Event) -> None:
        while True:
            news.clear()
            try:
                pause = await work()
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))
                pause = self._sweep
            await _wait(news, pause)

    async def _follow(self) -> float:
        await asyncio.to_thread(self.promise)
        return self._sweep

    def promise(self) -> None:
        """Promise what is new on the timeline. What was before the first start is not told."""
        with self._store.begin() as work:
            known = work.switches.get(FOLLOWED)
            if not known:
                work.switches.set(FOLLOWED, str(work.timeline.head()[0]))
                return
            events = work.timeline.since(int(known), BATCH)
            if not events:
                return
            for incident in dict.fromkeys(event.incident for event in events if event.incident):
                changes = list_changes(work, incident, after=int(known), until=events[-1].seq)
                for change in changes:
                    self._intend(work, change)
            work.switches.set(FOLLOWED, str(events[-1].seq))

    def _intend(self, work: UnitOfWork, change: "Change") -> None:
        for name in self._hooks:
            key = f"{TARGET}{name}:{change.run}:{change.row.seq}"
            work.effects.intend(key, TARGET + name, {"body": change.as_json()})

    async def drain(self, name: str) -> float:
        """Deliver what is due to one hook; return how long it may be left alone."""
        while True:
            effect = await asyncio.to_thread(self._next, name)
            if effect is None:
                return self._sweep
            now = self._clock.now()
            if effect.not_before is not None and effect.not_before > now:
                return min((effect.not_before - now).total_seconds(), self._sweep)
            await self._tell(name, effect)

    def _next(self, name: str) -> Effect | None:
        with self._store.begin() as work:
            found = work.effects.next_of(TARGET + name, 1)
            if not found:
                work.effects.release(TARGET + name)
            elif not work.effects.hold(TARGET + name):
                return None
            return next(iter(found), None)

    async def _tell(self, name: str, effect: Effect) -> None:
        reach("hook.before")
        try:
            await self._hooks[name].tell(effect.key, effect.payload["body"].encode())
        except Unavailable as error:
            await asyncio.to_thread(self._put_off, name, effect, error)
            return
        except Rejected as error:
            await asyncio.to_thread(self._settle, name, effect, error)
            return
        reach("hook.after")
        await asyncio.to_thread(self._settle, name, effect, None)

    def _put_off(self, name: str, effect: Effect, error: Unavailable) -> None:
        if effect.attempts >= MOST_TRIES:
            self._settle(name, effect, error)
            return
        wait = error.retry_after or min(LONGEST_WAIT, 0.5 * 2.0 ** min(effect.attempts, 12))
        EFFECTS.labels(target=name, result="retry").inc()
        with self._store.begin() as work:
            work.effects.defer(effect.key, self._clock.now() + timedelta(seconds=wait), str(error))

    def _settle(self, name: str, effect: Effect, error: NightshiftError | None) -> None:
        state = EffectState.DONE if error is None else EffectState.FAILED
        if error is not None:
            log.warning("hook_not_told", hook=name, effect=effect.key, error=str(error))
        EFFECTS.labels(target=name, result="done" if error is None else "failed").inc()
        with self._store.begin() as work:
            work.effects.settle(effect.key, state, str(error or ""))


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return


@dataclass(frozen=True, kw_only=True)
class Change:
    """A run's state after one row, other than before it. `before` is "" where the run has just begun."""

    run: str
    row: Happening
    before: str
    progress: Progress

    def as_json(self) -> str:
        told = {
            "version": 1,
            "event": "run.state",
            "run": self.run,
            "incident": self.run.partition(":")[0],
            "state": self.progress.status.value,
            "before": self.before or None,
            "at": self.row.at.isoformat(),
            "text": self.row.text[:MAX_TEXT],
        }
        return json.dumps(told, separators=(",", ":"))


def list_changes(work: UnitOfWork, incident: str, *, after: int, until: int) -> list[Change]:
    """Return how the states of an incident's runs changed with the rows after one of the timeline, up to another."""
    runs: dict[str, Progress] = {}
    changes = []
    for event, run in assign_rows(work.timeline.of(incident), incident):
        if event.seq > until:
            break
        row, before = of_timeline(event), runs.get(run, Progress())
        runs[run] = progress = advance(before, row)
        is_new = progress.since is not None and (before.since is None or before.status is not progress.status)
        if is_new and event.seq > after:
            was = before.status.value if before.since is not None else ""
            changes.append(Change(run=run, row=row, before=was, progress=progress))
    return changes
