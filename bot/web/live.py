"""Server-sent events: tells open pages that something changed, so that they fetch it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

BEAT_SECONDS: Final = 15.0
_MAX_STREAMS: Final = 256


@dataclass(kw_only=True)
class LiveStreams:
    """The open streams of one server: bounded in number, ended when it shuts down."""

    watch: Callable[[], AsyncIterator[str]]
    beat: float = BEAT_SECONDS
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(
        self, request: web.Request, incident: str | None, may_go_on: Callable[[], Awaitable[bool]]
    ) -> web.StreamResponse:
        """Stream changes of one incident (None: of all) until the reader leaves or `may_go_on` says no."""
        if len(self._tasks) >= _MAX_STREAMS:
            raise web.HTTPServiceUnavailable(text="Too many pages are open. Close some, or reload later.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        task = asyncio.create_task(self._send(response, incident, may_go_on))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task})
        finally:
            await _stop(task)
        if not task.cancelled():
            task.result()
        return response

    async def close(self, _app: web.Application) -> None:
        """Signal handler for `on_shutdown`: ends every stream, or the server would wait for its readers."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _send(
        self, response: web.StreamResponse, incident: str | None, may_go_on: Callable[[], Awaitable[bool]]
    ) -> None:
        changes = self.watch()
        following = asyncio.ensure_future(anext(changes))
        try:
            # The watcher listens before the page is told to fetch: no change falls between the two.
            await asyncio.sleep(0)
            await response.write(b"event: hello\ndata: \n\n")
            while True:
                await asyncio.wait({following}, timeout=self.beat)
                if not await may_go_on():
                    return
                if not following.done():
                    await response.write(b"event: beat\ndata: \n\n")
                    continue
                changed = following.result()
                following = asyncio.ensure_future(anext(changes))
                if incident in {None, changed}:
                    await response.write(b"event: change\ndata: \n\n")
        except (ConnectionResetError, StopAsyncIteration):
            return  # the reader left, or the board closes; a page that still reads will come again
        finally:
            await _stop(following)
            if isinstance(changes, AsyncGenerator):
                await changes.aclose()


async def _stop(task: "asyncio.Future[str] | asyncio.Task[None]") -> None:
    if task.done():
        return
    task.cancel()
    with suppress(asyncio.CancelledError, StopAsyncIteration):
        await task
