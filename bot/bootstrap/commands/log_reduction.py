"""`nightshift logs reduce`: what matters in some logs, for a person or as JSON."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer

from bot.bootstrap.commands.log_files import Cleaner, open_logs
from bot.domain.evidence import LogLine
from bot.reduction.comparing import Change, Kind
from bot.reduction.reducing import Failure, Reduction, reduce_logs
from bot.reduction.tally import Span
from bot.reduction.telling import tell

SCHEMA: Final = "nightshift.logs.reduce/1"


def read_when(text: str | None, option: str) -> int | None:
    """Return a time in seconds. Raises `BadParameter` for what is no ISO 8601 time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        wrong = f'"{text[:60]}" is no time; write 2026-11-20T14:46:00Z.'
        raise typer.BadParameter(wrong, param_hint=option) from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())


def read_span(since: str | None, until: str | None, *, splits: bool) -> Span:
    """Return the incident between two times. Raises `BadParameter`, also where it ends before it begins."""
    span = Span(since=read_when(since, "--since"), until=read_when(until, "--until"), splits=splits)
    if span.since is not None and span.until is not None and span.until <= span.since:
        raise typer.BadParameter(f"{until} is not after --since {since}.", param_hint="--until")
    return span


def write_reduction(files: Sequence[Path], baseline: Sequence[Path], *, span: Span, as_json: bool) -> Iterator[str]:
    """Yield what matters in the files, compared with the baseline. Raises `Refused`."""
    cleaner = Cleaner()
    with ExitStack() as stack:
        logs = open_logs([*files, *baseline], stack)
        found = reduce_logs(logs[: len(files)], logs[len(files) :], span=span, redact=cleaner.redact)
    if as_json:
        yield json.dumps(_as_json(found), indent=2, ensure_ascii=True) + "\n"
        return
    yield from (cleaner.show(line) + "\n" for line in tell(found))


def _as_json(found: Reduction) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "logs": [
            {"file": log.name, "lines": log.lines, "columns": log.columns, "baseline": log.is_baseline}
            for log in found.logs
        ],
        "lines": found.total.lines,
        "baseline_lines": found.total_before.lines,
        "kinds": found.kind_count,
        "errors": [_failure_as_json(failure) for failure in found.failures],
        "errors_counted_from_below": found.is_sampled,
        **{change.value: [_kind_as_json(kind) for kind in found.select(change)] for change in Change},
        "notes": found.notes,
        "text": tell(found),
    }


def _failure_as_json(failure: Failure) -> dict[str, Any]:
    record = failure.record
    return {
        "headline": record.headline,
        "kind": record.kind,
        "count": record.count,
        "before": failure.before,
        "first_at": _when(record.first_at),
        "last_at": _when(record.last_at),
        "frames": [{"path": frame.path, "line": frame.line, "function": frame.function} for frame in record.frames],
        "context": [_line_as_json(line) for line in failure.context],
        "lines": [_line_as_json(line) for line in record.lines],
    }


def _kind_as_json(kind: Kind) -> dict[str, Any]:
    return {
        "template": kind.template,
        "severity": kind.severity.name.lower(),
        "count": kind.count,
        "before": kind.before,
        "score": round(kind.score, 1),
        "first": _line_as_json(kind.first),
        "last_at": _when(kind.last),
        "peak": kind.peak,
        "peak_at": _when(kind.peak_at),
    }


def _line_as_json(line: LogLine) -> dict[str, Any]:
    return {"file": line.source, "line": line.number, "at": _when(line.at), "text": line.text}


def _when(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
