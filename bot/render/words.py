"""The small words of every message: times, spans, counts, names."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

NOBODY: Final = "nobody"
_FOREVER: Final = timedelta(days=365)


def write_clock(at: datetime, now: datetime) -> str:
    """Return "02:14 UTC", with the day where it is not today's; it stays true however old the message gets."""
    at = at.astimezone(UTC)
    day = "" if at.date() == now.astimezone(UTC).date() else f"{at.day} {at:%b} "
    return f"{day}{at:%H:%M} UTC"


def write_span(span: timedelta) -> str:
    """Return "42 s", "4 min", "1 h 12 min" or "3 d 2 h"; a span below zero counts as none."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(round(minutes / 60), 24)
    return f"{days} d {rest} h" if rest else f"{days} d"


def write_seconds(seconds: float) -> str:
    """Return "0.3 s" or "23 s": tenths only where they count."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def write_until(until: datetime, now: datetime) -> str:
    """Return "until 03:14 UTC", or "until it resolves" for an end that is far away."""
    return "until it resolves" if until - now > _FOREVER else f"until {write_clock(until, now)}"


def write_count(count: int, noun: str, plural: str = "") -> str:
    """Return "1 alert" or "4,312 alerts"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def write_list(parts: Sequence[str]) -> str:
    """Return "Ana", "Ana and Bo" or "Ana, Bo and Cem"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def write_people(people: Sequence[str], names: Mapping[str, str]) -> str:
    """Return the people's names, each once, "nobody" for none."""
    return write_list([names.get(person, person) for person in dict.fromkeys(people)]) or NOBODY


def write_line(text: str, limit: int = 120) -> str:
    """Return `text` as one line of at most `limit` characters, shortened with "…"."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def write_sentence(text: str) -> str:
    """Return `text` beginning with a capital and ending with a full stop."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…:" else ".")
