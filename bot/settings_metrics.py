"""What the metric queries of a service must say."""

from collections.abc import Iterator, Mapping

from bot.domain.metrics.metric import MetricQuery
from bot.domain.metrics.named import faults_of_all, make_named
from bot.errors import Problem
from bot.settings_sections import MetricSettings


def check_metrics(where: str, queries: Mapping[str, MetricSettings]) -> Iterator[Problem]:
    """Yield what is wrong with the queries of one service."""
    for name, fault in faults_of_all({name: _table(query) for name, query in queries.items()}):
        yield Problem(where=f"{where}.{name}".rstrip("."), what=fault)


def build_metrics(queries: Mapping[str, MetricSettings]) -> tuple[MetricQuery, ...]:
    return tuple(make_named(name, _table(query)) for name, query in queries.items())


def _table(query: MetricSettings) -> dict[str, object]:
    return query.model_dump(exclude_none=True)
