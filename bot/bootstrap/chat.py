"""Chat connectors by their configured kind: the name in the configuration is the file's name."""

import importlib
from collections.abc import Sequence

from pydantic import ValidationError

from bot.engine.dispatcher import Channel
from bot.errors import ConfigError, Problem
from bot.ports.board import Board
from bot.ports.chat import ChatConnector
from bot.settings import ChannelSettings, Settings

WEB = "web"


def make_channels(settings: Settings, board: Board) -> Sequence[Channel]:
    """Return one connector for each configured channel. Raises `ConfigError` with every problem."""
    problems: list[Problem] = []
    channels: list[Channel] = []
    for name, value in settings.channels.items():
        try:
            channels.append(Channel(name=name, connector=_make(value, board)))
        except ModuleNotFoundError:
            what = f'no chat connector "{value.kind}"; look into connectors/chat for those there are'
            problems.append(Problem(where=f"channels.{name}.kind", what=what))
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(str(part) for part in item["loc"])
                problems.append(Problem(where=f"channels.{name}.{place}", what=item["msg"]))
    if problems:
        raise ConfigError(problems)
    return channels


def _make(value: ChannelSettings, board: Board) -> ChatConnector:
    if not value.kind.isidentifier():
        raise ModuleNotFoundError(value.kind)
    module = importlib.import_module(f"connectors.chat.{value.kind}")
    if not hasattr(module, "Connector"):
        raise ModuleNotFoundError(value.kind)
    own = module.Settings.model_validate(value.model_extra or {})
    connector: ChatConnector = module.Connector(own, board) if value.kind == WEB else module.Connector(own)
    return connector
