"""One incident of the real bot, decided in a Discord channel alone: the real SDK, a gateway beside it."""

import json
import shutil
from pathlib import Path

from aiohttp.test_utils import TestServer

from tests.discord_server import BEN, CHAT, TOKEN, DiscordServer, Stored
from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import Person, Walk, make_ground, shop_service


class DiscordWalk(Walk):
    def write_config(self) -> None:
        super().write_config()
        path = self.folder / "nightshift.toml"
        text = path.read_text()
        for person, account in (("ana", "7"), ("ben", "8")):
            text = text.replace(f'web = "{person}"', f'discord = "{account}", web = "{person}"')
        path.write_text(text)


def key_of(world: DiscordServer, verb: str) -> tuple[Stored, str] | None:
    """Return the newest message that has such a button, and the button's custom id."""
    for stored in sorted(world.messages.values(), key=lambda one: -one.id):
        for key in stored.buttons():
            if key["custom_id"].lstrip("?!").startswith(f"{verb}:"):
                return stored, key["custom_id"]
    return None


async def test_an_incident_is_acknowledged_and_its_patch_approved_in_discord(tmp_path: Path) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    world = DiscordServer()
    pressed: set[str] = set()

    async def in_discord(_person: Person, incident: dict) -> bool:
        verb = "ack" if incident["state"] == "triggered" else "approve"
        found = key_of(world, verb)
        waits = verb == "ack" or [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        if not waits or found is None:
            return incident["state"] == "triggered"
        who = "ben" if verb == "approve" and f"{verb}:ana" in pressed else "ana"
        if f"{verb}:{who}" not in pressed:
            pressed.add(f"{verb}:{who}")
            person = {"person": BEN} if who == "ben" else {}
            before = len(world.modals)
            await world.press(*found, **person)
            await world.fill_next(before, found[0].channel, **person)
        return True

    async with TestServer(world.app()) as server:
        url = str(server.make_url("")).rstrip("/")
        world.address = f"ws{url.removeprefix('http')}/gateway"
        channel = {"kind": "discord", "chat": CHAT, "token": TOKEN, "url": url, "gateway_url": world.address}
        lines = [f"{name} = {json.dumps(value)}" for name, value in channel.items()]
        walk = DiscordWalk(
            folder=folder,
            service=shop_service(folder),
            tables="\n".join(["[channels.discord]", *lines]),
            may_approve=lambda _: False,
            also=in_discord,
            starts_cold=True,
        )
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    assert world.violations == []
    assert TOKEN not in log
    pressed_there = walk.query("SELECT COUNT(*) FROM chat_event WHERE channel = 'discord' AND ok = 1")[0][0]
    assert pressed_there >= len(pressed) >= 2
    assert walk.query("SELECT COUNT(*) FROM chat_event WHERE channel <> 'discord'") == [(0,)]
    card = world.find("INC-1 shop is failing")
    patch = next(one for one in world.messages.values() if any(name.endswith(".diff") for name in one.files))
    assert card.channel == CHAT
    assert patch.channel == card.id
    assert world.threads[card.id][0].startswith("INC-1")
    assert "resolved" in card.text.lower()
    assert next(iter(patch.files.values())).startswith("diff --git")
    assert [text for one in world.messages.values() for text in one.live()] == []
