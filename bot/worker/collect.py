"""Stage one: read the service's logs around the alert, redacted before anything else sees a line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.evidence import ErrorRecord, Evidence, FailingRequest, LogLine
from bot.domain.investigation import Collected, Job
from bot.domain.records import find_records
from bot.domain.requests import find_failing_requests
from bot.errors import NightshiftError
from bot.ports.logs import LogQuery
from bot.worker.tools import Tools

SKEW = timedelta(minutes=1)
MAX_RECORDS = 20
MAX_REQUESTS = 20
MAX_TEXT = 2_000
MAX_LINES = 24


def plan_query(job: Job) -> LogQuery:
    """Return the time to read: around the alert's start, and never past what can have been written yet."""
    since = job.alert_started_at - timedelta(seconds=job.playbook.look_back)
    until = min(job.alert_started_at + timedelta(seconds=job.playbook.look_ahead), job.now + SKEW)
    return LogQuery(service=job.service.name, since=since, until=max(until, since + SKEW))


def collect(job: Job, tools: Tools) -> Collected:
    """Read every log place. A place that is dead or empty becomes a note; the others still count.

    A source may say in `notes` what it had to leave out.
    """
    query = plan_query(job)
    span = f"between {_say(query.since)} and {_say(query.until)}"
    lines: list[LogLine] = []
    notes = [] if job.service.logs else [f"no log place is configured for {job.service.name}"]
    for place in job.service.logs:
        before = len(lines)
        try:
            source = tools.log_source(place)
            read = list(source.read(query))
            texts = tools.sanitize_lines([line.text for line in read])
            lines.extend(replace(line, text=text) for line, text in zip(read, texts, strict=True))
            notes.extend(tools.clean(note, 300) for note in getattr(source, "notes", ()))
        except (NightshiftError, OSError) as error:
            notes.append(f"{place.kind} log {place.path} could not be read {span}: {tools.clean(str(error), 300)}")
        if len(lines) == before and not (notes and place.path in notes[-1]):
            notes.append(f"no log line in {place.path} {span}")
    records = tuple(find_records(lines))[:MAX_RECORDS]
    requests = tuple(find_failing_requests(lines, records))[:MAX_REQUESTS]
    if lines and not records:
        notes.append(f"no error among {len(lines):,} log lines {span}")
    elif records and not requests:
        notes.append("no failing request that could be sent again was found in the logs")
    return Collected(
        records=records,
        requests=requests,
        evidence=tuple(_number(records, requests)),
        lines_read=len(lines),
        notes=tuple(notes),
    )


def _number(records: Sequence[ErrorRecord], requests: Sequence[FailingRequest]) -> Iterator[Evidence]:
    pieces = [("error", record.cite, _tell(record)) for record in records]
    pieces += [("request", request.cite, _tell_request(request)) for request in requests]
    for number, (kind, cite, text) in enumerate(pieces, 1):
        yield Evidence(id=f"E{number}", kind=kind, cite=cite, text=text[:MAX_TEXT])


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
        texts = [*texts[:half], f"… {len(texts) - MAX_LINES} lines …", *texts[-half:]]
    return "\n".join((f"seen {times}{when}", *texts))


def _tell_request(request: FailingRequest) -> str:
    body = f"\n{request.body}" if request.body else ""
    return f"{request.method} {request.target} answered {request.status}{body}"


def _say(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC" if at.utcoffset() == timedelta(0) else "%Y-%m-%d %H:%M:%S %z")
