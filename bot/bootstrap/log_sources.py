"""Log places by their kind: the kind in the configuration is the file's name in `connectors/logs`."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from bot.bootstrap.places import open_file
from bot.domain.service import LogPlace
from bot.errors import ConfigError, Problem
from bot.ports.logs import LogSource
from bot.settings import Settings, explain
from bot.settings_connections import LOG_STORES

_Model = TypeVar("_Model", bound=BaseModel)
_LOCAL: Final = frozenset({"journald", "command"})


def make_opener(settings: Settings) -> Callable[[LogPlace], LogSource]:
    """Return what opens any place, with the connections of log stores. Raises `ConfigError` with every problem."""
    stores = read_stores(settings)

    def open_place(place: LogPlace) -> LogSource:
        if place.kind not in _LOCAL and place.kind not in stores:
            return open_file(place)
        module = importlib.import_module(f"connectors.logs.{place.kind}")
        given = (place, stores[place.kind]) if place.kind in stores else (place,)
        source: LogSource = module.Source(*given)
        return source

    return open_place


def read_stores(settings: Settings) -> Mapping[str, Any]:
    """Return the settings of each log store that a service uses or a connection names. Raises `ConfigError`."""
    used = [place.kind for service in settings.services.values() for place in service.logs]
    found, problems = dict[str, Any](), list[Problem]()
    for name in LOG_STORES:
        if name not in settings.connections and name not in used:
            continue
        module = importlib.import_module(f"connectors.logs.{name}")
        try:
            found[name] = read_connection(settings, name, module.Settings)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def read_connection(settings: Settings, name: str, kind: type[_Model]) -> _Model:
    """Return what `[connections.<name>]` says, checked. Raises `ConfigError` with every problem."""
    table = settings.connections.get(name)
    try:
        return kind.model_validate((table.model_extra if table else None) or {})
    except ValidationError as error:
        wrong = [explain(item, "connections", name) for item in error.errors()]
    raise ConfigError(wrong)
