"""One incident of the real bot in four chats at once: whatever is done in one of them shows in every other."""

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.e2e.chats import Chat, ChatWalk, DiscordChat, Press, SlackChat, TelegramChat, WhatsAppChat, write_channels
from tests.e2e.test_kill_walker import CULPRIT, check_outcome
from tests.e2e.walk import Person, make_ground, shop_service

SECONDS = 5
"""In which every other card has to show it."""
LATE = "Ana has INC-1 already."
BOTH = "approved by Ana and Ben"


class Mirrored:
    """Ana and Ben, who use whichever chat is at hand: acknowledged in Telegram, approved in Discord and Slack."""

    def __init__(self) -> None:
        self.slack, self.discord, self.telegram = SlackChat(), DiscordChat(), TelegramChat()
        self.whatsapp = WhatsAppChat(tell="all")
        self.chats: Sequence[Chat] = (self.slack, self.discord, self.telegram, self.whatsapp)
        self.edited: Sequence[Chat] = self.chats[:3]
        self.done: set[str] = set()
        self.rung: list[str] = []

    def phone(self) -> web.Application:
        """Return what Ana's contact reaches: it keeps the titles of the pages."""
        app = web.Application()

        async def ring(request: web.Request) -> web.Response:
            self.rung.append((await request.json())["title"])
            return web.Response()

        app.router.add_post("/ana", ring)
        return app

    async def act(self, _person: Person, incident: dict) -> bool:
        """Do what comes next once it is offered everywhere; say whether the walk has to wait for it."""
        waits = [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        if "greeting" not in self.done:
            self.done.add("greeting")
            await self._greet()
        elif incident["state"] == "triggered" and "ack" not in self.done and self._all_offer("ack"):
            self.done.add("ack")
            await self._acknowledge()
        elif waits and "approve" not in self.done and self._all_offer("approve"):
            self.done.add("approve")
            await self._approve()
        return waits or incident["state"] == "triggered"

    def _all_offer(self, verb: str) -> bool:
        return all(chat.offer(verb, person) is not None for chat in self.chats for person in ("ana", "ben"))

    async def _greet(self) -> None:
        """Whoever wrote in the last 24 hours may be told everything in WhatsApp."""
        for number in self.whatsapp.accounts.values():
            await self.whatsapp.world.say("/oncall who", number.removeprefix("+"))

    async def _acknowledge(self) -> None:
        await _until(lambda: bool(self.rung), "the phone has rung")
        others = (self.slack, self.discord, self.whatsapp)
        late = [self._find(chat, "ack", "ben") for chat in others]
        await self._find(self.telegram, "ack", "ana")()
        await self._until_all_show("Ana has it", gone="ack")
        for press in late:
            await press()
        await _until(lambda: all(LATE in chat.told() for chat in others), "whoever came late was told")

    async def _approve(self) -> None:
        late = self._find(self.telegram, "approve", "ana")
        await self._find(self.discord, "approve", "ana")()
        await self._until_all_show("Ana approved at", gone="")
        await self._find(self.slack, "approve", "ben")()
        await self._until_all_show("Ben approved at", gone="approve")
        await late()
        await _until(lambda: BOTH in self.telegram.told(), "whoever came late was told")

    @staticmethod
    def _find(chat: Chat, verb: str, person: str) -> Press:
        press = chat.offer(verb, person)
        assert press is not None, f"no {verb} in {chat.name}"
        return press

    async def _until_all_show(self, text: str, *, gone: str) -> None:
        """Wait until every chat shows it, and none that can be edited has such a button left."""
        await _until(lambda: all(text in chat.seen() for chat in self.chats), f'"{text}" everywhere')
        if gone:
            await _until(lambda: not any(chat.offers(gone) for chat in self.edited), f"no {gone} anywhere")


async def _until(claim: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < SECONDS, what
        await asyncio.sleep(0.02)


async def test_what_is_done_in_one_chat_shows_in_all_four_within_seconds(tmp_path: Path) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    people = Mirrored()
    async with AsyncExitStack() as stack:
        urls = {}
        for chat in people.chats:
            server = await stack.enter_async_context(TestServer(chat.app()))
            urls[str(server.make_url("")).rstrip("/")] = chat
        phone = await stack.enter_async_context(TestServer(people.phone()))
        contact = f'\n[people.ana.contacts.push]\nurl = "json://127.0.0.1:{phone.port}/ana"\n'
        walk = ChatWalk(
            folder=folder,
            service=shop_service(folder),
            tables="quorum = 2\n" + write_channels(urls) + contact,
            may_approve=lambda _: False,
            also=people.act,
            chats=people.chats,
        )
        people.whatsapp.will_call(walk.url)
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    for chat in people.chats:
        assert chat.violations == [], chat.name
        assert not [secret for secret in chat.secrets if secret in log], chat.name
        assert list(chat.live()) == [], chat.name
        assert {diff.partition(" ")[0] for diff in chat.diffs()} == {"diff"}, chat.name
        assert "every check passed" in chat.seen(), chat.name
        assert "Resolved at" in chat.seen(), chat.name
    alone = {got.to for got in people.whatsapp.world.sent if LATE in got.text}
    assert alone == {people.whatsapp.accounts["ben"].removeprefix("+")}
    assert people.done == {"greeting", "ack", "approve"}
    assert [title.split(":")[0] for title in people.rung] == ["INC-1 critical"]
    await asyncio.to_thread(check_outcome, walk)
