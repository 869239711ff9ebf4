"""Images on their way to the model: fetched from the chat that they were posted in, looked at, and kept by digest."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from bot.agent.said import Words
from bot.domain.runs.image import Attachment, Image, read_image
from bot.engine.tools import FetchImage, UnitWork
from bot.errors import NightshiftError
from bot.ports.work import Store, UnitOfWork
from bot.services.rulebook import Rulebook
from bot.services.steering import Hint

log = structlog.get_logger(__name__)
SECONDS: Final = 10.0


class Gallery(UnitWork):
    """Turns what people said into what the model gets. An image that cannot be had is named, and why."""

    def __init__(self, store: Store, rules: Rulebook, *, fetch: FetchImage, redact: Callable[[str], str]) -> None:
        super().__init__(store, rules)
        self._fetch = fetch
        self._redact = redact

    async def show(self, incident: str, hint: Hint, *, sees: bool) -> Words:
        """Return the words with their images, where the model sees; fetched again when it is repeated."""
        lines, images = [self._redact(hint.text)], list[Image]()
        for one in hint.images:
            name = self._redact(one.name)
            try:
                data, image = await self._get(hint.channel, one, name)
            except (NightshiftError, TimeoutError) as error:
                why = self._redact(str(error)).rstrip(".") or "it did not come in time"
                log.warning("image_not_had", incident=incident, error=why)
                lines.append(f"[image {name}: it cannot be shown: {why}]")
                continue
            if not sees:
                lines.append(f"[{image.label}: this model cannot see it]")
                continue
            await self._in_unit(partial(_keep, incident, image.sha256, data))
            lines.append(f"[{image.label}]")
            images.append(image)
        drawn = await self._in_unit(partial(_find_kept, incident, hint.drawn)) if hint.drawn else ()
        lines += [f"[{image.label}]" for image in drawn]
        return Words(key=hint.key, text="\n".join(lines), images=(*images, *drawn))

    async def _get(self, channel: str, one: Attachment, name: str) -> tuple[bytes, Image]:
        async with asyncio.timeout(SECONDS):
            data = await self._fetch(channel, one.ref)
        return data, read_image(data, name)


def _find_kept(incident: str, drawn: Sequence[Image], work: UnitOfWork) -> Sequence[Image]:
    found = work.images.of(incident, [image.sha256 for image in drawn])
    return [image for image in drawn if image.sha256 in found]


def _keep(incident: str, sha256: str, data: bytes, work: UnitOfWork) -> None:
    work.images.put(incident, sha256, data)
