"""Stage one: read the service's logs around the alert, redacted before anything else sees a line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.checks.reproduction import Reproduce, say_seconds
from bot.domain.evidence import ErrorRecord, Evidence, FailingRequest, LogLine
from bot.domain.investigation import UNREAD, Collected, Job
from bot.domain.logs.exits import Exits, find_exits, order_by_exit
from bot.domain.logs.records import find_records
from bot.domain.logs.requests import find_failing_requests
from bot.domain.logs.slowness import Slowdown, find_slowdowns
from bot.domain.suspects.drift import INSTALLED, pick_installed
from bot.worker.changes import tell_changes
from bot.worker.ci_log import add_ci_log
from bot.worker.metrics import add_metrics
from bot.worker.reading import plan_query, read_places
from bot.worker.shown import read_kind
from bot.worker.tools import Tools

MAX_RECORDS = 20
MAX_REQUESTS = 20
MAX_TEXT = 2_000
MAX_LINES = 24
_ASKED = ", asked for "  # sources that answer name query and range themselves


def collect(job: Job, tools: Tools) -> Collected:
    """Read the service's logs, what CI wrote where the alert is about a run of it, and what the metrics say."""
    found = add_metrics(job, add_ci_log(job, _read_logs(job, tools), tools), tools)
    return replace(found, pending=(*job.awaited, *found.pending) if job.is_first_look else ())


def _read_logs(job: Job, tools: Tools) -> Collected:
    """Read every log place. A place that is dead, slow or empty becomes a note; the others still count.

    A source may say in its notes what it had to leave out.
    """
    if "logs" not in job.playbook.evidence:
        return Collected(records=(), requests=(), evidence=(), lines_read=0, reproduce=job.playbook.reproduce)
    query = plan_query(job)
    span = f"between {_say(query.since)} and {_say(query.until)}"
    lines: list[LogLine] = []
    notes = [] if job.service.logs else [f"no log place is configured for {job.service.name}"]
    missing: list[str] = []
    pending: list[str] = []
    for read in read_places(job, tools):
        lines.extend(read.lines)
        notes.extend(read.notes)
        if read.fault:
            asked = "" if _ASKED in read.fault else f" {span}"
            missing.append(f"{read.place.kind} log {read.place.label}{UNREAD}{asked}: {read.fault}")
            notes.append(missing[-1])
        elif not read.lines and not (read.notes and read.place.label in read.notes[-1]):
            notes.append(f"no log line in {read.place.label} {span}")
        pending += [f"{read.place.kind} log {read.place.label}"] if read.is_pending else []
    found = _sort_out(job, lines, notes, span)
    return replace(found, missing=tuple(missing), pending=tuple(pending))


def _sort_out(job: Job, lines: Sequence[LogLine], notes: list[str], span: str) -> Collected:
    """Find in the lines what the playbook's kind of reproduction needs, and the errors in any case."""
    playbook = job.playbook
    found = tuple(find_records(lines))
    kind = read_kind(job, lines, found[:MAX_RECORDS])
    pieces: list[tuple[str, str, str]] = []
    requests: tuple[FailingRequest, ...] = ()
    began_at = None
    if kind is Reproduce.START:
        found = order_by_exit(found, lines)
        exits = find_exits(lines)
        pieces += [("exit", exits.cite, _tell_exits(exits))] if exits else []
        if lines and not exits:
            notes.append("the logs do not say that the service ended or was started again")
    elif kind is Reproduce.SLOW:
        slow = find_slowdowns(lines, factor=playbook.slow_factor, floor=playbook.slow_floor_ms / 1_000)
        requests = tuple(each.request for each in slow)
        began_at = next((each.began_at for each in slow if each.began_at), None)
        pieces += [("slow", each.request.cite, _tell_slowdown(each)) for each in slow]
        if lines and not slow:
            notes.append(f"no request slower than {playbook.slow_floor_ms} ms among {len(lines):,} log lines {span}")
    records = found[:MAX_RECORDS]
    if kind is Reproduce.REQUEST:
        requests = tuple(find_failing_requests(lines, records))[:MAX_REQUESTS]
        if records and not requests:
            notes.append("no failing request that could be sent again was found in the logs")
    if lines and not records and kind in {Reproduce.REQUEST, Reproduce.START, Reproduce.LOG}:
        notes.append(f"no error among {len(lines):,} log lines {span}")
    pieces += [("error", record.cite, _tell(record)) for record in records]
    if kind is Reproduce.REQUEST:
        pieces += [("request", request.cite, _tell_request(request)) for request in requests]
    pieces += tell_changes(job, lines, records)
    if installed := pick_installed(lines):
        pieces.append((INSTALLED, installed[0].cite, "\n".join(line.text[:300] for line in installed)))
    return Collected(
        records=records,
        requests=requests,
        evidence=tuple(_number(pieces)),
        lines_read=len(lines),
        notes=tuple(notes),
        reproduce=kind,
        began_at=began_at,
    )


def _number(pieces: Sequence[tuple[str, str, str]]) -> Iterator[Evidence]:
    for number, (kind, cite, text) in enumerate(pieces, 1):
        yield Evidence(id=f"E{number}", kind=kind, cite=cite, text=text[:MAX_TEXT])


def _tell_exits(exits: Exits) -> str:
    ended = (
        "was started again" if not exits.count else "ended once" if exits.count == 1 else f"ended {exits.count:,} times"
    )
    codes = ", ".join(code if count == exits.count else f"{code} {count:,} times" for code, count in exits.codes)
    again = f"; {exits.restarts:,} restarts are logged" if exits.restarts > 1 else ""
    when = f", last at {_say(exits.last_at)}" if exits.last_at else ""
    return f"{ended}{f' with {codes}' if codes else ''}{when}{again}\n{exits.text}"


def _tell_slowdown(slow: Slowdown) -> str:
    request, since = slow.request, f"median {say_seconds(slow.since)} of {slow.counts[1]:,}"
    body = f"\n{request.body}" if request.body else ""
    if slow.before is None:
        return f"{request.method} {request.target} is slow: {since} requests, and no quicker ones before them{body}"
    when = f" at {_say(slow.began_at)}" if slow.began_at else ""
    before = f"median {say_seconds(slow.before)} of {slow.counts[0]:,}"
    return f"{request.method} {request.target} became slower{when}: {since} requests since, {before} before{body}"


def _tell(record: ErrorRecord) -> str:
    times = "once" if record.count == 1 else f"{record.count:,} times"
    when = ""
    if record.first_at is not None:
        when = f", first at {_say(record.first_at)}"
        if record.last_at is not None and record.last_at != record.first_at:
            when += f", last at {_say(record.last_at)}"
    texts = [line.text for line in record.lines]
    if len(texts) > MAX_LINES:
        half = MAX_LINES // 2
        texts = [*texts[:half], f"… {len(texts) - MAX_LINES:,} more …", *texts[-half:]]
    return "\n".join((f"seen {times}{when}", *texts))


def _tell_request(request: FailingRequest) -> str:
    body = f"\n{request.body}" if request.body else ""
    return f"{request.method} {request.target} answered {request.status}{body}"


def _say(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC" if at.utcoffset() == timedelta(0) else "%Y-%m-%d %H:%M:%S %z")
