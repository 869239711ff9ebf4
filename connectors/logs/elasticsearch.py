"""Elasticsearch and OpenSearch: `_search` sorted by time, newest first, page by page, with the right to read alone."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import SecretStr

from bot.domain.evidence import LogLine
from bot.domain.service import LogPlace
from bot.errors import Reason, Unavailable
from bot.ports.logs import LogQuery
from connectors.http_reader import HttpReader, HttpSettings
from connectors.logs.entries import Entry, Page, count_nanoseconds, naming, read_back, say_range, tell_lines

PAGE: Final = 1_000
_MILLI: Final = 1_000_000
_NANOS_FROM: Final = 10**16
"""A sort value above it counts nanoseconds (`date_nanos`), one below milliseconds."""


class Settings(HttpSettings):
    """`api_token` is an API key of Elasticsearch, as it is shown once: base64 of "id:key"."""

    api_token: SecretStr | None = None
    message_field: str = "message"
    time_field: str = "@timestamp"

    def credentials(self) -> Mapping[str, str]:
        if self.api_token is not None:
            return {"Authorization": f"ApiKey {self.api_token.get_secret_value()}"}
        return super().credentials()


class Source:
    """`LogSource` over the documents of `place.path`, an index or a pattern, that `place.query` (Lucene) matches.

    Neither a point in time nor a tiebreaker is needed: each page is asked for with the moment at which the one before
    ended, and what came before is known by its id. `notes` says what the latest read had to leave out.
    """

    def __init__(self, place: LogPlace, settings: Settings) -> None:
        self._place = place
        self._settings = settings
        self._reader = HttpReader("Elasticsearch", settings, {})
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return self._place.path

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.notes = []
        ends_at = time.monotonic() + query.seconds
        filters = f"{self._place.path} {self._place.query}".strip()
        with naming(lambda what: say_range(what, query, filters)):
            found = read_back(lambda before: self._fetch(query, before, ends_at), query, step=_MILLI, notes=self.notes)
        yield from tell_lines(self.name, found)

    def _fetch(self, query: LogQuery, before: int, ends_at: float) -> Page:
        field = self._settings.time_field
        span = {
            "gte": count_nanoseconds(query.since) // _MILLI,
            "lte": (before - 1) // _MILLI,
            "format": "epoch_millis",
        }
        filters: list[object] = [{"range": {field: span}}]
        if self._place.query:
            filters.append({"query_string": {"query": self._place.query}})
        body = {
            "size": PAGE,
            "track_total_hits": False,
            "query": {"bool": {"filter": filters}},
            "sort": [{field: {"order": "desc"}}],
        }
        path = f"{quote(self._place.path, safe=',*-_')}/_search"
        answer = self._reader.call(path, {"ignore_unavailable": "true"}, body, ends_at=ends_at)
        entries = list(self._entries(answer))
        return Page(entries=entries, is_full=len(entries) >= PAGE)

    def _entries(self, answer: object) -> Iterator[Entry]:
        outer = answer.get("hits") if isinstance(answer, dict) else None
        hits = outer.get("hits") if isinstance(outer, dict) else None
        if not isinstance(answer, dict) or not isinstance(hits, list):
            raise Unavailable("Elasticsearch answers with no hits", Reason.SERVER_ERROR)
        self._note_gaps(answer)
        for hit in hits:
            if isinstance(hit, dict) and (entry := self._entry(hit)) is not None:
                yield entry

    def _entry(self, hit: Mapping[str, Any]) -> Entry | None:
        sort, source = hit.get("sort"), hit.get("_source")
        at = sort[0] if isinstance(sort, list) and sort else None
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 2**63 or not isinstance(source, dict):
            return None
        text = _find(source, self._settings.message_field)
        whole = text if isinstance(text, str) else json.dumps(source, ensure_ascii=False, sort_keys=True)
        key = f"{hit.get('_index')} {hit.get('_id')}"
        return Entry(at=at if at >= _NANOS_FROM else at * _MILLI, text=whole, key=key)

    def _note_gaps(self, answer: Mapping[str, Any]) -> None:
        shards = answer.get("_shards")
        failed = shards.get("failed") if isinstance(shards, dict) else 0
        note = "some shards of the index did not answer"
        if (failed or answer.get("timed_out")) and note not in self.notes:
            self.notes.append(note)


def _find(source: Mapping[str, Any], field: str) -> object:
    """Return the value of a field, written with dots where it lies deeper."""
    if field in source:
        return source[field]
    value: object = source
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
