"""From log lines to the requests they show, complete enough to be sent again. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Final
from urllib.parse import parse_qsl

from bot.domain.evidence import ErrorRecord, FailingRequest, LogLine
from bot.domain.logs.logfields import as_object, parse_json
from bot.domain.logs.sightings import Sighting, read_sighting

MAX_REQUESTS: Final = 10
_MAX_SHAPES: Final = 5_000
_MAX_OPEN: Final = 1_000
_NEAR_BODY: Final = 5
_NEAR_START: Final = 60
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_ASSUMED_STATUS: Final = 500
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def find_failing_requests(lines: Iterable[LogLine], records: Sequence[ErrorRecord] = ()) -> tuple[FailingRequest, ...]:
    """Return the requests answered with a status of 500 or more, at most `MAX_REQUESTS`.

    Each shape (method, target, body) once, the newest of it. Those that can be sent again as they are come first, a
    POST whose body is not in the log after them; newest first within both. A request that a line of `records` names
    without a status counts as 500. A JSON or form body gets its content type where the
    log shows none.
    """
    failed = frozenset(line.cite for record in records for line in record.lines)
    newest: dict[tuple[str, str, str], tuple[tuple[bool, datetime, int], FailingRequest]] = {}
    count = 0
    for entry in _join(lines):
        seen = entry.seen
        status = seen.status or (_ASSUMED_STATUS if not failed.isdisjoint(entry.cites) else 0)
        if not seen.target or status < 500:
            continue
        count += 1
        request = _build(seen, status, entry.cite)
        shape = (seen.method, _target_shape(seen.target), _body_shape(request.body))
        rank = (not entry.lacks_body, entry.at or _LONG_AGO, count)
        if shape in newest:
            if rank > newest[shape][0]:
                newest[shape] = (rank, request)
        elif len(newest) < _MAX_SHAPES:
            newest[shape] = (rank, request)
    ranked = sorted(newest.values(), key=lambda pair: pair[0], reverse=True)
    return tuple(request for _, request in ranked[:MAX_REQUESTS])


@dataclass(frozen=True, kw_only=True)
class SeenRequest:
    """One request of the log: requests of one `shape` (method, target, body) most likely exercise the same code.

    `status` of `request` is 0 where the log does not say; `cites` are the lines that told about it.
    """

    request: FailingRequest
    shape: tuple[str, str, str]
    at: datetime | None
    cites: tuple[str, ...]
    lacks_body: bool


def join_requests(lines: Iterable[LogLine]) -> Iterator[SeenRequest]:
    """Yield every request of the log, whatever its answer, in the order in which they ended."""
    for entry in _join(lines):
        seen = entry.seen
        if seen.target:
            request = _build(seen, seen.status, entry.cite)
            yield SeenRequest(
                request=request,
                shape=(seen.method, _target_shape(seen.target), _body_shape(request.body)),
                at=entry.at,
                cites=tuple(entry.cites),
                lacks_body=entry.lacks_body,
            )


@dataclass(kw_only=True)
class _Entry:
    """One request as far as it is known. `number` is the line it was last seen in."""

    seen: Sighting
    at: datetime | None
    number: int
    cite: str
    cites: list[str] = field(default_factory=list)

    @property
    def lacks_body(self) -> bool:
        return self.seen.body is None and bool(self.seen.method) and self.seen.method not in _WITHOUT_BODY

    def add(self, seen: Sighting, line: LogLine) -> None:
        if seen.status and not self.seen.status:
            self.cite = line.cite
        self.seen = Sighting(
            method=self.seen.method or seen.method,
            target=self.seen.target or seen.target,
            status=self.seen.status or seen.status,
            headers=self.seen.headers or seen.headers,
            body=seen.body if self.seen.body is None else self.seen.body,
            request_id=self.seen.request_id or seen.request_id,
        )
        self.at, self.number = line.at or self.at, line.number
        if len(self.cites) < 50:
            self.cites.append(line.cite)

    def fits(self, seen: Sighting) -> bool:
        """Say whether `seen` can be the same request."""
        return not (self.seen.target and seen.target) or (self.seen.method, self.seen.target) == (
            seen.method,
            seen.target,
        )


@dataclass(frozen=True, kw_only=True)
class _Loose:
    """A body without a request; `before` is the answered request above it that may be its own."""

    seen: Sighting
    line: LogLine
    before: _Entry | None


class _Joiner:
    """Joins what the lines of one source tell, by request id, else by nearness. Keeps a bounded number open."""

    def __init__(self, finish: Callable[[_Entry], None]) -> None:
        self._finish = finish
        self._open: deque[_Entry] = deque()
        self._by_id: dict[str, _Entry] = {}
        self._loose: deque[_Loose] = deque(maxlen=_NEAR_BODY)

    def add(self, seen: Sighting, line: LogLine) -> None:
        if seen.request_id:
            self._add_named(seen, line)
        elif not seen.target and not seen.status:
            self._add_body(seen, line)
        else:
            self._add_near(seen, line)
        while len(self._open) > _MAX_OPEN:
            self._close(self._open.popleft())

    def end(self) -> None:
        for loose in self._loose:
            self._settle(loose)
        while self._open:
            self._close(self._open.popleft())

    def _add_named(self, seen: Sighting, line: LogLine) -> None:
        entry = self._by_id.get(seen.request_id)
        if entry is not None and entry.fits(seen):
            entry.add(seen, line)
        else:
            entry = self._push(seen, line)
            self._by_id.setdefault(seen.request_id, entry)

    def _add_near(self, seen: Sighting, line: LogLine) -> None:
        started = self._find_started(seen, line)
        if started is not None:
            started.add(seen, line)
            return
        entry = self._push(seen, line)
        loose = self._loose[-1] if self._loose else None
        if loose is None or not entry.lacks_body or line.number - loose.line.number > _NEAR_BODY:
            return
        self._loose.pop()
        if loose.before is None or not _is_nearer_above(loose, line):
            entry.add(loose.seen, line)
        else:
            self._settle(loose)

    def _add_body(self, seen: Sighting, line: LogLine) -> None:
        above = next((entry for entry in reversed(self._open) if not entry.seen.request_id), None)
        if above is None or not above.lacks_body or line.number - above.number > _NEAR_BODY:
            above = None
        elif not above.seen.status:
            above.add(seen, line)
            return
        if len(self._loose) == self._loose.maxlen:
            self._settle(self._loose.popleft())
        self._loose.append(_Loose(seen=seen, line=line, before=above))

    def _find_started(self, seen: Sighting, line: LogLine) -> _Entry | None:
        """Return the open request without a status that this line answers or says more about."""
        reach = _NEAR_START if seen.status else _NEAR_BODY
        for entry in reversed(self._open):
            if line.number - entry.number > reach:
                return None
            if entry.seen.request_id or entry.seen.status or not entry.seen.target or not entry.fits(seen):
                continue
            if seen.status or (seen.target and not (seen.body and entry.seen.body)):
                return entry
        return None

    def _push(self, seen: Sighting, line: LogLine) -> _Entry:
        entry = _Entry(seen=seen, at=line.at, number=line.number, cite=line.cite, cites=[line.cite])
        self._open.append(entry)
        return entry

    @staticmethod
    def _settle(loose: _Loose) -> None:
        if loose.before is not None and loose.before.seen.body is None:
            loose.before.add(loose.seen, loose.line)

    def _close(self, entry: _Entry) -> None:
        if self._by_id.get(entry.seen.request_id) is entry:
            del self._by_id[entry.seen.request_id]
        self._finish(entry)


def _is_nearer_above(loose: _Loose, below: LogLine) -> bool:
    """Say whether a loose body belongs to the request above it rather than to the one below."""
    above = loose.before
    if above is None:
        return False
    if above.at is not None and below.at is not None and loose.line.at is not None:
        gaps = abs(loose.line.at - above.at), abs(below.at - loose.line.at)
        if gaps[0] != gaps[1]:
            return gaps[0] < gaps[1]
    return above.seen.status >= 500


def _join(lines: Iterable[LogLine]) -> Iterator[_Entry]:
    for _source, run in groupby(lines, key=lambda line: line.source):
        done: list[_Entry] = []
        joiner = _Joiner(done.append)
        for line in run:
            seen = read_sighting(line.text)
            if seen is not None:
                joiner.add(seen, line)
                yield from done
                done.clear()
        joiner.end()
        yield from done


def _build(seen: Sighting, status: int, cite: str) -> FailingRequest:
    headers, body = dict(seen.headers), seen.body or ""
    if body and not any(name.lower() == "content-type" for name in headers):
        if body[:1] in {"{", "["}:
            headers["content-type"] = "application/json"
        elif _read_form(body):
            headers["content-type"] = "application/x-www-form-urlencoded"
    return FailingRequest(method=seen.method, target=seen.target, status=status, headers=headers, body=body, cite=cite)


@lru_cache(maxsize=4_096)
def _target_shape(target: str) -> str:
    path, _, query = target.partition("?")
    parts = ["*" if any(letter.isdigit() for letter in part) or len(part) > 32 else part for part in path.split("/")]
    names = sorted({name for name, _ in _read_form(query)})
    return "/".join(parts) + "?" + "&".join(names)


def _read_form(text: str) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(text[:65_536], keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return ()


def _body_shape(body: str) -> str:
    if not body:
        return ""
    if body[:1] in {"{", "["}:
        return _value_shape(parse_json(body), 0)
    return "form:" + "&".join(sorted({name for name, _ in _read_form(body)})) if "=" in body else "text"


def _value_shape(value: object, depth: int) -> str:
    """Return names and types of a JSON value: two bodies of one shape exercise the same code, most likely."""
    if depth > 5:
        return "…"
    fields = as_object(value)
    if fields is not None:
        names = sorted(fields)[:50]
        return "{" + ",".join(f"{name[:64]}:{_value_shape(fields[name], depth + 1)}" for name in names) + "}"
    if isinstance(value, list):
        return f"[{_value_shape(value[0], depth + 1) if value else ''}]"
    return type(value).__name__
