"""One incident of the real bot, decided in a Slack channel alone: the real SDK over Socket Mode, a Slack beside it."""

import json
import shutil
from pathlib import Path

from aiohttp.test_utils import TestServer

from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import Person, Walk, make_ground, shop_service
from tests.slack_server import APP_TOKEN, BOT_TOKEN, CHAT, SlackServer, parts, text_of

ACCOUNTS = {"ana": "U0ANA", "ben": "U0BEN"}


class SlackWalk(Walk):
    def write_config(self) -> None:
        super().write_config()
        path = self.folder / "nightshift.toml"
        text = path.read_text()
        for person, account in ACCOUNTS.items():
            text = text.replace(f'web = "{person}"', f'slack = "{account}", web = "{person}"')
        path.write_text(text)


def value_of(world: SlackServer, verb: str) -> tuple[str, str] | None:
    """Return the newest message that has such a button, and what the button carries."""
    for ts in sorted(world.messages, reverse=True):
        for part in parts(world.messages[ts]["blocks"]):
            if part.get("type") == "button" and part["value"].startswith(f"{verb}:"):
                return ts, part["value"]
    return None


async def test_an_incident_is_acknowledged_and_its_patch_approved_in_slack(tmp_path: Path) -> None:
    ground = make_ground(tmp_path / "ground", CULPRIT)
    folder = tmp_path / "walk"
    folder.mkdir()
    shutil.copytree(ground.repository.folder, folder / "shop.git")
    shutil.copy(ground.log, folder / "app.log")
    world = SlackServer()
    pressed: set[str] = set()

    async def in_slack(_person: Person, incident: dict) -> bool:
        verb = "ack" if incident["state"] == "triggered" else "approve"
        found = value_of(world, verb)
        waits = verb == "ack" or [one["state"] for one in incident["approvals"]][-1:] == ["pending"]
        if not waits or found is None:
            return incident["state"] == "triggered"
        who = "ben" if verb == "approve" and f"{verb}:ana" in pressed else "ana"
        if f"{verb}:{who}" not in pressed:
            pressed.add(f"{verb}:{who}")
            await world.deliver("interactive", world.pressing(*found, ACCOUNTS[who], str(len(pressed))))
        return True

    async with TestServer(world.app()) as server:
        world.url = str(server.make_url("")).rstrip("/")
        channel = {"kind": "slack", "chat": CHAT, "bot_token": BOT_TOKEN, "app_token": APP_TOKEN}
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**channel, "url": f"{world.url}/api"}.items()]
        walk = SlackWalk(
            folder=folder,
            service=shop_service(folder),
            tables="\n".join(["[channels.slack]", *lines]),
            may_approve=lambda _: False,
            also=in_slack,
            starts_cold=True,
        )
        try:
            await walk.run()
            log = (walk.state / "log" / "nightshift.log").read_text()
        finally:
            walk.stop()
    assert world.violations == []
    assert BOT_TOKEN not in log
    assert APP_TOKEN not in log
    pressed_there = walk.query("SELECT COUNT(*) FROM chat_event WHERE channel = 'slack' AND ok = 1")[0][0]
    assert pressed_there >= len(pressed) >= 2
    assert walk.query("SELECT COUNT(*) FROM chat_event WHERE channel <> 'slack'") == [(0,)]
    card, *others = world.messages.values()
    assert "resolved" in "\n".join(text_of(card["blocks"])).lower()
    assert {one.get("thread_ts") for one in others} == {min(world.messages)}
    (diff,) = {text for _, name, text in world.files if name.endswith(".diff")}
    assert diff.startswith("diff --git")
