"""Chat connectors by their configured kind: the name in the configuration is the file's name."""

import importlib
from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

from bot.engine.dispatcher import Channel
from bot.errors import ConfigError, Problem
from bot.ports.board import Board
from bot.ports.chat import ChatConnector, ChatPlace
from bot.settings import ChannelSettings, Settings, explain

WEB = "web"
CONSOLE = "console"


def make_channels(
    settings: Settings, board: Board | None, accounts: Callable[[str], Mapping[str, str]] | None = None
) -> Sequence[Channel]:
    """Return one connector for each configured channel; without a board the web's are left out.

    `accounts` gives those of a channel by person; without it they are the configuration's. Raises `ConfigError` with
    every problem.
    """
    problems: list[Problem] = []
    channels: list[Channel] = []
    for name, value in settings.channels.items():
        try:
            place = ChatPlace(name=name, accounts=accounts(name) if accounts else _accounts(settings, name))
            connector = _make(value, board, place)
            channels += [Channel(name=name, connector=connector)] if connector else []
        except ModuleNotFoundError as error:
            problems.append(Problem(where=f"channels.{name}.kind", what=say_missing(value.kind, error)))
        except ValidationError as error:
            problems += (explain(item, "channels", name) for item in error.errors())
    if problems:
        raise ConfigError(problems)
    return channels


def say_missing(kind: str, error: ModuleNotFoundError) -> str:
    """Say whether there is no such connector, or its SDK is not installed."""
    if error.name and not error.name.startswith("connectors"):
        return f'needs a package that is not installed ({error.name}): install Nightshift with the extra "{kind}"'
    return f'no chat connector "{kind}"; look into connectors/chat for those there are'


def _accounts(settings: Settings, name: str) -> Mapping[str, str]:
    return {key: person.accounts[name] for key, person in settings.people.items() if name in person.accounts}


def _make(value: ChannelSettings, board: Board | None, place: ChatPlace) -> ChatConnector | None:
    if not value.kind.isidentifier():
        raise ModuleNotFoundError(value.kind)
    module = importlib.import_module(f"connectors.chat.{value.kind}")
    if not hasattr(module, "Connector"):
        raise ModuleNotFoundError(value.kind)
    own = module.Settings.model_validate(value.model_extra or {})
    connector: ChatConnector | None
    if value.kind == WEB:
        connector = module.Connector(own, board) if board else None
    else:
        connector = module.Connector(own) if value.kind == CONSOLE else module.Connector(own, place)
    return connector
