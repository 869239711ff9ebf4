"""Text from anywhere as GitHub shall show it: what it says, and nothing that it does.

A title or a description may mention people, close issues or draw fake buttons. Nothing of that comes through.
"""

import re
from typing import Final

from connectors.ci.http_values import as_text, clean_lines

MAX_TITLE: Final = 200
MAX_BODY: Final = 60_000
"""GitHub takes 65,536 characters."""
CUT: Final = "\n… (cut)"
BREAK: Final = "\u200b"

_LIVE: Final = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|/(?:issues|pull|discussions)/(?=\d)", re.IGNORECASE)
_FENCE: Final = re.compile(r"`{3,}")


def write_title(text: str) -> str:
    """Return one line that mentions nobody and refers to nothing; it may become the subject of a commit."""
    return _disarm(as_text(text, MAX_TITLE)).replace("`", "'") or "Nightshift"


def write_body(text: str) -> str:
    """Return a description in which every character is shown as it is: one block of code, whose fence it cannot end."""
    plain = clean_lines(text[: MAX_BODY * 4])
    if len(plain) > MAX_BODY:
        plain = plain[: MAX_BODY - len(CUT)] + CUT
    longest = max((len(found[0]) for found in _FENCE.finditer(plain)), default=2)
    fence = "`" * min(longest + 1, 1000)
    return f"{fence}text\n{_disarm(_shorten(plain, longest))}\n{fence}\n"


def _shorten(text: str, longest: int) -> str:
    """A run of hundreds of backticks is nobody's text: it is shown cut, so that the fence stays short."""
    return _FENCE.sub(lambda found: found[0][:900], text) if longest >= 1000 else text


def _disarm(text: str) -> str:
    """Put an invisible break behind what GitHub would take for a mention or a reference."""
    return _LIVE.sub(lambda found: found[0] + BREAK, text)
