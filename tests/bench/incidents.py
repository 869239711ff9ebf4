"""From the alert to the verdict over 30 incidents in three repositories, and how fast presses are answered."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from bot.demo.api import BotApi, Event, IncidentStatus
from bot.demo.browser import Browser
from bot.domain.service import LogPlace, Service
from tests.bench.report import Row, note, quantile, spread, within
from tests.bench.running import Bot, make_body, send
from tests.worlds.recipes import CHECKOUT, STOCKROOM, TICKETS
from tests.worlds.world import World, build_world

COUNT = 30
HUNG = 3
LOOK = 0.15
PATIENCE = 60.0
#: What is told, and between which two events of the timeline it is measured; "" is the moment the alert was sent.
SPANS: Mapping[str, tuple[str, str]] = {
    "alert → first card": ("", "card"),
    "alert → first finding": ("", "collected"),
    "alert → suspect named": ("", "suspected"),
    "alert → suspect confirmed in the sandbox": ("", "confirmed"),
    "alert → verified patch shown": ("", "patch_ready"),
    "approved → pushed": ("approved", "pushed"),
    "approved → CI's verdict in the thread": ("approved", "ci_passed"),
    "alert → CI's verdict, with people who press at once": ("", "ci_passed"),
}


async def measure(folder: Path) -> list[Row]:
    worlds = []
    for recipe in (CHECKOUT, TICKETS, STOCKROOM):
        (folder / recipe.name).mkdir()
        worlds.append(await asyncio.to_thread(build_world, recipe, folder / recipe.name))
    services = [world.service for world in worlds]
    bot = Bot(folder=folder, service=services[0], services=[*services, _hang(services[0])])
    async with AsyncExitStack() as stack:
        bot.more_config = f'[connections.loki]\nurl = "{await _start_silence(stack)}"\n'
        bot.write_config()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.callback(bot.stop)
        await bot.start_ready(session)
        handler = _Handler(bot, session, await bot.people(stack))
        for number in range(COUNT):
            await handler.handle(worlds[number % len(worlds)], number + 1)
        await asyncio.sleep(2)
        front, worker = bot.front_use(), bot.worker_use()
        first, last = zip(*[await handler.look(worlds[0], COUNT + number + 1) for number in range(HUNG)], strict=True)
    spans = [note(f"{what}: p50 / p95 of {COUNT}", spread(handler.spans[what], "s")) for what in SPANS]
    memory = f"{front.memory:.0f} / {worker.memory:.0f} MB"
    cpu = f"{front.cpu / COUNT:.2f} / {worker.cpu / COUNT:.2f} s"
    return [
        within("P1", "alert → first card, largest", max(handler.spans["alert → first card"]), 1.0, "s"),
        *spans,
        within("", f"a log store that hangs: alert → first finding, largest of {HUNG}", max(first), 10.0, "s"),
        within("", "… alert → all findings, the commit confirmed, largest", max(last), 60.0, "s"),
        note(f"press answered: p50 / p95 of {len(handler.presses)}", spread(handler.presses, "s")),
        within("P1", "press answered, p99", quantile(handler.presses, 0.99), 1.0, "s"),
        note(f"memory after {COUNT} incidents: front / worker", memory),
        note("CPU per incident: front / worker", cpu),
    ]


def _hang(service: Service) -> Service:
    """Return the service once more, as one that logs into a store as well."""
    return replace(service, name=f"{service.name}-far", logs=(*service.logs, LogPlace(kind="loki", query='{app="x"}')))


async def _start_silence(stack: AsyncExitStack) -> str:
    """Return the address of a server that takes every question and never answers."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(listen, "127.0.0.1", 0))
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class _Handler:
    """The people who deal with incidents at once, and a stopwatch."""

    def __init__(self, bot: Bot, session: aiohttp.ClientSession, people: Mapping[str, Browser]) -> None:
        self._bot = bot
        self._session = session
        self._people = people
        self._api: BotApi = bot.api(session)
        self.presses: list[float] = []
        self.spans: dict[str, list[float]] = {what: [] for what in SPANS}

    async def handle(self, world: World, number: int) -> None:
        name, incident = f"HighErrorRate{number}", f"INC-{number}"
        sent_at = datetime.now(UTC)
        began = world.alert_started_at
        await send(self._session, self._bot, make_body(world.service.name, name, began=began))
        await self._wait(incident, "card")
        await self._press(incident, "Acknowledge", "ana")
        await self._approve(incident)
        await self._wait(incident, "ci_passed")
        at = {"": sent_at} | _read_times(await self._api.timeline(incident))
        for what, (start, end) in SPANS.items():
            self.spans[what].append((at[end] - at[start]) / timedelta(seconds=1))
        resolved = make_body(world.service.name, name, began=began, ended=datetime.now(UTC))
        await send(self._session, self._bot, resolved)
        await self._wait(incident, "resolved")

    async def look(self, world: World, number: int) -> tuple[float, float]:
        """Let one incident be investigated whose service logs into a store that hangs; nobody does anything."""
        name, incident, service = f"HighErrorRate{number}", f"INC-{number}", f"{world.service.name}-far"
        began, sent_at = world.alert_started_at, datetime.now(UTC)
        await send(self._session, self._bot, make_body(service, name, began=began))
        await self._wait(incident, "findings")
        events = await self._api.timeline(incident)
        at = _read_times(events)
        resolved = make_body(service, name, began=began, ended=datetime.now(UTC))
        await send(self._session, self._bot, resolved)
        first, last = (at[name] - sent_at for name in ("collected", "findings"))
        return first / timedelta(seconds=1), last / timedelta(seconds=1)

    async def _approve(self, incident: str) -> None:
        """Let as many people approve as the patch needs."""
        for person in ("ana", "ben"):
            await self._press(incident, "Approve", person)
            status = await self._status(incident)
            if status is not None and all(patch.state != "pending" for patch in status.patches):
                return

    async def _status(self, incident: str) -> IncidentStatus | None:
        return await self._api.incident(incident)

    async def _press(self, incident: str, label: str, person: str) -> None:
        browser, deadline = self._people[person], time.monotonic() + PATIENCE
        while (button := await browser.find(f"/incidents/{incident}", label)) is None:
            assert time.monotonic() < deadline, f"no {label} at {incident}\n{self._bot.tail()}"
            await asyncio.sleep(LOOK)
        began = time.perf_counter()
        await browser.press(button)
        self.presses.append(time.perf_counter() - began)

    async def _wait(self, incident: str, kind: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while kind not in _read_times(await self._api.timeline(incident)):
            assert time.monotonic() < deadline, f"no {kind} at {incident}\n{self._bot.tail()}"
            await asyncio.sleep(LOOK)


def _read_times(events: Sequence[Event]) -> dict[str, datetime]:
    """Return when each kind of event came first; posts are named by their slot, stages by their name."""
    found: dict[str, datetime] = {}
    for event in events:
        name = {"posted": event.data.get("slot"), "stage": event.data.get("stage")}.get(event.kind) or event.kind
        found.setdefault(name, event.at)
    return found
