"""Pictures that people post on the pages: kept by digest, shown in the thread, served as nothing but pictures."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from aiohttp import hdrs, web

from bot.domain.chat import Reply
from bot.domain.oncall import Person, Role
from bot.domain.runs.image import Attachment, read_image
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.board import Board, Shelf
from bot.services.images import list_shown
from bot.web.upload import Picture
from bot.web.views import MessageView

POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
_ONLY: Final = "Only responders show pictures to the model. Send the words alone."
_SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


@dataclass(frozen=True, kw_only=True)
class PictureView:
    """A picture as the thread shows it. `version` never changes: neither do the bytes of a digest."""

    id: str
    version: str
    sha256: str
    ref: str
    name: str
    text: str
    posted_at: datetime


async def keep_picture(shelf: Shelf, incident: str, picture: Picture, person: Person) -> Attachment:
    """Keep the picture that came with a form, and return what is said of it. Raises `Refused`."""
    if not person.may(Role.RESPONDER):
        raise Refused(_ONLY, Reason.NOT_ALLOWED)
    if picture.image is None:
        raise Refused(picture.fault, Reason.BAD_INPUT)
    image = picture.image
    ref = await asyncio.to_thread(shelf.put_image, incident, image.sha256, picture.data)
    return Attachment(name=image.name, media_type=image.media_type, size=len(picture.data), ref=ref)


async def tell_where_unused(board: Board, picture: Attachment, incident: str, reply: Reply) -> Reply:
    """Return the answer with a line more where it says nothing of a picture that went nowhere: a command takes none."""
    page = await asyncio.to_thread(board.page, incident)
    is_shown = page is not None and any(picture in list_shown(event) for event in page.timeline)
    if is_shown or not reply.ok or picture.name in reply.text:
        return reply
    return replace(reply, text=f"{reply.text}\n{picture.name} was not shown: a command takes no picture.")


def list_pictures(timeline: Sequence[TimelineEvent], channel: str) -> Iterator[PictureView]:
    """Yield what was posted on the pages, oldest first. The bytes of other chats' pictures lie there, and not here."""
    for event in timeline:
        if event.data.get("channel") != channel:
            continue
        for number, one in enumerate(list_shown(event)):
            yield PictureView(
                id=f"p-{event.seq}-{number}",
                version=event.hash[:12],
                sha256=one.ref.rpartition("/")[2],
                ref=one.ref,
                name=one.name,
                text=event.text,
                posted_at=event.at,
            )


def put_in_order(thread: Sequence[MessageView], pictures: Iterable[PictureView]) -> Sequence[MessageView | PictureView]:
    """Return messages and pictures of a thread, oldest first."""
    return sorted([*thread, *pictures], key=lambda post: post.posted_at)


async def serve_picture(board: Board, incident: str, sha256: str, channel: str) -> web.Response:
    """Answer with a picture that stands in the thread, under the type that its own bytes say."""
    page = await asyncio.to_thread(board.page, incident)
    shown = list_pictures(page.timeline, channel) if page is not None else iter(())
    ref = next((one.ref for one in shown if one.sha256 == sha256), None)
    data = await asyncio.to_thread(board.image, ref) if ref is not None else None
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise web.HTTPNotFound(text=f"{incident} has no such picture any more.")
    kind = read_image(data, "").media_type
    headers = {
        "Content-Security-Policy": POLICY,
        hdrs.CONTENT_DISPOSITION: f'inline; filename="{incident}-{sha256[:12]}.{_SUFFIXES[kind]}"',
    }
    return web.Response(body=data, content_type=kind, headers=headers)
