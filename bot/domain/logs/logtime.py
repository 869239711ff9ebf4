"""The time a log line shows, for the shapes that services really write. Pure and quick: one line, one answer."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_HEAD: Final = 512
_NEAR_START: Final = 120  # further on a date is part of the message
_FIELDS: Final = 16_384
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_CLOCK: Final = r"([0-2]\d):([0-5]\d):([0-6]\d)(?:[.,](\d{1,9}))?"
_ISO: Final = re.compile(
    r"(?<![\d.])(\d{4})[-/](\d\d)[-/](\d\d)(?:[T _]| - )" + _CLOCK + r"(?: ?(Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?", re.ASCII
)
_CLF: Final = re.compile(
    r"\[(\d\d)[/-]([A-Za-z]{3})[/-](\d{4})[: ]" + _CLOCK + r"(?: ([+-]\d{4}|[A-Z]{3,4}))?\]", re.ASCII
)
_ASCTIME: Final = re.compile(r"\b([A-Z][a-z]{2}) {1,2}(\d{1,2}) " + _CLOCK + r" (?:([A-Z]{3,4}) )?(\d{4})\b", re.ASCII)
_SYSLOG: Final = re.compile(r"^(?:<\d{1,3}>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) " + _CLOCK, re.ASCII)
_KLOG: Final = re.compile(r"^[DIWEF](\d\d)(\d\d) " + _CLOCK, re.ASCII)
_LOG4J: Final = re.compile(r"^(\d\d)/(\d\d)/(\d\d) " + _CLOCK, re.ASCII)
_EPOCH: Final = re.compile(r"^\[?(\d{10}(?:\.\d{1,9})?|\d{13}|\d{16}|\d{19})(?![\d.])", re.ASCII)
_NAMES: Final = r"@?timestamp|time|ts|t|datetime|date|asctime|eventTime"
_JSON_FIELD: Final = re.compile(r'"(?:' + _NAMES + r')"\s{0,4}:\s{0,4}(?:"([^"\\]{8,64})"|(\d{10,19}(?:\.\d{1,9})?))')
_LOGFMT_FIELD: Final = re.compile(r"(?:^|\s)(?:" + _NAMES + r')=(?:"([^"\\]{8,64})"|([^\s"]{8,64}))')
_YEARS: Final = (1990, 2100)


def parse_time(text: str, default_zone: tzinfo = UTC, *, near: datetime | None = None) -> datetime | None:
    """Return the time `text` shows, aware, or None. A time without a zone is in `default_zone`.

    Syslog lines show no year: they get the one that brings them closest to `near`, and None without it.
    """
    if not text:
        return None
    if text[0] in " \t" and not text[:_HEAD].lstrip()[:1].isdigit():
        return None  # an indented line goes on with the line before
    head = text[:_HEAD].lstrip()
    if head.startswith("{"):
        return _from_fields(_JSON_FIELD, text, default_zone)
    for parse in _SHAPES:
        found = parse(head, default_zone, near)
        if found is not None:
            return found
    return _from_fields(_LOGFMT_FIELD, text, default_zone) if "=" in text[:_FIELDS] else None


def _from_fields(pattern: re.Pattern[str], text: str, zone: tzinfo) -> datetime | None:
    for count, match in enumerate(pattern.finditer(text, 0, _FIELDS)):
        value = match.group(1) or match.group(2)
        found = _parse_iso(value, zone, None) or _parse_epoch(value, zone, None) or _parse_clf(f"[{value}]", zone, None)
        if found is not None:
            return found
        if count == 4:
            break
    return None


def _parse_iso(head: str, zone: tzinfo, _near: datetime | None) -> datetime | None:
    match = _ISO.search(head[:_NEAR_START])
    if match is None:
        return None
    year, month, day, *clock, offset = match.groups()
    return _make((int(year), int(month), int(day)), clock, _zone(offset, zone))


def _parse_clf(head: str, zone: tzinfo, _near: datetime | None) -> datetime | None:
    match = _CLF.search(head)
    if match is None:
        return None
    day, month, year, *clock, offset = match.groups()
    return _make((int(year), _MONTHS.get(month.lower(), 0), int(day)), clock, _zone(offset, zone))


def _parse_asctime(head: str, zone: tzinfo, _near: datetime | None) -> datetime | None:
    match = _ASCTIME.search(head)
    if match is None:
        return None
    month, day, *clock, named, year = match.groups()
    return _make((int(year), _MONTHS.get(month.lower(), 0), int(day)), clock, _zone(named, zone))


def _parse_syslog(head: str, zone: tzinfo, near: datetime | None) -> datetime | None:
    match = _SYSLOG.match(head)
    if match is None:
        return None
    month, day, *clock = match.groups()
    return _closest(_MONTHS.get(month.lower(), 0), int(day), clock, zone, near=near)


def _parse_klog(head: str, zone: tzinfo, near: datetime | None) -> datetime | None:
    match = _KLOG.match(head)
    if match is None:
        return None
    month, day, *clock = match.groups()
    return _closest(int(month), int(day), clock, zone, near=near)


def _parse_log4j(head: str, zone: tzinfo, _near: datetime | None) -> datetime | None:
    match = _LOG4J.match(head)
    if match is None:
        return None
    year, month, day, *clock = match.groups()
    return _make((2000 + int(year), int(month), int(day)), clock, zone)


def _parse_epoch(head: str, _zone: tzinfo, _near: datetime | None) -> datetime | None:
    match = _EPOCH.match(head)
    if match is None:
        return None
    digits = match.group(1)
    whole = len(digits.partition(".")[0])
    seconds = float(digits) if "." in digits else int(digits) / 10 ** (whole - 10)
    found = datetime.fromtimestamp(seconds, UTC)
    return found if _YEARS[0] <= found.year < _YEARS[1] else None


_SHAPES: Final[tuple[Callable[[str, tzinfo, datetime | None], datetime | None], ...]] = (
    _parse_iso,
    _parse_clf,
    _parse_syslog,
    _parse_asctime,
    _parse_epoch,
    _parse_log4j,
    _parse_klog,
)


def _zone(offset: str | None, default: tzinfo) -> tzinfo:
    if offset is None:
        return default
    if offset[0] not in "+-":
        return UTC if offset in {"Z", "UTC", "GMT"} else default
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 18 or minutes > 59:
        return default
    distance = timedelta(hours=hours, minutes=minutes)
    return timezone(-distance if offset[0] == "-" else distance)


def _make(date: tuple[int, int, int], clock: list[str | None], zone: tzinfo) -> datetime | None:
    hour, minute, second, fraction = clock
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    if not _YEARS[0] <= date[0] < _YEARS[1]:
        return None
    try:
        return datetime(*date, int(hour or 0), int(minute or 0), min(int(second or 0), 59), micro, tzinfo=zone)
    except ValueError:
        return None


def _closest(month: int, day: int, clock: list[str | None], zone: tzinfo, *, near: datetime | None) -> datetime | None:
    if near is None:
        return None
    years = (near.year - 1, near.year, near.year + 1)
    found = [at for year in years if (at := _make((year, month, day), clock, zone)) is not None]
    return min(found, key=lambda at: abs(at - near), default=None)
