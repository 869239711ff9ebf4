"""What people said about a patch: material for whoever drafts the next one, never an order to Nightshift."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.errors import Reason, Refused

MAX_WISH: Final = 500


class FeedbackKind(StrEnum):
    """CHANGES: the patch should become another one. REJECTED: it was turned down."""

    CHANGES = "changes"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """One person's words about one patch. `title` and `patch` (its diff) say which one."""

    kind: FeedbackKind
    person: str
    at: datetime
    text: str
    title: str
    patch: str = ""


def read_wish(text: str) -> str:
    """Return what a person wants changed, as one line. Raises `Refused` where it is missing or too long."""
    wish = " ".join(text.split())
    if not wish:
        raise Refused(
            "Say what should change, for example: /patch changes INC-7 keep the old name too.", Reason.BAD_INPUT
        )
    if len(wish) > MAX_WISH:
        raise Refused(f"That has {len(wish)} characters; say it in at most {MAX_WISH}.", Reason.TOO_LARGE)
    return wish
