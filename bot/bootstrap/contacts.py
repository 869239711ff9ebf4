"""What wakes people outside of chat, made from their contacts; the package for it is loaded where somebody has one."""

import importlib

from bot.engine.contacts import Contacts
from bot.errors import ConfigError, Problem, Rejected
from bot.ports.pager import Pager
from bot.settings import Settings

KIND = "apprise"


def make_contacts(settings: Settings) -> Contacts:
    """Return what sends to each contact of each person. Raises `ConfigError` with every problem."""
    problems: list[Problem] = []
    made: dict[tuple[str, str], Pager] = {}
    for person, values in settings.people.items():
        for name, contact in values.contacts.items():
            try:
                module = importlib.import_module(f"connectors.pagers.{KIND}")
                made[person, name] = module.Connector(module.Settings(url=contact.url))
            except ModuleNotFoundError as error:
                needs = f"needs a package that is not installed ({error.name})"
                what = f'{needs}: install Nightshift with the extra "{KIND}"'
                raise ConfigError([Problem(where=f"people.{person}.contacts", what=what)]) from None
            except Rejected as refusal:
                problems.append(Problem(where=f"people.{person}.contacts.{name}.url", what=str(refusal)))
    if problems:
        raise ConfigError(problems)
    return made
