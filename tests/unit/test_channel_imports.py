"""What is not used costs nothing: an SDK is imported once a channel of its kind, or a contact, is there."""

import json
import subprocess
import sys
from unittest.mock import Mock

import bot.bootstrap.front  # noqa: F401 -- all that the running bot imports by itself
from bot.bootstrap.chat import make_channels
from bot.bootstrap.contacts import make_contacts
from bot.settings import Settings
from tests import discord_server, slack_server, telegram_server, whatsapp_server

CHANNELS = {
    "web": {},
    "whatsapp": {
        "phone_number_id": whatsapp_server.PHONE,
        "token": whatsapp_server.TOKEN,
        "app_secret": whatsapp_server.SECRET,
        "verify_token": whatsapp_server.VERIFY,
    },
    "slack": {"chat": slack_server.CHAT, "bot_token": slack_server.BOT_TOKEN, "app_token": slack_server.APP_TOKEN},
    "discord": {"chat": discord_server.CHAT, "token": discord_server.TOKEN},
    "telegram": {"chat": telegram_server.CHAT, "token": telegram_server.TOKEN},
}
SDKS = {"slack_bolt", "slack_sdk", "discord", "telegram", "apprise"}
CONTACTS = {"push": {"url": "json://127.0.0.1"}}


def enable_one_after_another() -> dict[str, list[str]]:
    """Return which SDKs are loaded after each kind of channel, and then contacts, came to those before it."""
    found = {}
    for kind, values in CHANNELS.items():
        settings = Settings.model_validate({"channels": {kind: {"kind": kind, **values}}})
        make_channels(settings, Mock())
        found[kind] = sorted(SDKS & sys.modules.keys())
    for kind, contacts in (("people", {}), ("contacts", CONTACTS)):
        make_contacts(Settings.model_validate({"people": {"ana": {"name": "Ana", "contacts": contacts}}}))
        found[kind] = sorted(SDKS & sys.modules.keys())
    return found


def test_an_sdk_is_imported_only_where_a_channel_of_its_kind_or_a_contact_is_there() -> None:
    code = "import json; from tests.unit.test_channel_imports import *; print(json.dumps(enable_one_after_another()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "web": [],
        "whatsapp": [],
        "slack": ["slack_bolt", "slack_sdk"],
        "discord": ["discord", "slack_bolt", "slack_sdk"],
        "telegram": ["discord", "slack_bolt", "slack_sdk", "telegram"],
        "people": ["discord", "slack_bolt", "slack_sdk", "telegram"],
        "contacts": ["apprise", "discord", "slack_bolt", "slack_sdk", "telegram"],
    }
