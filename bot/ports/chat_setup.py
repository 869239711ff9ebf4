"""How a chat service is set up by a person at a terminal: what to bring, and what becomes of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bot.ports.chat import ChatConnector, ChatPlace

Given = Mapping[str, str]
"""Settings by name, as far as they are known."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One value that a person brings. `steps` tell how to come by it.

    `examine` says in a line what the value leads to; it raises a `NightshiftError` or `ValidationError` where it is of
    no use. `find` returns the value where nobody has to type it: with nothing typed, "" = not found yet. `unless` names
    a setting that makes the question needless. One that is not `kept` serves the test alone.
    """

    setting: str
    label: str
    steps: tuple[str, ...] = ()
    is_secret: bool = False
    is_number: bool = False
    examine: Callable[[Given], Awaitable[str]]
    find: Callable[[Given], Awaitable[str]] | None = None
    unless: str = ""
    kept: bool = True


class Registering(ChatConnector, Protocol):
    """A connector that lets its service know what it must, and holds connections."""

    async def set_up(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A connector for the time of its set-up: `register` tells the service what it must know, `close` ends it all."""

    connector: ChatConnector
    register: Callable[[], Awaitable[None]] | None = None
    close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, kw_only=True)
class ChatSetup:
    """A service's part of `nightshift connect`. `begin` and `end` are for the person, before and after the questions.

    In them {address} stands for the address of this server, {name} for the channel's name, {NAME} for how variables
    write it. `card_may_wait`: the service may refuse the test card until something of `end` is done.
    """

    begin: tuple[str, ...]
    questions: tuple[Question, ...]
    end: tuple[str, ...]
    open: Callable[[Given, ChatPlace], Opened]
    card_may_wait: bool = False
