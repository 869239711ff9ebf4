"""What a model calls an incident and how severe it finds it. People see it as its opinion; nothing follows from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.incident import Severity
from bot.domain.text.unseen import remove_unseen

MAX_TITLE: Final = 60
MAX_REASON: Final = 200
_LURES: Final = re.compile(r"://|\bwww\.|@\w|<[!@#&/]|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}/\S|[\[\]]\(|`", re.IGNORECASE)
"""Addresses, mentions and markup: neither a title nor a reason needs any."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    title: str
    severity: Severity
    reason: str

    def __str__(self) -> str:
        return f"suggested: {self.severity.value} — {self.reason}"


def read_suggestion(given: object) -> Suggestion | None:
    """Return what an answer says, None where it is anything but what was asked for: all of it is hostile."""
    if not isinstance(given, Mapping) or given.keys() != {"title", "severity", "reason"}:
        return None
    title, reason = _read_line(given["title"], MAX_TITLE), _read_line(given["reason"], MAX_REASON)
    severity = given["severity"]
    if not title or not reason or not isinstance(severity, str) or severity not in set(Severity):
        return None
    return Suggestion(title=title, severity=Severity(severity), reason=reason)


def _read_line(value: object, most: int) -> str:
    """Return a text as one line that shows all of itself, "" where it is too long, or lures somewhere."""
    if not isinstance(value, str) or len(value) > 4 * most:
        return ""
    line = "".join(each for each in " ".join(remove_unseen(value).split()) if each.isprintable())
    return "" if len(line) > most or _LURES.search(line) else line
