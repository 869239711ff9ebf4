"""What the web pages show: kept by the store, written by the web connector, read by the pages."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.approval import Approval
from bot.domain.chat import Message
from bot.domain.ci import CIRun
from bot.domain.draft import Draft
from bot.domain.incident import Incident
from bot.domain.timeline import TimelineEvent


@dataclass(frozen=True, kw_only=True)
class BoardMessage:
    """One message on the web board, at its newest edit. `ref` is stable over edits."""

    ref: str
    message: Message
    posted_at: datetime
    edited_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class IncidentPage:
    """One incident with its thread (oldest first) and timeline (oldest first)."""

    incident: Incident
    thread: tuple[BoardMessage, ...]
    timeline: tuple[TimelineEvent, ...]


@dataclass(frozen=True, kw_only=True)
class PatchPage:
    """One patch with all that is known of it; `runs` are oldest first, `statement` is there once it is approved."""

    incident: Incident
    draft: Draft
    approval: Approval | None = None
    statement: bytes | None = None
    runs: tuple[CIRun, ...] = ()


class Board(Protocol):
    """Synchronous reads and writes take a few milliseconds: call them with `asyncio.to_thread`."""

    def put(self, ref: str, message: Message) -> None:
        """Create or replace the message `ref`. Idempotent; wakes the watchers."""
        ...

    def incidents(self, limit: int = 100) -> Sequence[Incident]:
        """Return open incidents first, then the newest resolved ones."""
        ...

    def news(self, limit: int = 3) -> Sequence[BoardMessage]:
        """Return the newest messages that are about no incident, newest first."""
        ...

    def page(self, incident: str) -> IncidentPage | None:
        """Return one incident's page, None where there is no such incident."""
        ...

    def image(self, ref: str) -> bytes | None:
        """Return a picture's bytes, None where it is not kept (any more)."""
        ...

    def watch(self) -> AsyncIterator[str]:
        """Yield the id of each incident whose page changed, until closed."""
        ...


class Shelf(Protocol):
    """Patches and pictures of incidents, which pages show beside the board. Call it as the board."""

    def patch(self, incident: str, digest: str) -> PatchPage | None:
        """Return the patch whose sha256 starts with `digest` (12 or more hex characters), None where there is none."""
        ...

    def patch_text(self, incident: str, digest: str) -> str | None:
        """Return the canonical patch whose sha256 starts with `digest` (12 or more hex characters)."""
        ...

    def put_image(self, incident: str, sha256: str, data: bytes) -> str:
        """Keep a picture that was posted on the pages, and return by what `Board.image` finds it. Idempotent."""
        ...
