"""Telegram's part of `nightshift connect`."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from telegram import Bot

from bot.errors import Reason, Rejected
from bot.ports.chat import ChatPlace
from bot.ports.chat_setup import ChatSetup, Given, Question
from connectors.chat.opening import open_registered, tell_health
from connectors.chat.telegram.api import call, make_bot
from connectors.chat.telegram.connector import Connector
from connectors.chat.telegram.settings import Settings

T = TypeVar("T")
_BLANK: Final = {"chat": "0"}
_GROUPS: Final = {"group", "supergroup"}
_NEWS: Final = ["message", "my_chat_member"]
_WAIT: Final = 20


async def _ask(given: Given, question: Callable[[Bot], Awaitable[T]]) -> T:
    bot, requests = make_bot(Settings.model_validate({**_BLANK, **given}))
    try:
        return await call(question(bot))
    finally:
        for request in requests:
            await request.shutdown()


async def _name_bot(given: Given) -> str:
    me = await _ask(given, lambda bot: bot.get_me())
    if not me.can_join_groups:
        text = f"@{me.username} may not join groups: write /setjoingroups to BotFather and enable it."
        raise Rejected(text, Reason.NOT_ALLOWED)
    return f"The bot is @{me.username}."


async def _find_group(given: Given) -> str:
    """Return the number of the group that the bot heard of last. Nothing that waits is taken as read."""
    await _ask(given, lambda bot: bot.delete_webhook(drop_pending_updates=False))
    updates = await _ask(given, lambda bot: bot.get_updates(timeout=_WAIT, allowed_updates=_NEWS))
    chats = [update.effective_chat for update in updates]
    found = [chat.id for chat in chats if chat is not None and chat.type in _GROUPS]
    return str(found[-1]) if found else ""


async def _see_group(given: Given) -> str:
    connector = Connector(Settings.model_validate(given), ChatPlace(name="telegram"))
    try:
        health = await connector.check()
    finally:
        await connector.close()
    return tell_health(health)


SETUP: Final = ChatSetup(
    begin=(
        "Write to @BotFather (https://t.me/BotFather): /newbot, then a name and a user name.",
        "Privacy mode may stay on.",
    ),
    questions=(
        Question(
            setting="token",
            label="BotFather's token",
            steps=("BotFather answers with the token, such as 123456:AbC…",),
            is_secret=True,
            examine=_name_bot,
        ),
        Question(
            setting="chat",
            label="the group's number (Enter = the group in which /id was just written)",
            steps=(
                "Make a group, or take one, and add the bot.",
                "Make the bot an administrator who may pin messages: it keeps a list of what is open pinned.",
                "For a topic per incident switch topics on, and let it manage topics too.",
                "Write /id in the group.",
            ),
            is_number=True,
            examine=_see_group,
            find=_find_group,
        ),
    ),
    end=("Everybody who shall press buttons writes /id there once Nightshift runs: the answer is their account.",),
    open=open_registered(Settings, Connector),
)
