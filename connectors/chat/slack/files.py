"""Images in Slack: which a message has, and their bytes."""

from typing import Any, Final
from urllib.parse import urlsplit

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.runs.image import Attachment
from connectors.chat.fetching import Way, describe, fetch, origin_of
from connectors.chat.slack.api import named_faults
from connectors.chat.slack.settings import Settings

_MOST: Final = 10


def read_files(event: dict[str, Any]) -> tuple[Attachment, ...]:
    """Return the files of a message as Slack tells of them."""
    files = event.get("files")
    found = [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    return tuple(
        describe(one.get("name"), one.get("mimetype"), one.get("size"), one.get("id")) for one in found[:_MOST]
    )


async def fetch_file(client: AsyncWebClient, settings: Settings, ref: str) -> bytes:
    """Return a file's bytes: Slack says where it lies, and that is at Slack. Raises `Unavailable` or `Rejected`."""
    async with named_faults():
        told = await client.files_info(file=ref)
    file = told.get("file")
    url = str(file.get("url_private", "")) if isinstance(file, dict) else ""
    address = urlsplit(settings.url)
    beside = f"{address.scheme}://files.{address.hostname}"
    way = Way(
        service="Slack",
        origins={origin_of(settings.url), beside},
        headers={"Authorization": f"Bearer {settings.bot_token.get_secret_value()}"},
        proxy=client.proxy,
        ca_file=settings.ca_file,
        seconds=settings.answer_seconds,
    )
    return await fetch(url, way)
