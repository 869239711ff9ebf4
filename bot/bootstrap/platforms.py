"""CI systems and forges by their configured name: the name in the configuration is the file's name."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from bot.bootstrap.ci import make_local
from bot.errors import ConfigError, Problem
from bot.ports.alerts import AlertSource
from bot.ports.ci import CIProvider, Platform
from bot.ports.forge import Forge
from bot.settings import Settings, explain
from bot.settings_connections import LOG_STORES, METRIC_STORE

LOCAL: Final = "local"


@dataclass(frozen=True, kw_only=True)
class Platforms:
    """What services use, by name. `hooks` are the senders whose webhooks are taken in."""

    ci: Mapping[str, CIProvider]
    forges: Mapping[str, Forge]
    hooks: Mapping[str, AlertSource]
    opened: tuple[Platform, ...] = ()

    async def close(self) -> None:
        for platform in self.opened:
            await platform.close()


def make_platforms(settings: Settings) -> Platforms:
    """Return the CI systems and forges in use. Raises `ConfigError` with every problem."""
    services = settings.service_map().values()
    names = [name for service in services for name in (service.ci, service.forge) if name and name != LOCAL]
    problems: list[Problem] = []
    made: dict[str, Platform] = {}
    read_only = {*LOG_STORES, METRIC_STORE}
    for name in dict.fromkeys(name for name in (*names, *settings.connections) if name not in read_only):
        try:
            made[name] = _make(settings, name)
        except ModuleNotFoundError:
            what = f'no connector "{name}" for CI or forge; look into connectors/ci for those there are'
            problems.append(Problem(where=f"connections.{name}", what=what))
        except ValidationError as error:
            problems += (explain(item, "connections", name) for item in error.errors())
        except ConfigError as error:
            problems += error.problems
    problems += [
        Problem(where=f"services.{service.name}.{kind}", what=f'"{name}" is no {what}; choose another')
        for service in services
        for kind, name, what in (("ci", service.ci, "CI system"), ("forge", service.forge, "forge"))
        if _lacks(made, kind, name)
    ]
    if problems:
        raise ConfigError(problems)
    return Platforms(
        ci={LOCAL: make_local(settings)} | {name: one.ci for name, one in made.items() if one.ci is not None},
        forges={name: one.forge for name, one in made.items() if one.forge is not None},
        hooks={name: one.hooks for name, one in made.items() if one.hooks is not None},
        opened=tuple(made.values()),
    )


def _lacks(made: Mapping[str, Platform], kind: str, name: str) -> bool:
    """Say whether a service names something that is no CI, or no forge. What could not be made is told elsewhere."""
    if kind == "ci":
        return not name or (name in made and made[name].ci is None)
    return name == LOCAL or (name in made and made[name].forge is None)


def _make(settings: Settings, name: str) -> Platform:
    """Raises `ModuleNotFoundError`, `ValidationError` or `ConfigError`."""
    if not name.isidentifier():
        raise ModuleNotFoundError(name)
    module = importlib.import_module(f"connectors.ci.{name}")
    if not hasattr(module, "Connector"):
        raise ModuleNotFoundError(name)
    table = settings.connections.get(name)
    own = module.Settings.model_validate((table.model_extra if table else None) or {})
    services = settings.service_map().values()
    repositories = [service.repository for service in services if name in {service.ci, service.forge}]
    platform: Platform = module.Connector(own, tuple(dict.fromkeys(repositories)))
    return platform
