"""News of commits: a webhook that names a commit ends the wait of whoever follows it. Polling goes on without any."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Listener:
    """One who follows a commit. News that comes while nobody waits ends the next wait at once: none is missed."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def tell(self) -> None:
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news since the last wait, at most so long; True when there was some."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class CommitNews:
    """Who follows which commit, in this process; nothing is lost with it, for who follows also polls."""

    def __init__(self) -> None:
        self._following: dict[str, set[Listener]] = {}

    def tell(self, commits: Iterable[str]) -> None:
        """Wake whoever follows one of these commits. Call it on the event loop."""
        for sha in commits:
            for listener in self._following.get(sha, ()):
                listener.tell()

    @contextmanager
    def follow(self, sha: str) -> Iterator[Listener]:
        """Listen to the news of a commit for the length of the block: begin before the first question."""
        listener = Listener()
        self._following.setdefault(sha, set()).add(listener)
        try:
            yield listener
        finally:
            self._following[sha].discard(listener)
            if not self._following[sha]:
                del self._following[sha]
