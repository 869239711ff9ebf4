"""Questions to a CI that may be silent for a while: asked again until there is an answer, but not for ever."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

import structlog

from bot.engine.commit_news import Listener
from bot.engine.tools import Tools
from bot.errors import Unavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")
SILENT_SECONDS: Final = 1800.0


async def ask_until_answered(tools: Tools, ci: str, ask: Callable[[], Awaitable[T]], news: Listener) -> T:
    """Return the answer: a lost one begins nothing anew. Raises `Unavailable` after a long silence."""
    began, pauses = monotonic(), tools.pauses(ci)
    while True:
        try:
            return await ask()
        except Unavailable as error:
            if monotonic() - began > SILENT_SECONDS:
                raise
            log.info("ci_silent", ci=ci, error=str(error))
            await news.wait(max(next(pauses), error.retry_after or 0.0))
