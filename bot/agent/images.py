"""Images in a conversation. Rows and messages name them by digest; only a request holds their bytes.

What a request is made of is a function of the rows and of the bytes with those digests, so it is the same after a
restart and in a replay.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from bot.domain.runs.image import Image, read_image
from bot.errors import Reason, Refused, Unavailable

IMAGE_TOKENS: Final = 2_000
"""About what models make of a screenshot, rather more; the server's count after the next answer takes its place."""
_HOLDS: Final = b'{"role":"user","content":['
_NAMED: Final = re.compile(rb'\{"type":"image_url","image_url":\{"url":"sha256:([0-9a-f]{64})"\}\}')
"""Stands in no text: quotation marks within JSON's strings are escaped."""

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the bytes of a digest. Raises `Unavailable`."""


async def _no_images(sha256: str) -> bytes:
    raise Unavailable(f"the image {sha256[:12]}… is not stored here", Reason.NOT_FOUND)


def write_said(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user turn of what a row says that people said."""
    images = said.get("images", ())
    if not images:
        return {"role": "user", "content": said["content"]}
    shown = [{"type": "image_url", "image_url": {"url": f"sha256:{image['sha256']}"}} for image in images]
    return {"role": "user", "content": [{"type": "text", "text": said["content"]}, *shown]}


def keep_image(image: Image) -> dict[str, Any]:
    """Return an image as a row holds it."""
    size = {"width": image.width, "height": image.height}
    return {"sha256": image.sha256, "media_type": image.media_type, **size, "name": image.name}


def list_named(message: bytes) -> list[str]:
    """Return the digests that a message names."""
    return [found.decode() for found in _NAMED.findall(message)] if message.startswith(_HOLDS) else []


def count_images(messages: Sequence[bytes]) -> int:
    return sum(len(list_named(message)) for message in messages)


def leave_out(messages: Sequence[bytes]) -> list[bytes]:
    """Return the messages with words in the place of images, for a server that only counts."""
    return [_NAMED.sub(b'{"type":"text","text":""}', one) if one.startswith(_HOLDS) else one for one in messages]


class Album:
    """The images of one run, each fetched once, when a request first needs it."""

    def __init__(self, fetch: Fetch = _no_images) -> None:
        self._fetch = fetch
        self._filled: dict[bytes, bytes] = {}

    async def fill(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        """Return the messages as they are sent. Raises `Unavailable` where an image cannot be had."""
        for message in [one for one in messages if one.startswith(_HOLDS) and one not in self._filled]:
            images = {sha256: await self._fetch(sha256) for sha256 in list_named(message)}
            self._filled[message] = await asyncio.to_thread(fill_in, message, images)  # megabytes
        return [self._filled.get(message, message) for message in messages] if self._filled else messages


def fill_in(message: bytes, images: Mapping[str, bytes]) -> bytes:
    """Return a message with its images in it. Raises `Unavailable` where one is missing, or is not what was named."""

    def write(found: re.Match[bytes]) -> bytes:
        sha256 = found[1].decode()
        data = images.get(sha256, b"")
        try:
            image = read_image(data, "")
        except Refused:
            raise Unavailable(f"the image {sha256[:12]}… is not stored any more", Reason.NOT_FOUND) from None
        if image.sha256 != sha256:
            raise Unavailable(f"the image {sha256[:12]}… is not what was stored", Reason.NOT_FOUND)
        address = b"data:" + image.media_type.encode() + b";base64," + base64.b64encode(data)
        return b'{"type":"image_url","image_url":{"url":"' + address + b'"}}'

    return _NAMED.sub(write, message) if message.startswith(_HOLDS) else message
