"""WhatsApp's part of `nightshift connect`."""

import secrets
from typing import Final

from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected
from bot.ports.chat_setup import ChatSetup, Given, Question
from connectors.chat.opening import open_registered
from connectors.chat.whatsapp.api import Api
from connectors.chat.whatsapp.connector import Connector
from connectors.chat.whatsapp.settings import Settings

_NONE: Final = "-" * 20
_BLANK: Final = {"phone_number_id": "0", "token": _NONE, "app_secret": _NONE, "verify_token": _NONE}
_DIGITS: Final = range(6, 16)


async def _read_form(given: Given) -> str:
    Settings.model_validate({**_BLANK, **given})
    return "It has the right form."


async def _name_number(given: Given) -> str:
    api = Api(Settings.model_validate({**_BLANK, **given}))
    try:
        return f"The number is {make_harmless(await api.describe())}."
    finally:
        await api.close()


async def _make_up(_given: Given) -> str:
    return secrets.token_urlsafe(24)


async def _read_number(given: Given) -> str:
    digits = sum(character in "0123456789" for character in given["chat"])
    if digits not in _DIGITS:
        raise Rejected("That is no number: write it with its country, such as +49 151 0000000.", Reason.BAD_INPUT)
    return "The test goes there."


SETUP: Final = ChatSetup(
    begin=(
        "Make an app of the type Business at https://developers.facebook.com/apps and add WhatsApp.",
        "Under WhatsApp, API Setup add a phone number of your own.",
    ),
    questions=(
        Question(
            setting="phone_number_id",
            label="the Phone number ID",
            steps=("It stands under WhatsApp, API Setup, below the number.",),
            examine=_read_form,
        ),
        Question(
            setting="token",
            label="the access token",
            steps=(
                "In the business settings make a system user, and give it the app and the WhatsApp account.",
                "Generate a token that does not expire, with whatsapp_business_messaging.",
                "With whatsapp_business_management as well, commands are offered while people type.",
            ),
            is_secret=True,
            examine=_name_number,
        ),
        Question(
            setting="app_secret",
            label="the app secret",
            steps=("It stands under App settings, Basic.",),
            is_secret=True,
            examine=_read_form,
        ),
        Question(
            setting="verify_token",
            label="a verify token of 16 characters or more (Enter = one is made up)",
            is_secret=True,
            examine=_read_form,
            find=_make_up,
        ),
        Question(
            setting="chat",
            label="your own number in WhatsApp, with its country, for a test",
            examine=_read_number,
            kept=False,
        ),
    ),
    end=(
        "Start Nightshift. Under WhatsApp, Configuration enter {address}/v1/chat/{name} and the verify token;",
        "it stands in .env as NIGHTSHIFT_{NAME}_VERIFY_TOKEN. Subscribe to messages.",
        "Under Message templates make two of the category Utility, in the language of template_language:",
        "  nightshift_page, quick replies Acknowledge, Show:",
        "    Nightshift is calling: {{1}}. Acknowledge to stop the page.",
        "  nightshift_news, quick reply Show:",
        "    Nightshift has news: {{1}}. Tap Show to read it.",
        "Everybody who shall press buttons writes id to the number once Nightshift runs: the answer is their account.",
    ),
    open=open_registered(Settings, Connector),
    card_may_wait=True,
)
