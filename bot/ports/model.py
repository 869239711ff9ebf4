"""The one call to a model: a conversation in, one answer of the assistant out."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from bot.domain.models.reasoning import Reasoning


class Finish(StrEnum):
    """Why an answer ended. LENGTH means that it was cut, so that its last words or its calls may be missing."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call as the model wrote it: `arguments` should be a JSON object and may be anything; `id` may be empty."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens. `cached` is None where the server does not say how much of the prompt it had already; `reasoning` is a
    part of `completion`, 0 where the server does not say."""

    prompt: int = 0
    cached: int | None = None
    completion: int = 0
    reasoning: int = 0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One whole answer. `by` names the second model where that one gave it."""

    text: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    finish: Finish
    usage: Usage
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelPlace:
    """Where a model answers. `extra` is a JSON object of further request fields ({"temperature": 0.2});
    `reasoning_field` is where a message that goes back holds its thinking, "" where that does not go back.

    `others` are further addresses of the same model; `second` is another one, asked while all of these are out.
    """

    url: str
    name: str
    api_key: str = field(default="", repr=False)
    proxy: str = ""
    ca_file: str = ""
    extra: str = ""
    reasoning_field: str = "reasoning_content"
    others: tuple[str, ...] = ()
    second: "ModelPlace | None" = None

    @property
    def fields(self) -> dict[str, Any]:
        """Return the further fields of each request. Raises `ValueError` where `extra` is no JSON object."""
        found = json.loads(self.extra) if self.extra else {}
        if not isinstance(found, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 -- as for text that is no JSON
        return found

    def think(self, effort: str, own: Reasoning, second: Reasoning) -> "ModelPlace":
        """Return the place told how long to think, each of its models in its own way; an effort that the second one
        has not is left out there."""
        stand_in = self.second and self.second.think(effort, second, Reasoning())
        extra = own.add_to(self.extra, effort)
        return replace(self, extra=extra, reasoning_field=own.field, second=stand_in)

    @property
    def urls(self) -> tuple[str, ...]:
        """Return every address of the model, each once."""
        return tuple(dict.fromkeys((self.url, *self.others)))

    @property
    def all_urls(self) -> tuple[str, ...]:
        """Return its addresses, then those of the second model."""
        return (*self.urls, *(self.second.urls if self.second else ()))


def name_server(url: str) -> str:
    """Return how logs and metrics call an address."""
    return urlsplit(url).netloc


class Priority(IntEnum):
    """What comes first where a server is full; larger is first."""

    PAGING = 100
    QUESTION = 50
    TRIAGE = 10
    BACKGROUND = 0


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What a conversation is for. One incident's conversations go to one address: its prompt is cached there."""

    incident: str = ""
    priority: Priority = Priority.BACKGROUND


class TryResult(StrEnum):
    """How one request to one address ended. BUSY is back-pressure, REFUSED is our mistake: neither is a failure."""

    ANSWERED = "answered"
    BUSY = "busy"
    FAILED = "failed"
    SLOW = "slow"
    REFUSED = "refused"
    TOO_LONG = "too_long"


@dataclass(frozen=True, kw_only=True)
class ModelTry:
    """One request to the address with this number among `ModelPlace.all_urls`; whether that is still asked."""

    server: int
    result: TryResult
    is_open: bool = False


OnTry = Callable[[ModelTry], None]
OnDelta = Callable[[str, str], None]
"""Told what arrives, while it arrives: ("text" | "reasoning" | "call", the piece)."""


class ModelClient(Protocol):
    async def complete(self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float) -> Completion:
        """Send a JSON request body and return the whole answer; may be repeated, nothing is remembered.

        `deadline` is a time of the event loop's clock. Cancelling the call ends the work at the server too.
        Raises `Unavailable` (busy, silent, cut off, aborted: worth another try), `Rejected` (key, model or
        request are wrong), `LimitReached` (prompt too long for the model, or an answer without measure).
        """
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """What a `ModelClient` may also be: one whose server tells how many tokens a prompt has."""

    async def count_tokens(self, request: bytes) -> int | None:
        """Return the exact number of a request's prompt tokens, None where the server does not tell. Raises nothing."""
        ...
