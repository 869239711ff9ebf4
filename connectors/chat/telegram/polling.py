"""Asking Telegram for news: how long one question waits, and which updates the inbox has."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from telegram import Bot, Update

from bot.errors import Reason, Unavailable
from connectors.chat.telegram.api import call

log = structlog.get_logger(__name__)
KINDS: Final = ["message", "callback_query"]
_BUSY_SECONDS: Final = 0.5
"""How long new presses wait for a look while the store is busy with others."""
_QUIET: Final = 1.0
"""Seconds from which a question that ends without an answer was cut for being quiet, not for a fault."""
Take = Callable[[Sequence[Update]], Awaitable[None]]


class Polling:
    """Questions one after another. The offset moves only past updates that are taken.

    A proxy that cuts quiet connections is met with questions that end before it does; now and then a longer one is
    tried again.
    """

    def __init__(self, bot: Bot, longest: int) -> None:
        self._bot = bot
        self._longest = longest
        self._wait = longest
        self._offset: int | None = None

    async def run(self, take: Take) -> None:
        """Take new updates even while the store is slow with others; those hold the offset back."""
        taken: set[int] = set()
        busy: set[asyncio.Task[None]] = set()
        try:
            while True:
                updates = [one for one in await self._ask(is_busy=bool(busy)) if one.update_id not in taken]
                if updates:
                    taken.update(update.update_id for update in updates)
                    busy.add(asyncio.ensure_future(take(updates)))
                busy = await _settle(busy)
                if taken and not busy:
                    self._offset = max(taken) + 1
                    taken.clear()
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    async def _ask(self, *, is_busy: bool) -> Sequence[Update]:
        wait, began = 0 if is_busy else self._wait, time.monotonic()
        try:
            updates = await call(self._bot.get_updates(offset=self._offset, timeout=wait, allowed_updates=KINDS))
        except Unavailable as error:
            lasted = time.monotonic() - began
            if error.reason is not Reason.UNREACHABLE or not _QUIET <= lasted <= wait:
                raise
            self._wait = max(1, int(lasted) - 1)
            log.info("telegram_asks_shorter", seconds=self._wait)
            return ()
        if wait and not updates:
            self._wait = min(self._wait + 1, self._longest)
        return updates


async def _settle(busy: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return those that are still at it after a moment; raises what one of the others raised."""
    if not busy:
        return busy
    done, left = await asyncio.wait(busy, timeout=_BUSY_SECONDS)
    for task in done:
        task.result()
    return left
