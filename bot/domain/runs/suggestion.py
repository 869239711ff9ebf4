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
    """Return a text as one line that shows what it is, cut at a word where it is somewhat too long; "" where it is
    endless, or lures somewhere."""
    if not isinstance(value, str) or len(value) > 4 * most:
        return ""
    line = "".join(each for each in " ".join(remove_unseen(value).split()) if each.isprintable())
    return "" if _LURES.search(line) else _shorten(line, most)


def _shorten(line: str, most: int) -> str:
    if len(line) <= most:
        return line
    kept = line[: most - 1]
    whole = kept if line[most - 1] == " " else kept.rpartition(" ")[0]
    return f"{(whole or kept).rstrip()}…"
