"""Whether the bot is well in Discord, and with which link it is let in."""

from typing import Final

from discord import Permissions
from discord.http import Route

from bot.errors import NightshiftError, Reason
from bot.ports.chat import Health
from connectors.chat.discord.api import Api
from connectors.chat.discord.settings import Settings

PERMISSIONS: Final = Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    create_public_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
    pin_messages=True,
)


def write_invite(application: str) -> str:
    """Return the link that lets the bot into a server with the least it needs."""
    base = "https://discord.com/oauth2/authorize"
    return f"{base}?client_id={application}&scope=bot+applications.commands&permissions={PERMISSIONS.value}"


async def check(api: Api, settings: Settings) -> Health:
    """Say whether the token works and the bot sees the channel; if it does not, with which link it is let in."""
    try:
        me = await api.call(Route("GET", "/users/@me"))
        own = await api.call(Route("GET", "/applications/@me"))
    except NightshiftError as error:
        return Health(ok=False, text=str(error))
    try:
        channel = await api.call(Route("GET", "/channels/{channel_id}", channel_id=settings.chat))
    except NightshiftError as error:
        if error.reason not in {Reason.NOT_FOUND, Reason.NOT_ALLOWED}:
            return Health(ok=False, text=str(error))
        lead = f"@{me['username']} does not see the channel {settings.chat}: invite it with"
        return Health(ok=False, text=f"{lead} {write_invite(str(own['id']))}")
    way = "by signed calls" if settings.public_key else "by the gateway"
    return Health(ok=True, text=f"@{me['username']} in #{channel.get('name') or settings.chat}, {way}")
