"""News of commits: a webhook that names a commit ends the wait of whoever follows it. Polling goes on without any."""

import asyncio
from collections.abc import Iterable


class CommitNews:
    """Who waits for which commit, in this process; nothing is lost with it, for what waits also polls."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, commits: Iterable[str]) -> None:
        """Wake whoever waits for one of these commits. Call it on the event loop."""
        for sha in commits:
            for event in self._waiting.get(sha, ()):
                event.set()

    async def wait(self, sha: str, seconds: float) -> bool:
        """Wait for news of a commit, at most so long; True when there was some."""
        event = asyncio.Event()
        self._waiting.setdefault(sha, set()).add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting[sha].discard(event)
            if not self._waiting[sha]:
                del self._waiting[sha]
