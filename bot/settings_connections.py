"""Variables of connections, channels and contacts: `NIGHTSHIFT_GITHUB_TOKEN` is `token` of `[connections.github]`, and
wins over the file; `NIGHTSHIFT_TELEGRAM_TOKEN` is that of `[channels.telegram]`, `NIGHTSHIFT_ANA_SMS_URL` the `url` of
the contact `sms` of `[people.ana]`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bot.settings_contacts import add_contact_variables

PREFIX: Final = "NIGHTSHIFT_"
BUILT_IN: Final = "local"
"""The CI that needs no connection."""
LOG_STORES: Final = ("loki", "elasticsearch")
"""Kinds of log places that are reached by `[connections.<kind>]`."""
METRIC_STORE: Final = "prometheus"
"""The connection to the server of metrics, whoever made it."""


def name_connections(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the connections that a configuration file names: its tables, and what its services use."""
    tables, services = values.get("connections"), values.get("services")
    names = list(tables) if isinstance(tables, dict) else []
    for service in services.values() if isinstance(services, dict) else ():
        if isinstance(service, dict):
            names += [service[key] for key in ("ci", "forge") if isinstance(service.get(key), str)]
            names += _log_stores(service.get("logs"))
            names += [METRIC_STORE] if service.get("metrics") else []
    return tuple(dict.fromkeys(name for name in names if name and name != BUILT_IN))


def add_variables(values: dict[str, Any], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Put the variables of connections, channels and contacts into a file's values, and return those that were used."""
    used = list(add_contact_variables(values.get("people"), variables))
    tables = [(name, values.setdefault("connections", {}).setdefault(name, {})) for name in name_connections(values)]
    channels = values.get("channels")
    tables += channels.items() if isinstance(channels, dict) else ()
    for name, table in tables:
        for variable, key, value in variables_of(name, variables):
            if isinstance(table, dict):
                table[key] = value
                used.append(variable)
    return tuple(used)


def variables_of(name: str, variables: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each variable of a connection or channel with its setting and its value."""
    prefix = f"{PREFIX}{name.upper()}_"
    for variable, value in variables.items():
        upper = variable.upper()
        key = upper.removeprefix(prefix).lower()
        if upper.startswith(prefix) and key and "__" not in key:
            yield variable, key, value


def _log_stores(places: object) -> list[str]:
    """Return the kinds of log places that are reached by a connection of their name."""
    kinds = [place.get("kind") for place in places if isinstance(place, dict)] if isinstance(places, list) else []
    return [kind for kind in kinds if isinstance(kind, str) and kind in LOG_STORES]
