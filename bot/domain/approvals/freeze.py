"""Freezes: times in which nothing is approved and nothing is pushed, except by breaking the glass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

_MOST_JOINED: Final = 400
_DAY: Final = timedelta(days=1)
_WEEK: Final = 9
"""Days in which every weekly freeze begins and ends once, in any zone."""
_SOON: Final = timedelta(days=6)


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_DAYS: Final = list(Weekday)


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """One freeze, of the named services (none = all): every week on `weekdays`, or once `since` … `until`.

    A weekly one begins at `start` in `zone` and ends at `end`; an end that is not after the start is on the next
    day, so equal times are a whole day. Local times that a clock change skips or repeats are taken once.
    """

    reason: str
    services: tuple[str, ...] = ()
    weekdays: tuple[Weekday, ...] = ()
    start: time = time(0)
    end: time = time(0)
    zone: str = "UTC"
    since: datetime | None = None
    until: datetime | None = None

    def covers(self, service: str) -> bool:
        """Return whether it holds for a service; one that is not known ("") is always held."""
        return not self.services or not service or service in self.services

    def end_after(self, now: datetime) -> datetime | None:
        """Return when the freeze that holds at `now` ends; None = it does not hold."""
        return max((end for start, end in self._windows(now) if start <= now < end), default=None)

    def borders(self, since: datetime, now: datetime) -> Iterator[datetime]:
        """Yield when it began and ended after `since` and until `now`, as far back as the newest of these can be."""
        for window in self._windows(now, days=_WEEK):
            yield from (border for border in window if since < border <= now)

    def _windows(self, now: datetime, days: int = 2) -> Iterator[tuple[datetime, datetime]]:
        if self.since is not None and self.until is not None:
            yield self.since, self.until
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today - _DAY * back for back in range(days)):
            if _DAYS[day.weekday()] in self.weekdays:
                following = day if self.end > self.start else day + _DAY
                yield _at(day, self.start, zone), _at(following, self.end, zone)


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """That nothing is pushed now: until when, and why."""

    until: datetime
    reasons: tuple[str, ...]

    def say(self, now: datetime) -> str:
        """Return "Freeze until Mon 06:00 UTC: quarter close."""
        when = f"{self.until:%a}" if self.until - now < _SOON else f"{self.until:%Y-%m-%d}"
        why = "; ".join(self.reasons).rstrip(".")
        return f"Freeze until {when} {self.until:%H:%M} UTC: {why}."


def find_freeze(freezes: Sequence[Freeze], *, service: str, now: datetime) -> Frozen | None:
    """Return the freeze of a service at `now`. Freezes that follow each other without a gap are one."""
    mine = [freeze for freeze in freezes if freeze.covers(service)]
    until, reasons = now, [freeze.reason for freeze in mine if freeze.end_after(now)]
    if not reasons:
        return None
    for _ in range(_MOST_JOINED):
        further = max((end for freeze in mine if (end := freeze.end_after(until))), default=until)
        if further <= until:
            break
        until = further
    return Frozen(until=until.astimezone(UTC), reasons=tuple(dict.fromkeys(reasons)))


def find_border(freezes: Sequence[Freeze], *, service: str, since: datetime, now: datetime) -> datetime | None:
    """Return the newest moment after `since` and until `now` at which a freeze of a service began or ended."""
    mine = [freeze for freeze in freezes if freeze.covers(service)]
    newest = max((border for freeze in mine for border in freeze.borders(since, now)), default=None)
    return newest.astimezone(UTC) if newest is not None else None


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)
