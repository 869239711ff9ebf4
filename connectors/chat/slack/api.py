"""Slack's Web API through its SDK: one place that makes the clients and translates their errors."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.logger import get_bolt_logger
from slack_bolt.logger.messages import warning_token_skipped
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import Reason, Rejected, Unavailable
from connectors.chat.slack.settings import Settings

_REVOKED: Final = frozenset({"invalid_auth", "account_inactive", "token_revoked", "token_expired", "not_authed"})
_NOT_ALLOWED: Final = frozenset({"missing_scope", "not_in_channel", "is_archived", "restricted_action"})
_LOST: Final = frozenset({"channel_not_found", "message_not_found", "thread_not_found", "file_not_found"})
_PASSING: Final = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_LIMITED: Final = frozenset({"ratelimited", "rate_limited"})
_LONGEST_WAIT: Final = 3600.0
PING_SECONDS = 3.0
"""How often the socket is looked at: so long, at most, it stays cut. The SDK's own ten seconds are many presses."""


def make_client(settings: Settings) -> AsyncWebClient:
    """Return a client that tries once. Raises `Rejected` for a CA file of no use."""
    client = AsyncWebClient(
        token=settings.bot_token.get_secret_value(),
        base_url=f"{settings.url}/",
        timeout=settings.answer_seconds,
        ssl=_trust(settings.ca_file),
        retry_handlers=[],
    )
    client.proxy = find_proxy(settings)  # set here, for the SDK would not read NO_PROXY
    return client


def make_app(client: AsyncWebClient, token: str) -> AsyncApp:
    """Return Bolt's app, which answers Slack only when its listener is done: an event is stored before that."""

    get_bolt_logger(AsyncApp).addFilter(_is_needed)

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id=None, bot_token=token)

    return AsyncApp(
        client=client, authorize=authorize, process_before_response=True, request_verification_enabled=False
    )


def _is_needed(record: logging.LogRecord) -> bool:
    """Leave out that Bolt does not use the client's token: it uses the same one, which `authorize` gives."""
    return record.msg != warning_token_skipped()


def make_socket(app: AsyncApp, settings: Settings, token: str) -> AsyncSocketModeHandler:
    """Return the Socket Mode connection, which connects anew by itself."""
    proxy = find_proxy(settings)
    handler = AsyncSocketModeHandler(app, token, proxy=proxy, ping_interval=PING_SECONDS)
    handler.client.proxy = proxy  # as above
    return handler


def find_proxy(settings: Settings) -> str | None:
    """Return the proxy of the settings, else the environment's, unless NO_PROXY names Slack."""
    if settings.proxy:
        return settings.proxy
    address = urlsplit(settings.url)
    if proxy_bypass(address.hostname or ""):
        return None
    return getproxies().get(address.scheme)


@asynccontextmanager
async def named_faults() -> AsyncIterator[None]:
    """Turn what a call raises into `Unavailable` or `Rejected`; no text holds a token."""
    try:
        yield
    except SlackApiError as error:
        raise _translate(error.response) from error
    except TimeoutError as error:
        raise Unavailable("Slack did not answer in time.", Reason.TIMEOUT) from error
    except (aiohttp.ClientError, SlackClientError, OSError, asyncio.IncompleteReadError) as error:
        raise Unavailable(f"Slack cannot be reached: {type(error).__name__}.", Reason.UNREACHABLE) from error


def _translate(response: Any) -> Unavailable | Rejected:  # noqa: ANN401 -- the SDK does not type it
    status, data = getattr(response, "status_code", 200), getattr(response, "data", response)
    code = str(data.get("error", "unknown"))[:80] if isinstance(data, dict) else "unknown"
    if status == 429 or code in _LIMITED:
        seconds = _read_delay(getattr(response, "headers", {}))
        return Unavailable(f"Slack asks to wait {seconds:g} s.", Reason.RATE_LIMITED, seconds)
    if status >= 500 or code in _PASSING:
        return Unavailable(f"Slack failed: {code if status < 500 else status}.", Reason.SERVER_ERROR)
    return _refuse(code)


def _refuse(code: str) -> Rejected:
    if code in _REVOKED:
        return Rejected(f"Slack does not accept the token ({code}); install the app again.", Reason.REVOKED)
    if code in _NOT_ALLOWED:
        return Rejected(f"Slack does not let the bot do this: {code}.", Reason.NOT_ALLOWED)
    return Rejected(f"Slack refused: {code}.", Reason.NOT_FOUND if code in _LOST else Reason.BAD_INPUT)


def _read_delay(headers: Mapping[str, str | list[str]]) -> float:
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    text = str(value[0] if isinstance(value, list) and value else value)
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else 1.0


def _trust(ca_file: str) -> ssl.SSLContext | None:
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else None
    except (OSError, ssl.SSLError) as error:
        raise Rejected(f"the CA file {ca_file} cannot be used", Reason.BAD_INPUT) from error
