"""python -m tests.busy_far '[["slack", 0], …]': chat services with their limits, and people who press buttons in them.

A process of its own, so that what it costs is not the bot's: it tells its chats' settings, and then answers a line of
JSON on the standard input with one on the standard output.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests import rate_limits
from tests.e2e.chats import DiscordChat, SlackChat, TelegramChat, WhatsAppChat
from tests.slack_server import text_of

KINDS: Mapping[str, Any] = {
    "slack": SlackChat,
    "discord": DiscordChat,
    "telegram": TelegramChat,
    "whatsapp": WhatsAppChat,
}
_PROBLEM = re.compile(r"problem (\d{4})")
_PATIENCE = 30.0


@dataclass(kw_only=True)
class Busy:
    """One chat with its service. `answered` are the seconds that each press waited for its answer."""

    kind: str
    number: int
    chat: Any
    limits: rate_limits.Limits
    answered: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.kind}{self.number}"

    def posts(self) -> list[int]:
        """Return the number of the problem that each message posted there is about, in order."""
        found = (_PROBLEM.search(text) for text in _TEXTS[self.kind](self.chat.world))
        return [int(match[1]) for match in found if match]

    def tell(self) -> Mapping[str, Any]:
        """Return what happened here."""
        return {
            "posts": self.posts(),
            "answered": self.answered,
            "refused": self.limits.refused,
            "accepted": sum(self.limits.accepted.values()),
            "least": self.limits.least_seconds(),
            "violations": [*self.chat.violations],
        }

    async def press(self) -> bool:
        """Acknowledge something, and wait until that is answered; False where there is nothing to acknowledge."""
        found = self.chat.offer("ack", "ana")
        if found is None:
            return False
        began = time.perf_counter()
        is_answered = await _PRESSES[self.kind](self.chat.world, found)
        async with asyncio.timeout(_PATIENCE):
            while not is_answered():
                await asyncio.sleep(0.002)
        self.answered.append(time.perf_counter() - began)
        return True


def make_chat(kind: str, number: int) -> Busy:
    chat = KINDS[kind]()
    chat.name = f"{kind}{number}"
    limits: rate_limits.Limits = getattr(rate_limits, kind)()
    chat.world.limits = limits
    return Busy(kind=kind, number=number, chat=chat, limits=limits)


async def _press_slack(world: Any, press: Any) -> Callable[[], bool]:
    envelope = await press()
    return lambda: envelope in world.acknowledged


async def _press_discord(world: Any, press: Any) -> Callable[[], bool]:
    stored, key, _ = press.args
    await world.press(stored, key)
    return world.answered_last  # type: ignore[no-any-return]  # the server's own method


async def _press_telegram(world: Any, press: Any) -> Callable[[], bool]:
    query = f"q{len(world.updates)}"
    await press()
    return lambda: any(answer["callback_query_id"] == query for answer in world.answers)


async def _press_whatsapp(world: Any, press: Any) -> Callable[[], bool]:
    await press()
    return lambda: world.answered[-1] == 200


_PRESSES: Mapping[str, Callable[[Any, Any], Coroutine[None, None, Callable[[], bool]]]] = {
    "slack": _press_slack,
    "discord": _press_discord,
    "telegram": _press_telegram,
    "whatsapp": _press_whatsapp,
}
_TEXTS: Mapping[str, Callable[[Any], list[str]]] = {
    "slack": lambda world: ["".join(text_of(world.messages[ts]["blocks"])) for ts in sorted(world.messages)],
    "discord": lambda world: [stored.text for stored in world.messages.values()],
    "telegram": lambda world: [stored.text for stored in world.messages.values()],
    "whatsapp": lambda world: [got.text for got in world.sent if got.keys],  # what has no button was no new message
}


async def press_steadily(one: Busy, count: int, seconds: float) -> None:
    """Press so many buttons over some seconds; one that is not there yet is waited for."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for turn in range(count):
        await asyncio.sleep(max(0.0, began + (turn + one.number / 10 % 1) * seconds / count - loop.time()))
        while not await one.press():
            await asyncio.sleep(0.1)


async def serve(app: web.Application) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def obey(chats: Sequence[Busy], order: Mapping[str, Any]) -> Any:
    """Do one thing that the bot's side asks for."""
    if "bot" in order:
        for one in chats:
            one.chat.will_call(order["bot"])
        return None
    if "press" in order:
        await asyncio.gather(*(press_steadily(one, order["press"][one.kind], order["seconds"]) for one in chats))
        return None
    return {one.name: one.tell() for one in chats}


async def main(names: Sequence[tuple[str, int]]) -> None:
    chats = [make_chat(kind, number) for kind, number in names]
    tables = {one.name: {"kind": one.kind, **one.chat.table(await serve(one.chat.app()))} for one in chats}
    for one in chats:
        if one.kind in {"discord", "telegram"}:
            tables[one.name]["summary"] = False  # what is counted are the incidents' own messages
    print(json.dumps({"tables": tables, "accounts": {one.name: one.chat.accounts["ana"] for one in chats}}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await obey(chats, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
