"""The times that log lines begin with: the shapes they are written in, and how to read them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from bot.domain.logs.logtime import parse_time

#: Patterns here are read by two engines, Python's and Rust's: ASCII classes only, and nothing looks around.
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK: Final = "[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,:][0-9]{1,9})?"
_ZONE: Final = "(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"
SHAPES: Final = (
    "[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}(?:[T _-]| - )[0-9]{1,2}[:.][0-9]{2}[:.][0-9]{2}(?:[.,:][0-9]{1,9})?" + _ZONE,
    "[0-9]{8}[-T ]" + _CLOCK + _ZONE,
    f"[0-9]{{1,2}}[/-]{_MONTH}[/-][0-9]{{4}}[: ]" + _CLOCK + _ZONE,
    f"(?:{_DAY},? )?{_MONTH} {{1,2}}[0-9]{{1,2}},? (?:[0-9]{{4}},? )?" + _CLOCK + "(?: (?:[A-Z]{3,4} )?[0-9]{4})?",
    f"(?:{_DAY},? )?[0-9]{{1,2}} {_MONTH} (?:[0-9]{{4}} )?" + _CLOCK + _ZONE,
    "[0-9]{1,4}[-/.][0-9]{1,2}(?:[-/.][0-9]{2,4})? " + _CLOCK + _ZONE,
    "[0-9]{6} [0-9]{6}",
    "[01][0-9]{9}(?:[.][0-9]{1,9}|[0-9]{3}|[0-9]{6}|[0-9]{9})?",  # digits are often all written as zeros
    _CLOCK,
)

_FULL: Final = re.compile(r"(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)\D{1,3}(\d{1,2})[:.](\d{1,2})[:.](\d{1,2})", re.ASCII)
_PACKED: Final = re.compile(r"(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d)", re.ASCII)
_YEARLESS: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2}) (\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)
_EPOCH: Final = re.compile(r"(1\d{9})(?:\.\d+|\d*)", re.ASCII)
_TIME_ONLY: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)


def read_stamp(text: str, near: datetime) -> datetime | None:
    """Return the time a stamp shows, to the second; what it leaves out comes from `near`; without a zone it is UTC."""
    found = parse_time(text, near=near) or parse_time(f"[{text}]", near=near)
    if found is not None:
        return found.replace(microsecond=0)
    for pattern, read in _READERS:
        match = pattern.match(text)
        if match is not None:
            try:
                return read([int(part) for part in match.groups()], near)
            except (ValueError, OverflowError, OSError):
                return None
    return None


def _read_full(parts: list[int], _near: datetime) -> datetime:
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)


def _read_packed(parts: list[int], near: datetime) -> datetime:
    return _read_full([near.year // 100 * 100 + parts[0], *parts[1:]], near)


def _read_yearless(parts: list[int], near: datetime) -> datetime:
    years = (near.year - 1, near.year, near.year + 1)
    found = [_read_full([year, *parts], near) for year in years if parts[:2] != [2, 29] or year % 4 == 0]
    return min(found, key=lambda at: abs(at - near))


def _read_epoch(parts: list[int], _near: datetime) -> datetime:
    return datetime.fromtimestamp(parts[0], UTC)


def _read_time(parts: list[int], near: datetime) -> datetime:
    return _read_full([near.year, near.month, near.day, *parts], near)


_READERS: Final[tuple[tuple[re.Pattern[str], Callable[[list[int], datetime], datetime]], ...]] = (
    (_FULL, _read_full),
    (_PACKED, _read_packed),
    (_YEARLESS, _read_yearless),
    (_EPOCH, _read_epoch),
    (_TIME_ONLY, _read_time),
)
