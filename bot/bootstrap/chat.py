"""Chat connectors by their configured kind: the name of a file of connectors/chat, or of a module of one's own."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from pydantic import ValidationError

from bot.engine.dispatcher import Channel
from bot.engine.tools import FetchImage, cannot_fetch
from bot.errors import ConfigError, Problem
from bot.ports.board import Board
from bot.ports.chat import ChatConnector, ChatPlace, ImageSource
from bot.ports.work import Store
from bot.settings import ChannelSettings, Settings, explain

WEB = "web"
CONSOLE = "console"
MEMORY = "chat memory:"


def make_channels(
    settings: Settings,
    board: Board | None,
    *,
    accounts: Callable[[str], Mapping[str, str]] | None = None,
    store: Store | None = None,
) -> Sequence[Channel]:
    """Return one connector for each configured channel; without a board the web's are left out, and without a store
    connectors keep nothing over a restart.

    `accounts` gives those of a channel by person; without it they are the configuration's. Raises `ConfigError` with
    every problem.
    """
    problems: list[Problem] = []
    channels: list[Channel] = []
    for name, value in settings.channels.items():
        try:
            place = ChatPlace(
                name=name,
                accounts=accounts(name) if accounts else _accounts(settings, name),
                names={key: person.name for key, person in settings.people.items()},
                memory=StoreMemory(store=store, channel=name) if store is not None else None,
            )
            connector = _make(value, board, place)
            channels += [Channel(name=name, connector=connector)] if connector else []
        except ModuleNotFoundError as error:
            problems.append(Problem(where=f"channels.{name}.kind", what=say_missing(value.kind, error)))
        except ValidationError as error:
            problems += (explain(item, "channels", name) for item in error.errors())
    if problems:
        raise ConfigError(problems)
    return channels


def make_fetch(channels: Sequence[Channel]) -> FetchImage:
    """Return what fetches an image from the channel that it was posted in."""
    sources = {one.name: one.connector for one in channels if isinstance(one.connector, ImageSource)}

    async def fetch(channel: str, ref: str) -> bytes:
        source = sources.get(channel)
        return await (source.fetch_image(ref) if source else cannot_fetch(channel, ref))

    return fetch


def say_missing(kind: str, error: ModuleNotFoundError) -> str:
    """Say whether there is no such connector, or its SDK is not installed."""
    if "." in kind and f"{kind}.".startswith(f"{error.name or kind}."):
        return f'no chat connector "{kind}": a module with Settings and Connector, installed beside Nightshift'
    if error.name and not error.name.startswith("connectors"):
        return f'needs a package that is not installed ({error.name}): install Nightshift with the extra "{kind}"'
    return f'no chat connector "{kind}"; look into connectors/chat for those there are'


def _accounts(settings: Settings, name: str) -> Mapping[str, str]:
    return {key: person.accounts[name] for key, person in settings.people.items() if name in person.accounts}


@dataclass(frozen=True, kw_only=True)
class StoreMemory:
    """`bot.ports.chat.ChatMemory` of one channel over the store."""

    store: Store
    channel: str

    def change(self, change: Callable[[str], str]) -> str:
        name = f"{MEMORY}{self.channel}"
        with self.store.begin() as work:
            before = work.switches.get(name)
            after = change(before)
            if after != before:
                work.switches.set(name, after)
        return after


def _make(value: ChannelSettings, board: Board | None, place: ChatPlace) -> ChatConnector | None:
    module = _load(value.kind)
    own = module.Settings.model_validate(value.model_extra or {})
    connector: ChatConnector | None
    if value.kind == WEB:
        connector = module.Connector(own, board) if board else None
    else:
        connector = module.Connector(own) if value.kind == CONSOLE else module.Connector(own, place)
    return connector


def _load(kind: str) -> ModuleType:
    """Return the module of a kind; one with a dot is a module of the operator's own, installed beside Nightshift."""
    if not all(part.isidentifier() for part in kind.split(".")):
        raise ModuleNotFoundError(kind)
    module = importlib.import_module(kind if "." in kind else f"connectors.chat.{kind}")
    if not hasattr(module, "Connector") or not hasattr(module, "Settings"):
        raise ModuleNotFoundError(kind)
    return module
