"""One incident of the real bot, decided in a Telegram group alone: the real SDK, a Bot API server beside it."""

import json
import shutil
from pathlib import Path

from aiohttp.test_utils import TestServer

from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import Person, Walk, make_ground, shop_service
from tests.telegram_server import CHAT, TOKEN, Stored, TelegramServer

BEN = {"id": 8, "is_bot": False, "first_name": "Ben"}


class TelegramWalk(Walk):
    def write_config(self) -> None:
        super().write_config()
        path = self.folder / "nightshift.toml"
        text = path.read_text()
        for person, account in (("ana", "7"), ("ben", "8")):
            text = text.replace(f'web = "{person}"', f'telegram = "{account}", web = "{person}"')
        path.write_text(text)


def key_of(world: TelegramServer, verb: str) -> tuple[Stored, str] | None:
    """Return the newest message that has such a button, and the button's data."""
    for stored in sorted(world.messages.values(), key=lambda one: -one.id):
        for row in (stored.keys or {}).get("inline_keyboard", ()):
            for key in row:
                if key["callback_data"].lstrip("?!").startswith(f"{verb}:"):
                    return stored, key["callback_data"]
    return None


async def test_an_incident_is_acknowledged_and_its_patch_approved_in_telegram(tmp_path: Path) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    world = TelegramServer(is_forum=True)
    pressed: set[str] = set()

    async def in_telegram(_person: Person, incident: dict) -> bool:
        verb = "ack" if incident["state"] == "triggered" else "approve"
        found = key_of(world, verb)
        waits = verb == "ack" or [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        if not waits or found is None:
            return incident["state"] == "triggered"
        who = "ben" if verb == "approve" and f"{verb}:ana" in pressed else "ana"
        if f"{verb}:{who}" not in pressed:
            pressed.add(f"{verb}:{who}")
            await world.press(*found, *([BEN] if who == "ben" else []))
        return True

    async with TestServer(world.app()) as server:
        channel = {"kind": "telegram", "chat": CHAT, "token": TOKEN, "url": str(server.make_url("")), "poll_seconds": 1}
        lines = [f"{name} = {json.dumps(value)}" for name, value in channel.items()]
        walk = TelegramWalk(
            folder=folder,
            service=shop_service(folder),
            tables="\n".join(["[channels.telegram]", *lines]),
            may_approve=lambda _: False,
            also=in_telegram,
            starts_cold=True,
        )
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    assert world.violations == []
    assert TOKEN not in log
    pressed_there = walk.query("SELECT COUNT(*) FROM chat_event WHERE channel = 'telegram' AND ok = 1")[0][0]
    assert pressed_there >= len(pressed) >= 2
    assert walk.query("SELECT COUNT(*) FROM chat_event WHERE channel <> 'telegram'") == [(0,)]
    card, patch = (
        world.find("INC-1 shop is failing"),
        next(one for one in world.messages.values() if one.name.endswith(".diff")),
    )
    assert card.topic == patch.topic
    assert world.topics[card.topic].startswith("INC-1")
    assert "resolved" in card.text.lower()
    assert patch.content.startswith("diff --git")
    assert [text for one in world.messages.values() for text in one.live()] == []
