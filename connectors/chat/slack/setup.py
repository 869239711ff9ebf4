"""Slack's part of `nightshift connect`."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected
from bot.ports.chat import ChatPlace
from bot.ports.chat_setup import ChatSetup, Given, Opened, Question
from connectors.chat.slack.api import make_client, named_faults
from connectors.chat.slack.connector import Connector
from connectors.chat.slack.settings import Settings

SCOPES: Final = frozenset({"chat:write", "commands", "files:read", "files:write", "channels:history", "groups:history"})
_BLANK: Final = {"chat": "C00", "bot_token": "xoxb-none"}
_IN_WHEEL: Final = Path(__file__).with_name("manifest.yaml")
_IN_CHECKOUT: Final = Path(__file__).parents[3] / "infra" / "slack-manifest.yaml"


def read_manifest() -> str:
    """Return the app's manifest as Slack takes it."""
    place = _IN_WHEEL if _IN_WHEEL.is_file() else _IN_CHECKOUT
    lines = place.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _fill(given: Given) -> Settings:
    """Return settings for a call that needs a part of them."""
    way = {} if "signing_secret" in given else {"app_token": "xapp-none"}
    return Settings.model_validate({**_BLANK, **way, **given})


async def _name_bot(given: Given) -> str:
    async with named_faults():
        me = await make_client(_fill(given)).auth_test()
    granted = {name.lower(): value for name, value in me.headers.items()}.get("x-oauth-scopes")
    missing = SCOPES - {scope.strip() for scope in str(granted).split(",")} if granted else frozenset()
    if missing:
        text = (
            f"The bot lacks the scopes {', '.join(sorted(missing))}: add them under OAuth & Permissions, install again."
        )
        raise Rejected(text, Reason.NOT_ALLOWED)
    user, team = (make_harmless(str(me.get(key) or "")) for key in ("user", "team"))
    return f"The bot is @{user} in {team or 'Slack'}."


async def _open_socket(given: Given) -> str:
    async with named_faults():
        await make_client(_fill(given)).apps_connections_open(app_token=given["app_token"])
    return "Socket Mode is on."


async def _see_channel(given: Given) -> str:
    settings = _fill(given)
    try:
        async with named_faults():
            await make_client(settings).conversations_history(channel=settings.chat, limit=1)
    except Rejected as error:
        raise Rejected(f"{error} Invite the bot into the channel: /invite @nightshift", error.reason) from error
    return "The bot is in the channel."


def _open(given: Given, place: ChatPlace) -> Opened:
    return Opened(connector=Connector(Settings.model_validate(given), place))


SETUP: Final = ChatSetup(
    begin=(
        "Open this link: it makes the app, with the least rights that it needs. Then choose Install to Workspace.",
        f"https://api.slack.com/apps?new_app=1&manifest_yaml={quote(read_manifest(), safe='')}",
        'Or choose "Create New App", "From a manifest" at https://api.slack.com/apps and paste:',
        read_manifest(),
    ),
    questions=(
        Question(
            setting="bot_token",
            label="the bot's token (xoxb-…)",
            steps=("It stands under OAuth & Permissions.",),
            is_secret=True,
            examine=_name_bot,
        ),
        Question(
            setting="app_token",
            label="the app-level token (xapp-…)",
            steps=("Under Basic Information, App-Level Tokens make one with the scope connections:write.",),
            is_secret=True,
            examine=_open_socket,
            unless="signing_secret",
        ),
        Question(
            setting="chat",
            label="the channel's id (C…)",
            steps=(
                "Write /invite @nightshift in the channel.",
                'The id stands at the end of "View channel details".',
            ),
            examine=_see_channel,
        ),
    ),
    end=('A person\'s account is their member ID: "Copy member ID" in their profile.',),
    open=_open,
)
