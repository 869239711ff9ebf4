"""Which metrics an investigation asks for, over which time, and how finely."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.investigation import Job
from bot.domain.metrics.metric import MAX_QUERIES, MetricQuery, MetricRead, Series
from bot.domain.metrics.promql import MAX_QUERY, fill_query, find_rule, split_rule
from bot.errors import Refused

RULE: Final = "rule"
"""The name of the query that is the alert's own rule."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600)
_POINTS: Final = 180
_SCANT: Final = 0.25
_MARGIN: Final = 0.1


def plan_metrics(job: Job) -> tuple[tuple[MetricQuery, ...], tuple[MetricRead, ...]]:
    """Return what to ask for: the alert's rule, then what service and playbook name; and what cannot be asked for."""
    since, until, step = plan_range(job)
    labels = {"service": job.service.name, **job.labels}
    ready, unread = list(_find_rule(job)), list[MetricRead]()
    for query in (*job.service.metrics, *job.playbook.metrics):
        try:
            filled = MetricQuery(
                name=query.name,
                title=query.title,
                expr=fill_query(query.expr, labels),
                unit=query.unit,
                threshold=query.threshold,
            )
        except Refused as refusal:
            unread.append(MetricRead(query=query, since=since, until=until, step=step, fault=str(refusal)))
            continue
        ready.append(filled)
    ready = list(_merge(ready))
    over = [
        MetricRead(query=query, since=since, until=until, step=step, fault=f"only {MAX_QUERIES} queries are asked")
        for query in ready[MAX_QUERIES:]
    ]
    return tuple(ready[:MAX_QUERIES]), (*unread, *over)


def _merge(queries: Sequence[MetricQuery]) -> Iterator[MetricQuery]:
    """Yield each expression once: as people named it, with the rule's threshold where they gave none."""
    for expr in dict.fromkeys(query.expr for query in queries):
        same = [query for query in queries if query.expr == expr]
        limits = [query.threshold for query in same if query.threshold]
        yield replace(same[min(1, len(same) - 1)], threshold=limits[-1] if limits else None, whole=same[0].whole)


def _find_rule(job: Job) -> Iterator[MetricQuery]:
    whole = find_rule(job.source_url)
    if whole and len(whole) <= MAX_QUERY:
        expr, threshold = split_rule(whole)
        name = job.labels.get("alertname", "")[:80]
        title = f"{name} (its rule)" if name else "The alert's rule"
        yield MetricQuery(name=RULE, title=title, expr=expr, threshold=threshold, whole=whole if whole != expr else "")


def plan_range(job: Job) -> tuple[datetime, datetime, float]:
    """Return from when to when to look, and the seconds between two points. What lies ahead has no values."""
    since, until = job.log_span
    until = max(min(until, job.now), since + timedelta(minutes=1))
    step = choose_step((until - since).total_seconds())
    return since, until, step


def choose_step(span: float) -> float:
    return float(next((step for step in _STEPS if span / step <= _POINTS), _STEPS[-1]))


def trim(read: MetricRead) -> MetricRead:
    """Return what was read without most of the time before its first value."""
    first = min((each.points[0][0] for each in read.series if each.points), default=read.since.timestamp())
    begins = max(read.since.timestamp(), first - _MARGIN * (read.until.timestamp() - first))
    return replace(read, since=datetime.fromtimestamp(begins, read.since.tzinfo))


def look_closer(series: Sequence[Series], since: datetime, until: datetime) -> tuple[datetime, float] | None:
    """Return since when, and how finely, to look again where values began only lately; None where they did not."""
    first = min((each.points[0][0] for each in series if each.points), default=None)
    span = (until - since).total_seconds()
    coarse = choose_step(span)
    if first is None or coarse <= _STEPS[0] or until.timestamp() - first > _SCANT * span:
        return None
    begins = max(since.timestamp(), first - coarse)
    return datetime.fromtimestamp(begins, since.tzinfo), choose_step(until.timestamp() - begins)
