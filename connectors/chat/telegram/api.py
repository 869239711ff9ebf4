"""Telegram's Bot API through its SDK: one place that makes the client and translates its errors."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

from telegram import Bot
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.chat.telegram.settings import Settings

T = TypeVar("T")
_CONNECTIONS: Final = 16


class MovedError(Exception):
    """The group became a supergroup with another id."""

    def __init__(self, chat: int) -> None:
        super().__init__(f"the group has the id {chat} now")
        self.chat = chat


class UnchangedError(Exception):
    """The message looked like that already."""


def make_bot(settings: Settings) -> tuple[Bot, tuple[HTTPXRequest, HTTPXRequest]]:
    """Return a client that has not spoken yet, and its connections. Raises `Rejected` for a CA file of no use."""
    os.environ.setdefault("PTB_TIMEDELTA", "1")  # else the SDK warns at each 429
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each address, and the token stands in it
    trust = _trust(settings.ca_file)

    def request(connections: int) -> HTTPXRequest:
        wait = settings.answer_seconds
        return HTTPXRequest(
            connection_pool_size=connections,
            read_timeout=wait,
            write_timeout=wait,
            media_write_timeout=max(wait, 20.0),
            connect_timeout=wait,
            pool_timeout=wait,
            proxy=settings.proxy or None,
            httpx_kwargs={"verify": trust},
        )

    requests = (request(_CONNECTIONS), request(2))
    bot = Bot(
        settings.token.get_secret_value(),
        base_url=f"{settings.url}/bot",
        base_file_url=f"{settings.url}/file/bot",
        request=requests[0],
        get_updates_request=requests[1],
    )
    return bot, requests


async def call(work: Awaitable[T]) -> T:
    """Await one call. Raises `Unavailable` or `Rejected`, `MovedError` and `UnchangedError` for the caller."""
    try:
        return await work
    except ChatMigrated as error:
        raise MovedError(error.new_chat_id) from error
    except BadRequest as error:
        if "message is not modified" in error.message.lower():
            raise UnchangedError from error
        raise translate(error) from error
    except TelegramError as error:
        raise translate(error) from error
    except asyncio.InvalidStateError as error:  # a pool that was closed under us
        raise Unavailable("The connection to Telegram was closed.", Reason.UNREACHABLE) from error


def translate(error: TelegramError) -> NightshiftError:
    """Return what an error of the SDK means; its text never holds the token."""
    text = error.message[:200]
    if isinstance(error, RetryAfter):
        seconds = read_delay(error)
        return Unavailable(f"Telegram asks to wait {seconds:g} s.", Reason.RATE_LIMITED, seconds)
    return _translate_no(error, text) or _translate_fault(error, text)


def _translate_no(error: TelegramError, text: str) -> Rejected | None:
    if isinstance(error, InvalidToken):
        return Rejected("Telegram does not accept the token; make a new one with BotFather.", Reason.REVOKED)
    if isinstance(error, Forbidden):
        return Rejected(f"Telegram does not let the bot write there: {text}", Reason.NOT_ALLOWED)
    if isinstance(error, BadRequest):
        lost = "not found" in text.lower()
        return Rejected(f"Telegram refused: {text}", Reason.NOT_FOUND if lost else Reason.BAD_INPUT)
    return None


def _translate_fault(error: TelegramError, text: str) -> Unavailable:
    if isinstance(error, TimedOut):
        return Unavailable("Telegram did not answer in time.", Reason.TIMEOUT)
    if isinstance(error, NetworkError):
        return Unavailable(f"Telegram cannot be reached: {text}", Reason.UNREACHABLE)
    return Unavailable(f"Telegram failed: {text}", Reason.SERVER_ERROR)


def read_delay(error: RetryAfter) -> float:
    """Return the seconds that Telegram asked for, whichever type the SDK gives them."""
    delay: int | timedelta = error.retry_after
    return delay.total_seconds() if isinstance(delay, timedelta) else float(delay)


def _trust(ca_file: str) -> ssl.SSLContext | bool:
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else True
    except (OSError, ssl.SSLError) as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error
