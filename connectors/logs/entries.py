"""Log entries as a source gives them, newest first, and the lines that are made of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.domain.evidence import LogLine
from bot.errors import LimitReached, Rejected, Unavailable
from bot.ports.logs import LogQuery
from connectors.logs.file_blocks import MAX_LINE

CUT: Final = " … [the rest of this line was cut]"
MAX_PAGES: Final = 1_000
_SECOND: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: when, in nanoseconds since 1970, and its text, which may have several lines. `key` tells it apart."""

    at: int
    text: str
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one call gave, newest first. `is_full`: there may be more that is older."""

    entries: Sequence[Entry]
    is_full: bool


def count_nanoseconds(at: datetime) -> int:
    """Return a time in nanoseconds since 1970, exact to its microseconds."""
    return int(at.replace(microsecond=0).timestamp()) * _SECOND + at.microsecond * 1_000


def read_back(fetch: Callable[[int], Page], query: LogQuery, *, step: int, notes: list[str]) -> list[Entry]:
    """Return the entries in the query's range, newest first, page by page, until its bytes or its seconds are over.

    `fetch` returns what is older than a time, which is a multiple of `step` nanoseconds, as the source counts time. The
    moment at which a page ended is asked for again, since it may hold more.
    """
    kept: list[Entry] = []
    since, until = count_nanoseconds(query.since), count_nanoseconds(query.until)
    ends_at, used, seen = time.monotonic() + query.seconds, 0, set[str]()
    before = until
    for _ in range(MAX_PAGES):
        try:
            page = fetch(before)
        except Unavailable as error:
            if not kept:
                raise
            notes.append(f"not read to its end ({error})")
            return kept
        fresh = [entry for entry in page.entries if entry.key not in seen]
        for entry in fresh:
            seen.add(entry.key)
            if not since <= entry.at < until:
                continue
            used += len(entry.text) + 1
            if used > query.max_bytes:
                notes.append(f"only the newest {query.max_bytes:,} bytes were read")
                return kept
            kept.append(entry)
        if not page.is_full or not page.entries:
            return kept
        oldest = page.entries[-1].at // step * step
        before = oldest + step if fresh else oldest
        if before <= since:
            return kept
        if time.monotonic() > ends_at:
            break
    notes.append(f"only the newest {len(kept):,} entries were read in {query.seconds:g} s")
    return kept


def tell_lines(source: str, entries: Sequence[Entry]) -> Iterator[LogLine]:
    """Yield the lines of entries, which come newest first, in the order of time. The first of each has its time."""
    number = 0
    for entry in reversed(entries):
        at: datetime | None = datetime.fromtimestamp(entry.at // _SECOND, UTC).replace(
            microsecond=entry.at % _SECOND // 1_000
        )
        for text in entry.text.split("\n"):
            number += 1
            yield LogLine(source=source, number=number, text=cut_line(text), at=at)
            at = None


def cut_line(text: str) -> str:
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + CUT


def say_range(what: str, query: LogQuery, filters: str) -> str:
    """Return `what` with query, range and filter, for an error that people read."""
    span = f"from {query.since:%Y-%m-%d %H:%M:%S} to {query.until:%Y-%m-%d %H:%M:%S %Z}"
    asked = f", filter {filters}" if filters else ""
    return f"{what}, asked for the log of {query.service} {span}{asked}"


@contextmanager
def naming(say: Callable[[str], str]) -> Iterator[None]:
    """Let every error of a read name its query, as `say` puts it; a limit is final."""
    try:
        yield
    except Unavailable as error:
        raise Unavailable(say(str(error)), error.reason, error.retry_after) from error
    except (LimitReached, Rejected) as error:
        raise Rejected(say(str(error)), error.reason) from error
