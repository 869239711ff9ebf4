"""Sources of log lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.evidence import LogLine


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Lines of one service in [since, until), aware times; newest kept.

    A source stops at `max_bytes` of text, and after `seconds`.
    """

    service: str
    since: datetime
    until: datetime
    max_bytes: int = 64 * 1024 * 1024
    seconds: float = 15.0


class LogSource(Protocol):
    """One place where a service logs. Files are read in the worker, servers and programs by the front process."""

    @property
    def name(self) -> str: ...

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        """Yield lines in order, unredacted, each with its source and line number. May be repeated.

        "No data" is an empty iterator. Raises `Unavailable` or `Rejected`, naming query, range and filters.
        """
        ...
