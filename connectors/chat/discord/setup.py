"""Discord's part of `nightshift connect`."""

from typing import Final

from discord.http import Route

from bot.domain.text.unseen import make_harmless
from bot.ports.chat_setup import ChatSetup, Given, Question
from connectors.chat.discord.api import Api
from connectors.chat.discord.connector import Connector
from connectors.chat.discord.health import check, write_invite
from connectors.chat.discord.settings import Settings
from connectors.chat.opening import open_registered, tell_health

_BLANK: Final = {"chat": "0"}


async def _name_bot(given: Given) -> str:
    api = Api(Settings.model_validate({**_BLANK, **given}))
    try:
        me = await api.call(Route("GET", "/users/@me"))
        own = await api.call(Route("GET", "/applications/@me"))
    finally:
        await api.close()
    return f"The bot is @{make_harmless(str(me['username']))}. Invite it: {write_invite(str(own['id']))}"


async def _see_channel(given: Given) -> str:
    settings = Settings.model_validate(given)
    api = Api(settings)
    try:
        health = await check(api, settings)
    finally:
        await api.close()
    return tell_health(health)


SETUP: Final = ChatSetup(
    begin=(
        "Open https://discord.com/developers/applications and choose New Application.",
        "Under Installation set the install link to None; under Bot switch Public Bot off.",
        "Under Bot leave the three privileged intents off: Nightshift needs none.",
    ),
    questions=(
        Question(
            setting="token",
            label="the bot's token",
            steps=("Under Bot choose Reset Token, and copy the token.",),
            is_secret=True,
            examine=_name_bot,
        ),
        Question(
            setting="chat",
            label="the channel's number",
            steps=(
                "Open the invite link above and choose your server.",
                "Switch Developer Mode on (User Settings, Advanced), then right-click the channel: Copy Channel ID.",
            ),
            is_number=True,
            examine=_see_channel,
        ),
    ),
    end=("Everybody who shall press buttons writes /id there once Nightshift runs: the answer is their account.",),
    open=open_registered(Settings, Connector),
)
