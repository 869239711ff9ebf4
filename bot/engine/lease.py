"""The lease of one front process among several: it says that the process lives, and its end that others take over.

A thread beats, and only while the event loop moves. It ends the process when the loop stands still for too long, and
when the others have declared it dead meanwhile: what it was doing is being done by them. Another thread takes over from
the dead: dbos sits out an outage in the call that met it, in pauses that double from one second on, and no beat may
wait for that.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from bot.errors import Unavailable
from bot.metrics import TAKEOVERS

log = structlog.get_logger(__name__)
EXIT_CODE: Final = 75


class LeaseTable(Protocol):
    """Where leases are kept. Every call raises `Unavailable` where that does not answer."""

    def begin(self) -> None: ...

    def beat(self) -> bool:
        """False: this process was declared dead."""
        ...

    def end(self) -> None: ...

    def reap(self) -> frozenset[str] | None:
        """End the leases that ran out; who lives, None while another process does this."""
        ...


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Seconds: how long a lease holds, how often it is renewed, and how long the event loop may stand still."""

    lease: float
    beat: float
    stuck: float


TakeOver = Callable[[Callable[[Set[str]], Set[str]]], int]
"""`bot.engine.phases.Engine.take_over`."""


def end_process(why: str) -> None:
    """End at once, without any of the things a calm stop would still do."""
    log.critical("process_ends", why=why)
    os._exit(EXIT_CODE)


class Keeper:
    """Keeps the lease and takes over from the dead. `give_up` ends the process."""

    def __init__(
        self,
        table: LeaseTable,
        lengths: Lengths,
        take_over: TakeOver,
        *,
        give_up: Callable[[str], None] = end_process,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._lengths = lengths
        self._take_over = take_over
        self._give_up = give_up
        self._monotonic = monotonic
        self._turns = 0
        self._seen = -1
        self._still = 0.0
        self._last_look = self._last_beat = self._alive_since = monotonic()
        self._stop = threading.Event()
        self._may_reap = threading.Event()
        self._beating = threading.Thread(target=self._serve, name="lease", daemon=True)
        self._reaping = threading.Thread(target=self._serve_dead, name="take over", daemon=True)
        self._turning: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Write the first beat: before the first phase can be started. Raises `Unavailable`."""
        self._table.begin()

    def start(self) -> None:
        """Go on beating. To be called in the event loop."""
        self._turning = asyncio.get_running_loop().create_task(self._turn(), name="lease")
        self._beating.start()
        self._reaping.start()

    async def close(self) -> None:
        """Give the lease back."""
        self._stop.set()
        self._may_reap.set()
        await asyncio.to_thread(self._beating.join, 10)
        if self._turning is not None:
            self._turning.cancel()
        try:
            await asyncio.to_thread(self._table.end)
        except Unavailable as error:
            log.warning("lease_not_given_back", error=str(error))

    async def _turn(self) -> None:
        """The event loop's sign of life."""
        while True:
            self.mark_turn()
            await asyncio.sleep(self._lengths.beat / 4)

    def mark_turn(self) -> None:
        self._turns += 1

    def _serve(self) -> None:
        while not self._stop.wait(self._lengths.beat):
            if self.look():
                self._may_reap.set()

    def _serve_dead(self) -> None:
        while True:
            self._may_reap.wait()
            if self._stop.is_set():
                return
            self._may_reap.clear()
            self.take_over()

    def look(self) -> bool:
        """One round: beat if the loop moves. True: this process may take over from whoever is dead."""
        now = self._monotonic()
        woke_up = now - self._last_look > 2 * self._lengths.beat  # it was the process that stood still, not the loop
        self._last_look = now
        if self._turns == self._seen and not woke_up:
            self._still += self._lengths.beat
            if self._still >= self._lengths.stuck:
                self._give_up(f"The event loop stood still for {self._still:.0f} s.")
            return False
        self._seen, self._still = self._turns, 0.0
        try:
            if not self._table.beat():
                self._give_up("This process stood still; the others have taken its work over.")
                return False
        except Unavailable as error:
            log.warning("lease_not_renewed", error=str(error))
            return False
        self._note_beat()
        return self._has_been_alive()

    def _note_beat(self) -> None:
        now = self._monotonic()
        if self._was_away(now):
            self._alive_since = now
        self._last_beat = now

    def _was_away(self, now: float) -> bool:
        return now - self._last_beat > self._lengths.lease / 2

    def _has_been_alive(self) -> bool:
        """Whether this process could beat for a whole lease: after an outage all others must get their turn first."""
        now = self._monotonic()
        return not self._was_away(now) and now - self._alive_since >= self._lengths.lease

    def take_over(self) -> None:
        """Take over from whoever is dead; waits for the database as long as it takes. What fails is tried again."""
        try:
            count = self._take_over(self._find_dead)
        except Exception as error:
            log.warning("nobody_taken_over", error=str(error), exc_info=not isinstance(error, Unavailable))
            return
        if count:
            TAKEOVERS.inc(count)
            log.warning("taken_over", executors=count)

    def _find_dead(self, owners: Set[str]) -> Set[str]:
        """Return which of these are dead. To be asked after the owners were listed: whoever began since is no owner.

        Nobody is dead where listing them sat out an outage: all others must get their turn first.
        """
        if not self._has_been_alive():
            return frozenset()
        live = self._table.reap()
        return frozenset() if live is None else owners - live
