"""What each chat adds to the start and the memory of the bot, connected to the service beside it, and what all add."""

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp.test_utils import TestServer

from tests.bench.intake import make_bot
from tests.bench.report import Row, note, show
from tests.e2e.chats import Chat, DiscordChat, SlackChat, TelegramChat, WhatsAppChat, write_channels

KINDS = (SlackChat, DiscordChat, TelegramChat, WhatsAppChat)
STARTS = 3
SETTLES = 5
"""Seconds after which everything is connected and nothing happens."""


async def measure_channels(folder: Path) -> list[Row]:
    rows = [await _measure(folder / "none", "console and web", [])]
    for kind in KINDS:
        rows.append(await _measure(folder / kind.name, f"… and {kind.name}", [kind()]))
    rows.append(await _measure(folder / "all", "… and all four", [kind() for kind in KINDS]))
    return rows


async def _measure(folder: Path, what: str, chats: Sequence[Chat]) -> Row:
    """Start several times in one folder, the first time to make the tables, and look at the last start."""
    folder.mkdir(parents=True)
    times, used = [], []
    async with AsyncExitStack() as stack:
        urls = {}
        for chat in chats:
            server = await stack.enter_async_context(TestServer(chat.app()))
            urls[str(server.make_url("")).rstrip("/")] = chat
        session = await stack.enter_async_context(aiohttp.ClientSession())
        bot = await asyncio.to_thread(make_bot, folder)
        bot.more_config = write_channels(urls)
        bot.write_config()
        try:
            for number in range(STARTS + 1):
                times.append(await bot.start_ready(session))
                used.append(bot.front_use().cpu)
                if number < STARTS:
                    await asyncio.to_thread(bot.end)
            await asyncio.sleep(SETTLES)
            memory = bot.front_use().memory + bot.worker_use().memory
        finally:
            bot.stop()
    start, cpu = statistics.median(times[1:]), statistics.median(used[1:])
    return note(
        f"{what}: start to ready / CPU until then, median of {STARTS} / memory idle",
        f"{show(start)} s / {show(cpu)} s / {show(memory)} MB",
    )
