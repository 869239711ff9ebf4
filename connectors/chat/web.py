"""Chat on Nightshift's own web pages: messages go to the board, which the pages show; people act on the pages."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from bot.domain.chat import ChatLimits, Message
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.board import Board
from bot.ports.chat import ChatInbox, Health
from bot.ports.http import Webhook

_LIMITS: Final = ChatLimits(
    text=1_000_000,
    buttons=50,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=True,
    files=True,
    file_bytes=4_000_000,
    shows_svg=True,
)


class Settings(BaseModel):
    """The web channel needs no account and no token: there is nothing to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Connector:
    """Puts messages on the board. Presses and words do not come this way: the pages hand them to the inbox."""

    def __init__(self, settings: Settings, board: Board) -> None:
        self._settings = settings
        self._board = board

    @property
    def limits(self) -> ChatLimits:
        return _LIMITS

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 - port
        """Put the message in its slot. The reference follows from incident and slot, so a repeat makes no copy."""
        ref = _ref_of(message)
        await asyncio.to_thread(self._board.put, ref, message)
        return ref

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 - port
        await asyncio.to_thread(self._board.put, ref, message)

    async def run(self, inbox: ChatInbox) -> None:  # noqa: ARG002 - port
        """Wait to be cancelled: the pages listen, in the web server."""
        await asyncio.Event().wait()

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:  # noqa: ARG002 - port
        return ()

    async def fetch_image(self, ref: str) -> bytes:
        """Return a picture that was posted on the pages."""
        data = await asyncio.to_thread(self._board.image, ref)
        if data is None:
            raise Rejected("It is not kept any more.", Reason.NOT_FOUND)
        return data

    async def check(self) -> Health:
        try:
            await asyncio.to_thread(self._board.incidents, 1)
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=f"The web pages cannot read the store: {error}")
        return Health(ok=True, text="The web pages work.")


def _ref_of(message: Message) -> str:
    place = f"{message.incident}\x00{message.slot}"
    return f"web-{hashlib.sha256(place.encode(errors='replace')).hexdigest()[:24]}"
