"""What the metric server's answers add: a piece of evidence each, and what is needed to plot it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.domain.evidence import Evidence
from bot.domain.investigation import Collected, Job
from bot.domain.metrics.metric import MAX_SHOWN, Metric, MetricQuery, MetricRead, Series, Turn
from bot.domain.metrics.movement import judge, rank_series, tell, tell_spark
from bot.worker.tools import Tools

KIND: Final = "metric"
MAX_FAULT: Final = 600
MAX_LABEL: Final = 80
MAX_EXPR: Final = 300


def add_metrics(job: Job, collected: Collected, tools: Tools) -> Collected:
    """Return what was collected with what the metrics say; where one could not be had, with a note that says so."""
    evidence, metrics, notes = list(collected.evidence), list[Metric](), list(collected.notes)
    missing = list(collected.missing)
    for read in job.metrics:
        query = _clean_query(read.query, tools)
        if read.fault or not any(each.points for each in read.series):
            why = f"could not be read: {tools.clean(read.fault, MAX_FAULT)}" if read.fault else _say_empty(read, query)
            notes.append(f"the metric “{query.title}” {why}")
            missing += notes[-1:] if read.fault else []
            continue
        metric, piece = _tell(job, read, query, tools, f"E{len(evidence) + 1}")
        metrics.append(metric)
        evidence.append(piece)
    return replace(
        collected,
        evidence=tuple(evidence),
        metrics=tuple(metrics),
        notes=tuple(notes),
        missing=tuple(missing),
        began_at=collected.began_at or _find_beginning(collected, metrics),
    )


def _find_beginning(collected: Collected, metrics: list[Metric]) -> datetime | None:
    """Return when the alert's metric crossed its threshold, where no error in the logs says when it began."""
    if any(record.first_at is not None for record in collected.records):
        return None
    return next((metric.turned_at for metric in metrics if metric.turn is Turn.CROSSED and metric.turned_at), None)


def _clean_query(query: MetricQuery, tools: Tools) -> MetricQuery:
    return replace(
        query,
        name=tools.clean(query.name, MAX_LABEL),
        title=" ".join(tools.clean(query.title, MAX_LABEL).split()),
        expr=tools.sanitize(query.expr),
        whole=tools.sanitize(query.whole),
    )


def _clean_series(series: Series, tools: Tools) -> Series:
    labels = {tools.clean(name, MAX_LABEL): tools.clean(value, MAX_LABEL) for name, value in series.labels.items()}
    return replace(series, labels=labels)


def _say_empty(read: MetricRead, query: MetricQuery) -> str:
    asked = " ".join(query.expr.split())[:MAX_EXPR]
    return f"has no value between {read.since:%H:%M:%S} and {read.until:%H:%M:%S} UTC, asked for {asked}"


def _tell(job: Job, read: MetricRead, query: MetricQuery, tools: Tools, evidence: str) -> tuple[Metric, Evidence]:
    ranked = rank_series(read.series, job.labels, query.threshold)
    series = tuple(_clean_series(each, tools) for each in ranked[:MAX_SHOWN])
    movement = judge(series[0], query.threshold, job.alert_started_at)
    metric = Metric(
        query=query,
        evidence=evidence,
        since=read.since,
        until=read.until,
        step=read.step,
        alert_at=job.alert_started_at,
        series=series,
        left_out=len(ranked) - len(series),
        turn=movement.turn,
        claim=tell(query, movement, job.alert_started_at),
        turned_at=movement.turned_at,
    )
    lines = (
        metric.claim,
        *_say_more(metric, len(ranked)),
        *(tools.clean(note, 300) for note in read.notes),
        tell_spark(series[0], movement, read),
    )
    return metric, Evidence(id=evidence, kind=KIND, cite=f"metric {query.name}", text="\n".join(lines))


def _say_more(metric: Metric, count: int) -> Iterator[str]:
    yield f"asked for {' '.join((metric.query.whole or metric.query.expr).split())[:MAX_EXPR]}"
    if count > 1:
        yield f"this is {metric.series[0].name}, the first of {count:,} series"
