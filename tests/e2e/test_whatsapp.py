"""One incident of the real bot, decided in WhatsApp alone: two people's phones, a Cloud API server beside it."""

import json
import shutil
from pathlib import Path

from aiohttp.test_utils import TestServer

from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import Person, Walk, make_ground, shop_service
from tests.whatsapp_server import ANA, BEN, PHONE, SECRET, TOKEN, VERIFY, Got, WhatsAppServer

NUMBERS = {"ana": ANA, "ben": BEN}


class WhatsAppWalk(Walk):
    def write_config(self) -> None:
        super().write_config()
        path = self.folder / "nightshift.toml"
        text = path.read_text()
        for person, number in NUMBERS.items():
            text = text.replace(f'web = "{person}"', f'whatsapp = "+{number}", web = "{person}"')
        path.write_text(text)


def key_of(world: WhatsAppServer, number: str, verb: str) -> tuple[Got, str] | None:
    """Return the newest message on a phone that has such a button, and the button's id."""
    for got in reversed(world.sent):
        for key, _ in got.keys:
            if got.to == number and key.lstrip("?!").startswith(verb):
                return got, key
    return None


async def test_an_incident_is_acknowledged_and_its_patch_approved_in_whatsapp(tmp_path: Path) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    world = WhatsAppServer()
    pressed: set[str] = set()

    async def in_whatsapp(_person: Person, incident: dict) -> bool:
        world.hook = f"{walk.url}/v1/chat/whatsapp"
        verb = "ack" if incident["state"] == "triggered" else "approve"
        waits = verb == "ack" or [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        who = "ben" if verb == "approve" and "approve:ana" in pressed else "ana"
        found = key_of(world, NUMBERS[who], f"{verb}:")
        if waits and found is not None and f"{verb}:{who}" not in pressed:
            pressed.add(f"{verb}:{who}")
            await world.tap(*found, NUMBERS[who])
        elif waits and verb == "approve" and (template := key_of(world, NUMBERS[who], "~show")):
            if f"show:{who}" not in pressed:  # outside the 24 hours the patch is called out, and shown when asked for
                pressed.add(f"show:{who}")
                await world.tap(*template, NUMBERS[who])
            return True
        return waits or incident["state"] == "triggered"

    async with TestServer(world.app()) as server:
        secrets = {"token": TOKEN, "app_secret": SECRET, "verify_token": VERIFY}
        channel = {"kind": "whatsapp", "phone_number_id": PHONE, "url": str(server.make_url("/v23.0")), **secrets}
        lines = [f"{name} = {json.dumps(value)}" for name, value in channel.items()]
        walk = WhatsAppWalk(
            folder=folder,
            service=shop_service(folder),
            tables="\n".join(["[channels.whatsapp]", *lines]),
            may_approve=lambda _: False,
            also=in_whatsapp,
            starts_cold=True,
        )
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    assert world.violations == []
    assert not [secret for secret in secrets.values() if secret in log]
    assert walk.query("SELECT COUNT(*) FROM chat_event WHERE channel <> 'whatsapp'") == [(0,)]
    assert walk.query("SELECT COUNT(*) FROM chat_event WHERE channel = 'whatsapp' AND ok = 1")[0][0] >= 2
    page = next(got for got in world.sent if got.template)
    assert (page.to, page.template) == (ANA, "nightshift_page")
    patch = next(got for got in world.sent if got.name.endswith(".diff.txt"))
    assert patch.content.startswith("diff --git")
    assert world.find("green").to in {ANA, BEN}
    assert [text for got in world.sent for text in got.live()] == []
