"""Metrics in `triage`: what the bot asks, of the server that an option, a variable or a configuration file names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from bot.domain.investigation import Job
from bot.domain.metrics.metric import MetricQuery
from bot.domain.metrics.plan import plan_metrics
from bot.engine.far_metrics import fetch_metrics
from bot.errors import ConfigError
from bot.ports.metrics import MetricSource
from bot.settings import Settings, explain
from bot.settings_connections import METRIC_STORE, variables_of


@dataclass(frozen=True, kw_only=True)
class NamedMetrics:
    """The server, the secrets that are sent to it, and the queries that the configuration names for the service."""

    source: MetricSource
    secrets: Sequence[str]
    queries: Sequence[MetricQuery]


def find_metrics(url: str, settings: Settings | None, service: str) -> NamedMetrics | None:
    """Return the server at `url`, else of the environment, else of a configuration; None where nothing names one.

    Raises `ConfigError`.
    """
    table = settings.connections.get(METRIC_STORE) if settings else None
    values = dict((table.model_extra if table else None) or {})
    values |= {key: value for _, key, value in variables_of(METRIC_STORE, os.environ) if value.strip()}
    values |= {"url": url} if url else {}
    if "url" not in values:
        return None
    from connectors.metrics import prometheus  # noqa: PLC0415 -- imported where it is used

    try:
        connection = prometheus.Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError([explain(item, METRIC_STORE) for item in error.errors()]) from None
    given = (connection.token, connection.password)
    known = settings.service_map().get(service) if settings else None
    return NamedMetrics(
        source=prometheus.Source(connection),
        secrets=[secret.get_secret_value() for secret in given if secret],
        queries=known.metrics if known else (),
    )


async def add_metrics(job: Job, named: NamedMetrics | None) -> tuple[Job, Sequence[str]]:
    """Return the job with what the server says, and a note where there was nothing to ask it."""
    if named is None:
        return job, ()
    evidence = (*job.playbook.evidence, "metrics")
    asking = replace(
        job,
        playbook=replace(job.playbook, evidence=evidence),
        service=replace(job.service, metrics=tuple(named.queries)),
    )
    if not any(plan_metrics(asking)):
        why = "the alert does not say where its rule is (`generatorURL`), and neither its playbook nor a configuration"
        return asking, (f"no metric was asked for: {why} names a query for {job.service.name}",)
    return replace(asking, metrics=await fetch_metrics(asking, named.source)), ()
