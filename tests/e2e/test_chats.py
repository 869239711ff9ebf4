"""One incident of the real bot, decided in a single chat: the real SDK, and the service beside it."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from tests.e2e.chats import Chat, ChatWalk, DiscordChat, SlackChat, TelegramChat, WhatsAppChat, write_channels
from tests.e2e.test_kill_walker import CULPRIT, check_outcome
from tests.e2e.walk import Person, make_ground, shop_service


class Deciders:
    """Ana presses what is offered, and Ben what it asks of him or leaves to be confirmed."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.pressed: set[str] = set()

    async def act(self, _person: Person, incident: dict) -> bool:
        verb = "ack" if incident["state"] == "triggered" else "approve"
        waits = verb == "ack" or [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        who = "ben" if verb == "approve" and "approve:ana" in self.pressed else "ana"
        press = self.chat.offer(verb, who) if waits else None
        if press is not None and f"{verb}:{who}" not in self.pressed:
            self.pressed.add(f"{verb}:{who}")
            await press()
        elif waits and verb == "approve":
            await self._ask_to_see(who)
        return waits

    async def _ask_to_see(self, who: str) -> None:
        """Outside WhatsApp's 24 hours the patch is called out, and shown when asked for."""
        press = self.chat.offer("~show", who)
        if press is not None and f"show:{who}" not in self.pressed:
            self.pressed.add(f"show:{who}")
            await press()


@pytest.mark.long
@pytest.mark.parametrize("make_chat", [SlackChat, DiscordChat, TelegramChat, WhatsAppChat])
async def test_an_incident_is_acknowledged_and_its_patch_approved_in_one_chat(
    make_chat: Callable[[], Chat], tmp_path: Path
) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    chat = make_chat()
    deciders = Deciders(chat)
    async with TestServer(chat.app()) as server:
        walk = ChatWalk(
            folder=folder,
            service=shop_service(folder),
            tables=write_channels({str(server.make_url("")).rstrip("/"): chat}),
            may_approve=lambda _: False,
            also=deciders.act,
            chats=[chat],
        )
        chat.will_call(walk.url)
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    assert chat.violations == []
    assert not [secret for secret in chat.secrets if secret in log]
    assert list(chat.live()) == []
    assert {diff.partition(" ")[0] for diff in chat.diffs()} == {"diff"}
    assert "every check passed" in chat.seen()
    assert chat.strays() == []
    counted = f"SELECT COUNT(*) FROM chat_event WHERE channel = '{chat.name}' AND ok = 1"
    assert walk.query(counted)[0][0] >= 2
    assert walk.query(f"SELECT COUNT(*) FROM chat_event WHERE channel <> '{chat.name}'") == [(0,)]
    await asyncio.to_thread(check_outcome, walk)
