"""Grafana Loki: `query_range`, newest first, page by page."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bot.domain.evidence import LogLine
from bot.domain.service import LogPlace
from bot.errors import Reason, Rejected
from bot.ports.logs import LogQuery
from connectors.http_reader import HttpReader, HttpSettings
from connectors.logs.entries import Entry, Page, count_nanoseconds, naming, read_back, say_range, tell_lines

PAGE: Final = 1_000


class Settings(HttpSettings):
    """`tenant` is sent as `X-Scope-OrgID`."""

    tenant: str = ""


class Source:
    """`LogSource` over the streams that a LogQL query names. `notes` says what the latest read had to leave out."""

    def __init__(self, place: LogPlace, settings: Settings) -> None:
        self._query = place.query
        self._reader = HttpReader("Loki", settings, {"X-Scope-OrgID": settings.tenant} if settings.tenant else {})
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return "loki"

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.notes = []
        ends_at = time.monotonic() + query.seconds
        with naming(lambda what: say_range(what, query, self._query)):
            found = read_back(lambda before: self._fetch(query, before, ends_at), query, step=1, notes=self.notes)
        yield from tell_lines(self.name, found)

    def _fetch(self, query: LogQuery, before: int, ends_at: float) -> Page:
        asked = {
            "query": self._query,
            "start": str(count_nanoseconds(query.since)),
            "end": str(before),
            "limit": str(PAGE),
            "direction": "backward",
        }
        answer = self._reader.call("loki/api/v1/query_range", asked, None, ends_at=ends_at)
        entries = sorted(_entries(answer), key=lambda entry: -entry.at)
        return Page(entries=entries, is_full=len(entries) >= PAGE)


def _entries(answer: object) -> Iterator[Entry]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "streams" or not isinstance(data.get("result"), list):
        raise Rejected("Loki answers with no lines: the query must select log streams", Reason.BAD_INPUT)
    for stream in data["result"]:
        if isinstance(stream, dict):
            yield from _of_stream(stream)


def _of_stream(stream: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield a stream's entries; equal lines of one moment are told apart by their number in the answer."""
    labels, values = str(stream.get("stream")), stream.get("values")
    again: dict[str, int] = {}
    for value in values if isinstance(values, list) else ():
        if not isinstance(value, list) or len(value) < 2 or not isinstance(value[1], str):
            continue
        at = str(value[0])
        if not (at.isascii() and at.isdecimal() and len(at) < 20):
            continue
        key = f"{at} {labels} {value[1]}"
        again[key] = again.get(key, 0) + 1
        yield Entry(at=int(at), text=value[1], key=f"{key} {again[key]}")
