"""Runs seen from outside: their states, read once or followed live. Part of the admin API."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from bot.domain.runs.progress import Happening, Progress, advance, fold_progress
from bot.errors import Refused, Unavailable
from bot.ports.work import Store
from bot.services.run_story import Cursor, Story, list_runs, read_cursor, read_story

LOOK_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 15.0
MAX_STREAMS: Final = 64


@dataclass(kw_only=True)
class RunApi:
    """Answers for runs. Streams are bounded in number and end with the server."""

    store: Store
    look: float = LOOK_SECONDS
    beat: float = BEAT_SECONDS
    _open: int = 0
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def show(self, request: web.Request) -> web.Response:
        """Tell where one run is. Raises `Refused`."""
        story = await asyncio.to_thread(self._story, request.match_info["run"])
        return web.json_response(_tell_run(story, fold_progress(story.happenings)))

    async def list(self, request: web.Request) -> web.Response:
        """Tell where each run of an incident is, oldest first. Raises `Refused`."""

        def read() -> list[Mapping[str, Any]]:
            with self.store.begin() as work:
                incident = work.incidents.get(request.match_info["incident"]).id
                stories = [read_story(work, run) for run in list_runs(work.timeline.of(incident), incident)]
                return [_tell_run(story, fold_progress(story.happenings)) for story in stories]

        return web.json_response({"runs": await asyncio.to_thread(read)})

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Stream a run's rows, each with the state after it, from where the reader left off. Raises `Refused`."""
        name, shown = request.match_info["run"], request.headers.get("Last-Event-ID", "")
        try:
            seen = read_cursor(shown) if shown else Cursor()
        except Refused as refusal:
            return web.json_response({"error": str(refusal), "reason": refusal.reason}, status=400)
        story = await asyncio.to_thread(self._story, name)
        if self._open >= MAX_STREAMS:
            return web.Response(status=503, text="Too many streams are open.\n", headers={"Retry-After": "10"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        self._open += 1
        try:
            await response.prepare(request)
            await self._send(response, story, seen)
        except ConnectionResetError:
            pass  # the reader left
        finally:
            self._open -= 1
        return response

    async def close(self, _app: web.Application) -> None:
        """Signal handler for `on_shutdown`: ends every stream, or the server would wait for its readers."""
        self._closing.set()

    async def _send(self, response: web.StreamResponse, story: Story, seen: Cursor) -> None:
        quiet = 0.0
        while not self._closing.is_set():
            old, new = story.split(seen)
            progress = fold_progress(old)
            for row in new:
                progress, seen = advance(progress, row), story.move(seen, row)
                await response.write(_event(row, progress, seen))
            if progress.status.is_final:
                await response.write(b"event: end\ndata: {}\n\n")
                return
            quiet = 0.0 if new else quiet + self.look
            if quiet >= self.beat:
                quiet = 0.0
                await response.write(b": beat\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look):
                    await self._closing.wait()
            story = await self._read_again(story)

    async def _read_again(self, story: Story) -> Story:
        try:
            return await asyncio.to_thread(self._story, story.run)
        except Unavailable:
            return story

    def _story(self, run: str) -> Story:
        with self.store.begin() as work:
            return read_story(work, run)


def _tell_run(story: Story, progress: Progress) -> Mapping[str, Any]:
    return {
        "id": story.run,
        "incident": story.incident,
        "state": progress.status.value,
        "since": progress.since.isoformat() if progress.since else None,
        "tool": progress.tool or None,
        "text": progress.text,
        "patches": {digest: fate.value for digest, fate in progress.patches.items()},
        "transcripts": list(story.transcripts),
        "rows": len(story.happenings),
    }


def _event(row: Happening, progress: Progress, seen: Cursor) -> bytes:
    """Return one server-sent event. JSON in ASCII has no line end in it."""
    told = {
        "state": progress.status.value,
        "at": row.at.isoformat(),
        "kind": row.kind,
        "text": row.text,
        "transcript": row.transcript or None,
        "data": dict(row.data),
    }
    return f"id: {seen}\nevent: run\ndata: {json.dumps(told)}\n\n".encode()
