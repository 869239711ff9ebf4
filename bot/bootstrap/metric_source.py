"""The server of metrics, where one is configured."""

from bot.bootstrap.log_sources import read_connection
from bot.ports.metrics import MetricSource
from bot.settings import Settings
from bot.settings_connections import METRIC_STORE


def open_metrics(settings: Settings) -> MetricSource | None:
    """Return the source, None where neither a connection nor a service asks for one. Raises `ConfigError`."""
    if METRIC_STORE not in settings.connections and not any(each.metrics for each in settings.services.values()):
        return None
    from connectors.metrics import prometheus  # noqa: PLC0415 -- imported where it is used

    return prometheus.Source(read_connection(settings, METRIC_STORE, prometheus.Settings))
